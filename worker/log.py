"""The one home of all log lines: what happened, with ids, never with mail text, a resident's data or a token.

``mail_id`` is the trace id: the SMTP reply names it, events carry it, calls name their events.
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import structlog


def configure(*, json: bool | None = None, level: str = "INFO") -> None:
    """Write one line an event to standard error: JSON for machines, aligned text for a terminal (``json`` None)."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its INFO lines hold unit ids


def lines() -> Any:
    """Return the logger itself, for a part that is handed one."""
    return structlog.get_logger()


def kept(ids: list[str]) -> None:
    """A batch of mails was committed."""
    lines().info("mails_kept", mails=len(ids), first=ids[0], last=ids[-1])


def read(verdict: Any) -> None:
    """A mail was read."""
    lines().info(
        "mail_read", mail_id=verdict.mail_id, state=str(verdict.state), reason=verdict.reason, rule=verdict.rule
    )


def trouble(*, event: str, **fields: Any) -> None:
    """Something needs a look; calls and lanes are named by id, answers by status."""
    call, lane, reply = fields.pop("call", None), fields.pop("lane", None), fields.pop("reply", None)
    if call is not None:
        fields |= {"call_id": call.id, "verb": str(call.verb), "events": sorted(set(call.sources.values()))}
    if lane is not None:
        fields |= {"destination": lane.destination, "unit": lane.crm_unit_id}
    if reply is not None:
        fields |= {"status": reply.status, "message": reply.message[:200]}
    lines().warning(event, **fields)


def ring_failed(error: BaseException) -> None:
    """The queue could not be told; the sweeper will ring again."""
    lines().warning("ring_failed", error=type(error).__name__)


def rules_refused(errors: str) -> None:
    """A changed rule file was refused; the last good set stays."""
    lines().error("rules_refused", errors=errors)


def rules_published(number: int, set_id: str) -> None:
    """A rule set is live."""
    lines().info("rules_published", number=number, rule_set=set_id)


def started(**fields: Any) -> None:
    """A process listens or works."""
    lines().info("started", **fields)


def stopping() -> None:
    """A process was told to end, and finishes what is under way."""
    lines().info("stopping")


def stalled(**fields: Any) -> None:
    """The children of a worker take nothing though messages wait; it begins anew."""
    lines().error("stalled", **fields)


def stopped(**fields: Any) -> None:
    """A process has ended in order."""
    lines().info("stopped", **fields)


def swept(*, mails: int, lanes: int) -> None:
    """The sweeper rang for what was due."""
    lines().info("swept", mails=mails, lanes=lanes)


def where(error: BaseException) -> str:
    """Return class and places of an error, never its text: that may hold a resident's data."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
