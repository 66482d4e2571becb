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
    Column("parsed_at", Instant),
    Column("due_at", Instant, index=True),
    Column("rung_at", Instant),
    Column("tries", Integer, nullable=False, default=0, server_default="0"),
)

readings = Table(
    "readings",
    metadata,
    Column("mail_id", String(40), ForeignKey("mails.id"), primary_key=True),
    Column("reading", Json, nullable=False),
)
"""How a mail was read: the trace, as ``gatepost explain`` shows it; kept longer than the bytes."""

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
    UniqueConstraint("company", "identity", "fingerprint"),
    Index(None, "destination", "crm_unit_id"),
)

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
)

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
)
"""The published sets; the one with the highest number is live."""

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
