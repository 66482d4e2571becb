"""The tables of the store. Every query that a step makes has an index here.

``due_at`` is set exactly while the machine has to act on a row, and null otherwise: the sweeper looks at nothing
else. ``rung_at`` says when the queue was last told, so that a long backlog is not rung for over and over.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from worker.store.types import Instant, Json

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up by itself only for INTEGER.
BigId = BigInteger().with_variant(Integer(), "sqlite")

bodies = Table(
    "bodies",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("received_at", Instant, nullable=False),
)
"""The bytes of a message as they came, once for all its recipients."""

body_chunks = Table(
    "body_chunks",
    metadata,
    Column("body_id", String(32), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""A body in pieces of at most 1 MiB. A large body's pieces are written before its ``bodies`` row, each in a
transaction of its own, so that a small mail never waits behind 25 MB; pieces without a ``bodies`` row are swept."""

mails = Table(
    "mails",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("body_id", String(32), ForeignKey("bodies.id"), nullable=False, index=True),
    Column("mailbox", String(320), nullable=False),
    Column("received_at", Instant, nullable=False, index=True),
    Column("evidence", Json, nullable=False),  # peer, helo, mail_from, rcpt, tls, trusted: what admit judges
    Column("state", String(16), nullable=False, index=True),
    Column("reason", String(32)),
    Column("detail", Text),
    Column("pack", String(64)),
    Column("rule", String(160)),
    Column("rule_set", String(32)),
    Column("subject", Text),
    Column("from_address", Text),
    Column("message_id", Text),
    Column("mailed_at", Instant),
    Column("digest", String(64), index=True),  # of the bytes below the trace headers: byte-equal repeats
    Column("parsed_at", Instant, index=True),
    Column("due_at", Instant, index=True),
    Column("rung_at", Instant),
    Column("tries", Integer, nullable=False, default=0, server_default="0"),
    Column("purged_at", Instant),  # when its bytes were let go; its reading stays
    Column("issue_id", BigInteger, index=True),  # the issue that its hold belongs to
    Column("surveyed", Json),  # as what the survey has counted it: taken back when it is read again
)

readings = Table(
    "readings",
    metadata,
    Column("mail_id", String(40), ForeignKey("mails.id"), primary_key=True),
    Column("reading", Json, nullable=False),
)
"""How a mail was read: the trace, as ``gatepost explain`` shows it; kept longer than the bytes."""

past_readings = Table(
    "past_readings",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("mail_id", String(40), ForeignKey("mails.id"), nullable=False, index=True),
    Column("replaced_at", Instant, nullable=False),
    Column("reading", Json, nullable=False),
)
"""How a mail was read before it was read again: what events of an earlier rule set came of."""

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("mail_id", String(40), ForeignKey("mails.id"), index=True),
    Column("position", Integer, nullable=False),
    Column("company", String(64), nullable=False),
    Column("mailbox", String(320), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("crm_unit_id", String(255), nullable=False),
    Column("unit", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("mailed_at", Instant, nullable=False),
    Column("told_at", Instant, nullable=False),  # the Date of the last mail that told just this
    Column("identity", String(80), nullable=False),
    Column("body", Json, nullable=False),
    Column("fingerprint", String(64), nullable=False),  # of kind and body: tells a revision from a duplicate
    Column("expect", Json, nullable=False),
    Column("on_date", String(10)),
    Column("timezone", String(64), nullable=False),
    Column("rule", String(160), nullable=False),
    Column("rule_set", String(32), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", String(32)),
    Column("detail", Text),
    Column("created_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("settled_at", Instant),
    Column("tenant_id", String(255)),  # of a move-in: by these a unit is found by its tenancy
    Column("ledger_id", String(255)),
    Column("after_id", BigInteger, index=True),  # waits until this event is settled: the other half of a transfer
    Column("author", String(128)),  # who added it; null: a mail tells it
    Column("released_by", Text),  # whose word let it in, and why
    Column("columns", Json, nullable=False, server_default="{}"),  # further columns of the unit map
    Column("issue_id", BigInteger, index=True),
    UniqueConstraint("company", "identity", "fingerprint"),
    Index(None, "destination", "crm_unit_id"),
    Index(None, "mailbox", "created_at"),
    Index(None, "company", "tenant_id"),
    Index(None, "company", "ledger_id"),
)

event_log = Table(
    "event_log",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("event_id", BigInteger, ForeignKey("events.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("was", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("detail", Text),
    Column("was_reason", String(32)),
)
"""Every change of an event's state: what ``why --at`` goes by."""

lanes = Table(
    "lanes",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("crm_unit_id", String(255), primary_key=True),
    Column("company", String(64), nullable=False),
    Column("unit", String(255), nullable=False),
    Column("location", String(255), nullable=False),
    Column("shown", Json, nullable=False),  # what the destination has confirmed; absent names are unknown
    Column("due_at", Instant, index=True),
    Column("rung_at", Instant),
    Column("tries", Integer, nullable=False, default=0, server_default="0"),
    Column("lease_token", BigInteger, nullable=False, default=0, server_default="0"),
    Column("lease_until", Instant),
    Column("lease_by", String(128)),
    Column("updated_at", Instant, nullable=False),
    Column("origin", Json, nullable=False, server_default="{}"),  # what was there before any event; absent: unknown
    Column("priority", Integer, nullable=False, server_default="2"),  # 0 opens access, 1 closes it, 2 other facts
    Column("columns", Json, nullable=False, server_default="{}"),  # of the unit map, as last told
    Index(None, "destination", "priority", "due_at"),
)
"""One row a unit of a destination: what it has confirmed, and who works on it."""

calls = Table(
    "calls",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("destination", String(64), nullable=False),
    Column("crm_unit_id", String(255), nullable=False),
    Column("verb", String(16), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("writes", Json, nullable=False),  # the body as values: what `shown` becomes when it is confirmed
    Column("sources", Json, nullable=False),  # value name -> event id that asks for it
    Column("base", String(64), nullable=False),  # all that the key is made of, but the generation
    Column("generation", Integer, nullable=False),
    Column("key", String(80), nullable=False, unique=True),
    Column("state", String(16), nullable=False),  # open, done, refused, abandoned
    Column("lease_token", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("tries", Integer, nullable=False, default=0, server_default="0"),
    Column("job", String(255)),  # what to ask for, once the destination has taken it on
    Column("created", Integer, nullable=False, server_default="0"),  # 1: the destination says that it made the unit
    Index(None, "destination", "crm_unit_id", "state"),
    Index(None, "base"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("call_id", BigInteger, ForeignKey("calls.id"), nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False),
    Column("outcome", String(24), nullable=False),
    Column("status", Integer),
    Column("message", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("by", String(128), nullable=False),
    Column("asked", Text),  # method and path that were really sent, where they differ from the call's
)

bulk_items = Table(
    "bulk_items",
    metadata,
    Column("call_id", BigInteger, ForeignKey("calls.id"), primary_key=True),
    Column("crm_unit_id", String(255), primary_key=True),
    Column("destination", String(64), nullable=False),
    Column("writes", Json, nullable=False),
    Column("sources", Json, nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # open, done, refused, abandoned
    Column("message", Text),
    Column("ended_at", Instant),
    Index(None, "destination", "crm_unit_id"),
)
"""The units of a bulk call, frozen under its key."""

gates = Table(
    "gates",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("next_slot_at", Instant, nullable=False),  # when the next call may leave, under the shared rate
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row, over all units and workers
    Column("shut_until", Instant),  # the circuit is open until then; one call tries it afterwards
)
"""What all workers share of a destination: its rate and its circuit breaker."""

issues = Table(
    "issues",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("key", String(160), nullable=False, unique=True),  # kind and cause: one thing to mend, however often seen
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False, index=True),  # open, acknowledged, resolved, ignored
    Column("title", Text, nullable=False),
    Column("detail", Text, nullable=False),  # the last one's
    Column("subject", Json, nullable=False),  # mailbox, rule, destination, unit: what it is about
    Column("count", Integer, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("actor", String(128)),
    Column("note", Text),
)
"""Many failures of one cause, as one thing to mend."""

hook_deliveries = Table(
    "hook_deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("endpoint", String(64), nullable=False),
    Column("event", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("state", String(16), nullable=False),  # open, done, given_up
    Column("due_at", Instant, index=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("status", Integer),
    Column("message", Text),
    Column("ended_at", Instant),
)
"""The webhooks that go out: stored with what they tell, sent until they are taken."""

replays = Table(
    "replays",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("query", Text, nullable=False),
    Column("layer", String(16), nullable=False),  # parse, apply
    Column("state", String(16), nullable=False),  # running, paused, done
    Column("per_minute", Integer, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, index=True),
    Column("ended_at", Instant),
)

replay_items = Table(
    "replay_items",
    metadata,
    Column("replay_id", BigInteger, ForeignKey("replays.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("mail_id", String(40)),
    Column("event_id", BigInteger),
    Column("state", String(16), nullable=False),  # due, done
    Column("outcome", String(16)),  # new, same, withdrawn, superseded, held
    Column("detail", Text),
)
"""What a replay goes over, one mail or event each, and what came of it."""

reconciles = Table(
    "reconciles",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("mailbox", String(320), nullable=False),
    Column("source", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("report", Json, nullable=False),
)
"""Rent rolls that were compared, and what they showed."""

pauses = Table(
    "pauses",
    metadata,
    Column("kind", String(16), primary_key=True),  # mailbox, rule, pack, destination
    Column("name", String(320), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),  # null: until a person resumes it
)

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("number", BigId, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False),
    Column("files", Json, nullable=False),  # name -> text
    Column("published_at", Instant, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("note", Text),
    Column("restores", BigInteger),  # the number of the set that it brings back; null: it was published
)
"""The published sets; the one with the highest number is live."""

rule_versions = Table(
    "rule_versions",
    metadata,
    Column("rule", String(160), primary_key=True),
    Column("version", String(32), nullable=False),  # digest of what the rule says
    Column("since", Instant, nullable=False),
    Column("left", Integer, nullable=False),  # how many of its events still wait for a person's word
)
"""The rules that were changed since the first set, as they are now, and their probation."""

rule_profiles = Table(
    "rule_profiles",
    metadata,
    Column("rule", String(160), primary_key=True),
    Column("profile", Json, nullable=False),  # as ``worker/drift.py`` writes it: digests and counts, no text of mails
)
"""What the mails of a rule usually look like."""

flow_days = Table(
    "flow_days",
    metadata,
    Column("mailbox", String(320), primary_key=True),
    Column("rule", String(160), primary_key=True),  # empty: all mails of the mailbox
    Column("day", String(10), primary_key=True),  # of the site's calendar, by when they were received
    Column("mails", Integer, nullable=False),
    Column("held", Integer, nullable=False),
)
"""How many mails came on a day: what silence is learned from."""

watermarks = Table(
    "watermarks",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("mail_id", String(40), nullable=False),
)
"""How far something has gone over the mails, in the order in which they were read."""

audit = Table(
    "audit",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
