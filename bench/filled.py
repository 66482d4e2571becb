"""A store that holds many mails that are done with, and what one more costs there."""

import datetime as dt
import time
from collections.abc import Mapping

from parsers.events import Value
from parsers.load import load_rules_text
from tests.faults.tale import LOCATION, MAILBOX, move_in_mail
from worker.calls import NO_MORE, Manners, Outcome, Reply, Request, Verb
from worker.configuration import SHIPPED_RULES
from worker.destinations.profiles import KISS_V2, render
from worker.drain import Drain
from worker.ingest import Ingest
from worker.settings import LOOPBACK, Mailbox, PackUse
from worker.store.database import Database
from worker.store.keep import Keeper, KeptMail
from worker.store.tables import attempts, bodies, body_chunks, calls, event_log, events, lanes, mails, readings

PER_UNIT = 10
MAILS = 100
"""Mails that are measured at once."""
BATCH = 2000
BOX = Mailbox(
    address=MAILBOX,
    location=LOCATION,
    company="demo",
    destination="kiss",
    pms=(PackUse(name="sitelink"),),
    trust=LOOPBACK,
)


class NullDestination:
    """Takes everything at once."""

    name = "kiss"
    window = 1

    @property
    def manners(self) -> Manners:
        return KISS_V2.manners

    def render(
        self,
        verb: Verb,
        crm_unit_id: str,
        body: Mapping[str, Value],
        *,
        about: Mapping[str, Value] = NO_MORE,  # noqa: ARG002
    ) -> Request:
        """Render as the real one does."""
        return render(KISS_V2, verb, crm_unit_id, body)

    def send(self, request: Request, *, key: str, deadline_s: float) -> Reply:  # noqa: ARG002
        """Answer that it is applied."""
        return Reply(outcome=Outcome.APPLIED, status=200, message="", body=b"{}")

    def ask(self, job: str, *, deadline_s: float) -> Reply:  # noqa: ARG002
        """Say that there are no jobs."""
        return Reply(outcome=Outcome.FAILED, message="no jobs")

    def close(self) -> None:
        """Do nothing."""


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def fill(db: Database, count: int) -> None:
    """Store mails that were read and applied long ago, with all that goes with one: ten of each unit."""
    at = now() - dt.timedelta(days=30)
    raw = move_in_mail(0, at)
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        body = {"paid_through_date": "2026-01-01", "balance_due": 0}
        with db.write() as connection:
            connection.execute(bodies.insert(), [_body(n, raw, at) for n in numbers])
            connection.execute(body_chunks.insert(), [{"body_id": f"f{n}", "n": 0, "content": raw} for n in numbers])
            connection.execute(mails.insert(), [_mail(n, at) for n in numbers])
            connection.execute(
                readings.insert(), [{"mail_id": f"f{n}", "reading": {"outcome": "events"}} for n in numbers]
            )
            connection.execute(events.insert(), [_event(n, at, body) for n in numbers])
            connection.execute(lanes.insert(), [_lane(n // PER_UNIT, at) for n in numbers if n % PER_UNIT == 0])
            connection.execute(calls.insert(), [_call(n, at, body) for n in numbers])
            connection.execute(attempts.insert(), [_attempt(n, at) for n in numbers])
            changes = [{"event_id": n + 1, "at": at, "was": "waiting", "state": "applied"} for n in numbers]
            connection.execute(event_log.insert(), changes)


def _body(n: int, raw: bytes, at: dt.datetime) -> dict[str, object]:
    return {"id": f"f{n}", "size_bytes": len(raw), "sha256": f"{n:064}", "received_at": at}


def _mail(n: int, at: dt.datetime) -> dict[str, object]:
    return {
        "id": f"f{n}",
        "body_id": f"f{n}",
        "mailbox": MAILBOX,
        "received_at": at,
        "evidence": {},
        "state": "parsed",
        "pack": "sitelink",
        "rule": "sitelink/payment-receipt",
        "digest": f"{n:064}",
        "parsed_at": at,
        "tries": 0,
    }


def _event(n: int, at: dt.datetime, body: Mapping[str, object]) -> dict[str, object]:
    unit = f"F{n // PER_UNIT:07}"
    return {
        "id": n + 1,
        "mail_id": f"f{n}",
        "position": 0,
        "company": "demo",
        "mailbox": MAILBOX,
        "destination": "kiss",
        "crm_unit_id": f"{LOCATION}-{unit}",
        "unit": unit,
        "kind": "patch",
        "effective_at": at,
        "mailed_at": at,
        "told_at": at,
        "identity": f"gpi1-{n}",
        "body": body,
        "fingerprint": "f",
        "expect": {},
        "rule": "sitelink/x",
        "timezone": "America/Chicago",
        "rule_set": "0",
        "state": "applied",
        "created_at": at,
        "received_at": at,
        "settled_at": at,
        "columns": {},
    }


def _lane(n: int, at: dt.datetime) -> dict[str, object]:
    unit = f"F{n:07}"
    return {
        "destination": "kiss",
        "crm_unit_id": f"{LOCATION}-{unit}",
        "company": "demo",
        "unit": unit,
        "location": LOCATION,
        "shown": {"exists": True},
        "updated_at": at,
        "origin": {},
        "columns": {},
    }


def _call(n: int, at: dt.datetime, body: Mapping[str, object]) -> dict[str, object]:
    unit = f"{LOCATION}-F{n // PER_UNIT:07}"
    return {
        "id": n + 1,
        "destination": "kiss",
        "crm_unit_id": unit,
        "verb": "patch",
        "method": "PATCH",
        "path": f"/units/{unit}",
        "body": b"{}",
        "writes": body,
        "sources": {"balance_due": n + 1},
        "base": f"base-{n}",
        "generation": 0,
        "key": f"gp1-{n}",
        "state": "done",
        "lease_token": 1,
        "created_at": at,
        "ended_at": at,
        "tries": 1,
    }


def _attempt(n: int, at: dt.datetime) -> dict[str, object]:
    done = {"outcome": "applied", "status": 200, "message": "", "answer": b"{}", "by": "bench"}
    return {"call_id": n + 1, "started_at": at, "ended_at": at, **done}


def cpu_of_mails(db: Database, destination: NullDestination, *, first: int) -> float:
    """Return the CPU seconds of one mail: read, stored, its unit brought up to date. Each is of a unit of its own."""
    rules = load_rules_text({"sitelink.yaml": (SHIPPED_RULES / "sitelink.yaml").read_text("utf-8")})
    ingest = Ingest(db, mailboxes=lambda: {BOX.address: BOX}, rules=lambda: rules, clock=now, clock_skew_s=900)
    drain = Drain(db, {"kiss": destination}, clock=now, by="bench")
    keeper = Keeper(db, batch_mails=100, batch_bytes=1 << 22, clock=now, on_kept=lambda _ids: None)
    evidence = {"peer": "127.0.0.1", "mail_from": "pms@sitelink.com"}
    waiting = [
        keeper.submit(KeptMail(body=move_in_mail(n, now()), recipients=((MAILBOX, MAILBOX),), evidence=evidence))
        for n in range(first, first + MAILS)
    ]
    ids = [one.result() for one in waiting]
    keeper.stop()
    began_s = time.process_time()
    applied = 0
    for mail_id in ids:
        keys = ingest.ingest([mail_id])
        applied += len(keys)
        drain.drain(keys)
    took_s = time.process_time() - began_s
    assert applied == MAILS, f"{applied} of {MAILS} mails told an event"
    drain.close()
    return took_s / MAILS
