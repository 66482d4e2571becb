"""Sort an answer of a described API: say plainly what came of a write, a look-up or a job. Pure.

Only the API's own JSON counts as a success, a refusal or an unknown unit: a proxy's page with the same status is a
failure.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from worker.calls import Outcome, Reply
from worker.destinations.answers import DEFAULT_WAIT_S, LONGEST_WAIT_S, MAX_BODY_BYTES, MAX_MESSAGE, Raw, retry_after_s
from worker.destinations.fill import Ask
from worker.destinations.spec import Answers, ApiSpec, Fields, Job, JsonPath, Rate, WhenNone, Write

_BY_STATUS: Final[Mapping[int, Outcome]] = {
    400: Outcome.REJECTED,
    401: Outcome.UNAUTHORIZED,
    403: Outcome.UNAUTHORIZED,
    409: Outcome.REJECTED,
    422: Outcome.REJECTED,
    502: Outcome.UNKNOWN,
    503: Outcome.UNKNOWN,
    504: Outcome.UNKNOWN,
}
"""What a status means where the file says nothing; any other is a definite failure."""

_OWN_WORD: Final = (Outcome.REJECTED, Outcome.NOT_FOUND, Outcome.SOURCE_CONFLICT, Outcome.KEY_REUSED)
"""What only the API itself can say."""

_ABSENT: Final = object()
_JOB_LENGTH: Final = 255
_TOLD_FAULTS: Final = 3


def sort_write(spec: ApiSpec, write: Write, raw: Raw, *, now: dt.datetime) -> Reply:
    """Return what an answer means for the write that it answers; of a refusal also which facts it names."""
    told = _read(raw.body)
    if raw.status in spec.answers.success.statuses:
        return _sort_success(spec, raw, told)
    reply = sort_refusal(spec.answers, raw, now=now)
    if reply.outcome is not Outcome.REJECTED or spec.answers.fields is None:
        return reply
    faults = _faults(spec.answers.fields, told)
    wrong = dict.fromkeys(fact for name, _ in faults for fact in write.facts_at(name))
    said = "; ".join(": ".join(filter(None, fault)) for fault in faults[:_TOLD_FAULTS])
    message = f"{reply.message} ({said})" if said else reply.message
    return replace(reply, message=message[:MAX_MESSAGE], wrong=tuple(wrong))


def _faults(fields: Fields, told: Any) -> list[tuple[str, str]]:
    """Return the fields that a refusal names, each with what is wrong with it as far as it says so."""
    found = _at(told, fields.find)
    if isinstance(found, dict) and not fields.name:
        return [(name, "") for name in found]
    faults = [
        (_word(_at(item, fields.name)), _word(_at(item, fields.message)) if fields.message else "")
        for item in (found if isinstance(found, list) else [])
    ]
    return [(name, says) for name, says in faults if name]


def _word(found: Any) -> str:
    return found if isinstance(found, str) else ""


def _sort_success(spec: ApiSpec, raw: Raw, told: Any) -> Reply:
    success = spec.answers.success
    if raw.status in success.without_body and not raw.body.strip():
        return _reply(Outcome.APPLIED, raw, f"answered {raw.status}")
    absent = [path for path in success.needs if _at(told, path) in (_ABSENT, None)]
    wrong = [path for path, text in success.where if _text(_at(told, path)) != text]
    if told is None or absent or wrong:
        named = ", ".join(".".join(path) for path in (*absent, *wrong)) or "JSON"
        return _reply(Outcome.FAILED, raw, f"answered {raw.status}, but not as the API does: {named}")
    message = _message(spec.answers, told) or f"answered {raw.status}"
    if spec.job is None:
        return _reply(Outcome.APPLIED, raw, message)
    job = _text(_at(told, spec.job.id))
    if not 0 < len(job) <= _JOB_LENGTH:
        return _reply(Outcome.FAILED, raw, f"answered {raw.status} without {'.'.join(spec.job.id)}")
    return _reply(Outcome.ACCEPTED, raw, message, job=job, retry_after_s=spec.job.again_s)


def sort_refusal(answers: Answers, raw: Raw, *, now: dt.datetime) -> Reply:
    """Return what an answer means that is no success."""
    told = _read(raw.body)
    message = _message(answers, told)
    code = _text(_at(told, answers.code)) if answers.code else ""
    outcome = answers.codes.get(code) or answers.statuses.get(raw.status)
    if raw.status in answers.rate.statuses:
        outcome = outcome or Outcome.LIMITED
    elif raw.status in answers.not_found:
        outcome = outcome or Outcome.NOT_FOUND
    outcome = outcome or _BY_STATUS.get(raw.status, Outcome.FAILED)
    if outcome in _OWN_WORD and not message and not code:
        outcome = Outcome.FAILED  # a proxy's word, not the API's
    wait = _rate_wait_s(answers.rate, raw, told, now)
    if outcome is Outcome.LIMITED and wait is None:
        wait = DEFAULT_WAIT_S
    said = ": ".join(part for part in (code, message) if part)
    return _reply(outcome, raw, said or f"answered {raw.status} without a message", retry_after_s=wait)


def _rate_wait_s(rate: Rate, raw: Raw, told: Any, now: dt.datetime) -> float | None:
    """Return how long to stay away: by the header, the JSON, or the instant at which the count starts anew."""
    if (found := retry_after_s(raw.headers.get(rate.header), now)) is not None:
        return found
    stated = _at(told, rate.seconds) if rate.seconds else _ABSENT
    if isinstance(stated, int | float) and not isinstance(stated, bool) and stated >= 0:
        return min(float(stated), LONGEST_WAIT_S)
    if raw.status not in rate.statuses or rate.reset_header is None:
        return None
    at = _instant(raw.headers.get(rate.reset_header, ""))
    return None if at is None else min(max((at - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def _instant(text: str) -> dt.datetime | None:
    try:
        if text.isascii() and text.isdigit():
            return dt.datetime.fromtimestamp(int(text[:12]), dt.UTC)
        at = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


# -- look-ups --------------------------------------------------------------------------------------------------------


def sort_look_up(spec: ApiSpec, ask: Ask, raw: Raw, *, now: dt.datetime) -> tuple[Any, Reply | None]:
    """Return what a look-up found, or the reply that ends the call: nothing was written, so nothing has changed."""
    told = _read(raw.body)
    look_up = ask.spec
    if raw.status in spec.answers.not_found and told is not None:
        return None, _nothing_found(look_up.name, look_up.none, raw)
    if raw.status != 200:
        reply = sort_refusal(spec.answers, raw, now=now)
        if reply.outcome in (Outcome.UNKNOWN, Outcome.NOT_FOUND):
            reply = _reply(Outcome.UNREACHED, raw, reply.message, retry_after_s=reply.retry_after_s)
        return None, reply
    matches = _matches(ask, told)
    if matches is None:
        return None, _reply(Outcome.FAILED, raw, f"the look-up of {look_up.name} was not answered as the API does")
    if len(matches) > 1:
        message = f"the look-up of {look_up.name} finds {len(matches)}, and one is meant"
        return None, _reply(Outcome.REJECTED, raw, message)
    found = _at(matches[0], look_up.take) if matches else None
    if found is None or isinstance(found, dict | list) or found is _ABSENT or found == "":
        return None, _nothing_found(look_up.name, look_up.none, raw)
    return found, None


def is_in_force(ask: Ask, raw: Raw) -> bool | None:
    """Say whether what a call would write is there already; None when the answer does not say."""
    matches = _matches(ask, _read(raw.body)) if raw.status == 200 else None
    return None if matches is None else bool(matches)


def _matches(ask: Ask, told: Any) -> list[Any] | None:
    """Return the things that an answer lists and that are meant; None when there is no list where one must be."""
    if ask.spec.find is None:
        return [told] if isinstance(told, dict) else None
    listed = told if ask.spec.find == (".",) else _at(told, ask.spec.find)
    if not isinstance(listed, list):
        return None
    wanted = list(zip((path for path, _ in ask.spec.where), ask.where, strict=True))
    return [item for item in listed if all(_text(_at(item, path)) == text for path, text in wanted)]


def _nothing_found(name: str, none: WhenNone, raw: Raw) -> Reply:
    return _reply(Outcome(none), raw, f"the look-up of {name} finds nothing")


# -- jobs ------------------------------------------------------------------------------------------------------------


def sort_job(spec: ApiSpec, job: Job, name: str, raw: Raw, *, now: dt.datetime) -> Reply:
    """Return what came of an accepted write. It was taken on, so no answer but the job's own says that it failed."""
    told = _read(raw.body)
    status = _text(_at(told, job.status)) if raw.status == 200 else ""
    if status in job.done:
        return _reply(Outcome.APPLIED, raw, status)
    if status in (*job.partial, *job.failed):
        return _reply(Outcome.REJECTED, raw, f"{status}: {_errors(_at(told, job.errors)) or 'without a reason'}")
    if status in job.pending:
        return _reply(Outcome.ACCEPTED, raw, status, job=name, retry_after_s=job.again_s)
    refusal = sort_refusal(spec.answers, raw, now=now)
    if raw.status != 200 and refusal.outcome in (Outcome.LIMITED, Outcome.UNAUTHORIZED):
        return refusal
    if raw.status >= 500:
        return _reply(Outcome.UNKNOWN, raw, refusal.message, retry_after_s=refusal.retry_after_s)
    why = f"the job says nothing yet: {refusal.message if raw.status != 200 else f'unknown status `{status}`'}"
    return _reply(Outcome.ACCEPTED, raw, why, job=name, retry_after_s=job.again_s)


def _errors(found: Any) -> str:
    listed = found if isinstance(found, list) else [found]
    texts = [_text(item.get("message", item)) if isinstance(item, dict) else _text(item) for item in listed]
    return "; ".join(text for text in texts if text)


# -- JSON ------------------------------------------------------------------------------------------------------------


def _reply(outcome: Outcome, raw: Raw, message: str, **more: Any) -> Reply:
    return Reply(
        outcome=outcome, status=raw.status, message=message[:MAX_MESSAGE], body=raw.body[:MAX_BODY_BYTES], **more
    )


def _read(body: bytes) -> Any:
    """Return the answer's JSON object or list; None when it is neither."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict | list) else None


def _at(told: Any, path: JsonPath) -> Any:
    """Return what stands at a path; the mark of absence when nothing does."""
    for name in path:
        if isinstance(told, dict) and name in told:
            told = told[name]
        elif isinstance(told, list) and name.isdigit() and int(name) < len(told):
            told = told[int(name)]
        else:
            return _ABSENT
    return told


def _text(value: Any) -> str:
    """Return a JSON value as a destination file writes it."""
    if value is _ABSENT:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _message(answers: Answers, told: Any) -> str:
    """Return the API's own words, from the first path that has some."""
    found = (_at(told, path) for path in answers.messages)
    return next((text for text in found if isinstance(text, str) and text), "")
