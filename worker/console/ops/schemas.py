"""The shapes of what the operator API takes and gives, as JSON Schema."""

from collections.abc import Mapping
from typing import Any

from parsers import Outcome
from parsers.events import FLAGS, Kind
from worker.calls import Verb
from worker.order import State
from worker.replay import Effect
from worker.store.issues import IssueState
from worker.store.mails import MailState

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
YES_NO: Schema = {"type": "boolean"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
MAYBE_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time"}
DATE: Schema = {"type": "string", "format": "date"}
ANY_OBJECT: Schema = {"type": "object"}
WRITE_STATUSES = ("PENDING", "SUCCESS", "PARTIAL_SUCCESS", "FAILURE", "IGNORED")


def one_of(words: Any) -> Schema:
    """Return the shape of a word of a closed list."""
    return {"type": "string", "enum": [str(word) for word in words]}


def many(of: Schema) -> Schema:
    """Return the shape of a list."""
    return {"type": "array", "items": of}


def ref(name: str) -> Schema:
    """Return a reference to a shape of this page."""
    return {"$ref": f"#/components/schemas/{name}"}


def shape(needed: Mapping[str, Schema], **more: Schema) -> Schema:
    """Return the shape of an object: what it always has, and what it may have."""
    return {"type": "object", "required": sorted(needed), "properties": {**needed, **more}}


_MAIL = {
    "id": TEXT,
    "state": one_of(MailState),
    "reason": MAYBE,
    "detail": MAYBE,
    "mailbox": TEXT,
    "received_at": INSTANT,
    "mailed_at": MAYBE_INSTANT,
    "from": MAYBE,
    "subject": MAYBE,
    "message_id": MAYBE,
    "rule": MAYBE,
    "rule_set": MAYBE,
    "evidence": ANY_OBJECT,
    "due_at": MAYBE_INSTANT,
}
_EVENT = {
    "id": NUMBER,
    "state": one_of(State),
    "reason": MAYBE,
    "detail": MAYBE,
    "kind": one_of(Kind),
    "unit": TEXT,
    "crm_unit_id": TEXT,
    "destination": TEXT,
    "effective_at": INSTANT,
    "body": ANY_OBJECT,
    "expect": ANY_OBJECT,
    "rule": TEXT,
    "rule_set": TEXT,
    "mail": MAYBE,
    "mailbox": TEXT,
    "identity": TEXT,
    "settled_at": MAYBE_INSTANT,
    "created_at": INSTANT,
    "author": MAYBE,
}
_PMS_EVENT: Mapping[str, Schema] = {
    "unit": {**TEXT, "description": "The unit as the PMS names it. This or crm_unit_id is needed."},
    "crm_unit_id": {**TEXT, "description": "The unit as the destination knows it."},
    "occurred_at": {**INSTANT, "description": "When it happened; now, when left out."},
    "id": {"type": ["string", "integer"], "description": "What makes it itself: the same id is the same occurrence."},
    "pms_tenant_id": TEXT,
    "ledger_id": MAYBE,
    "move_in_date": DATE,
    "move_out_date": DATE,
    "unit_name": {**TEXT, "description": "Of a move-in; must be what the mailbox says."},
    "pms_location_code": {**TEXT, "description": "Of a move-in; must be what the mailbox says."},
    "occupied": {**YES_NO, "description": "Of a snapshot."},
    "balance_due": {"type": ["number", "string"]},
    "paid_through_date": {"type": ["string", "null"], "format": "date"},
    **dict.fromkeys(FLAGS, YES_NO),
    "pms_status_raw": MAYBE,
    "@type": {"type": "string", "enum": ["PmsEvent"]},
    "@context": {},
}

_REPLAY = {
    "replay": NUMBER,
    "query": TEXT,
    "from": one_of(["parse", "apply"]),
    "state": one_of(["running", "paused", "done"]),
    "actor": TEXT,
    "reason": TEXT,
    "created_at": INSTANT,
    "ended_at": MAYBE_INSTANT,
}
_WISH: Mapping[str, Schema] = {
    "go": {**YES_NO, "description": "Do it; without, only say what would be done."},
    "reason": {**TEXT, "description": "Why; it is kept in the audit. Needed with go."},
}
_COUNTS: Schema = {"type": "object", "additionalProperties": NUMBER}

SCHEMAS: Mapping[str, Schema] = {
    "Mail": shape(_MAIL),
    "WholeMail": shape(
        {
            **_MAIL,
            "write_status": one_of(WRITE_STATUSES),
            "events": many({"allOf": [ref("Event"), shape({"calls": many(ref("Call"))})]}),
            "repeats": many(NUMBER),
            "reading": {"type": ["object", "null"]},
        }
    ),
    "KeptMail": shape({"id": TEXT, "mailbox": TEXT, "state": one_of(["new"])}),
    "RetriedMail": shape({"id": TEXT, "state": one_of(["new"])}),
    "WriteStatus": shape(
        {
            "write_status": one_of(WRITE_STATUSES),
            "errors": many(shape({"event": {"type": ["integer", "null"]}, "code": TEXT, "message": TEXT})),
            "calls": many(ref("Call")),
        }
    ),
    "Call": shape(
        {
            "id": NUMBER,
            "request": TEXT,
            "body": TEXT,
            "key": TEXT,
            "generation": NUMBER,
            "state": TEXT,
            "writes_from": many(TEXT),
            "attempts": many(ref("Attempt")),
        }
    ),
    "Attempt": shape(
        {
            "at": INSTANT,
            "took_s": {"type": "number"},
            "outcome": TEXT,
            "status": {"type": ["integer", "null"]},
            "message": TEXT,
            "answer": TEXT,
            "by": TEXT,
        },
        asked=TEXT,
    ),
    "Event": shape(_EVENT),
    "PmsEvent": {**shape({"event": one_of(Kind), "mailbox": TEXT}, **_PMS_EVENT), "additionalProperties": False},
    "Unit": shape(
        {
            "crm_unit_id": TEXT,
            "destination": TEXT,
            "location": TEXT,
            "unit": TEXT,
            "confirmed": ANY_OBJECT,
            "due_at": MAYBE_INSTANT,
            "tries": NUMBER,
            "updated_at": INSTANT,
        }
    ),
    "Rule": shape(
        {
            "name": TEXT,
            "pack": TEXT,
            "gives": many(one_of(Kind)),
            "ignores": MAYBE,
            "senders": many(TEXT),
            "rule_set": TEXT,
        }
    ),
    "TryWish": {
        **shape(
            {
                "mail": {**TEXT, "description": "Base64 of the mail's bytes, or its text."},
                "mailbox": {**TEXT, "description": "The mailbox that it is for."},
            },
            rules={
                "type": "object",
                "additionalProperties": TEXT,
                "description": "Rule files, text by name: the whole set. Without: the live set.",
            },
            trust={**YES_NO, "default": True, "description": "Take the sender as proven."},
        ),
        "additionalProperties": False,
    },
    "Tried": shape(
        {
            "outcome": one_of(Outcome),
            "rule": MAYBE,
            "rule_set": TEXT,
            "reason": MAYBE,
            "events": many(ref("ReadEvent")),
            "trace": {**ANY_OBJECT, "description": "What was seen and tried, as `gatepost explain --json` has it."},
            "calls": many(ref("CallAlone")),
        }
    ),
    "CallAlone": shape(
        {
            "event": {**NUMBER, "description": "Its place among `events`, from 0; as the only event of its unit."},
            "crm_unit_id": TEXT,
            "request": TEXT,
            "body": TEXT,
            "key": TEXT,
        }
    ),
    "ReadEvent": shape(
        {
            "kind": one_of(Kind),
            "unit": TEXT,
            "crm_unit_id": TEXT,
            "effective_at": INSTANT,
            "identity": TEXT,
            "body": ANY_OBJECT,
        },
        on=DATE,
        expect=ANY_OBJECT,
        tenancy=ANY_OBJECT,
        columns=ANY_OBJECT,
    ),
    "Issue": shape(
        {
            "id": NUMBER,
            "kind": TEXT,
            "state": one_of(IssueState),
            "title": TEXT,
            "detail": TEXT,
            "subject": ANY_OBJECT,
            "count": NUMBER,
            "first_at": INSTANT,
            "last_at": INSTANT,
            "actor": MAYBE,
            "note": MAYBE,
        }
    ),
    "UndoWish": {
        **shape({"query": {**TEXT, "description": "As `gatepost events list` takes it."}}, **_WISH),
        "additionalProperties": False,
    },
    "Undo": shape({"done": YES_NO, "units": many(ref("UnitPlan"))}),
    "UnitPlan": shape(
        {
            "destination": TEXT,
            "crm_unit_id": TEXT,
            "withdrawn": many(NUMBER),
            "no_earlier_value": {**many(NUMBER), "description": "Held: nobody knows the value before them."},
            "calls": many(shape({"verb": one_of(Verb), "writes": ANY_OBJECT})),
            "remove_by_hand": {**YES_NO, "description": "The destination made this unit for one of these events."},
        }
    ),
    "ReplayWish": {
        **shape(
            {"query": {**TEXT, "description": "Of mails from parse, of events from apply."}},
            **{"from": {**one_of(["parse", "apply"]), "default": "parse"}},
            first={**NUMBER, "description": "Only so many, the oldest."},
            per_minute={**NUMBER, "description": "How fast; 0: no limit."},
            **_WISH,
        ),
        "additionalProperties": False,
    },
    "ReplayPlan": shape(
        {
            "done": YES_NO,
            "from": one_of(["parse", "apply"]),
            "items": {**NUMBER, "description": "What it would go over: mails from parse, units from apply."},
            "mails": {**NUMBER, "description": "How many of them the plan has read: at most 500, none from apply."},
            "effects": {**_COUNTS, "description": "How often each effect comes in these."},
            "changes": many(shape({"mail": TEXT, "effect": one_of(Effect), "what": TEXT})),
        }
    ),
    "Replay": shape(_REPLAY),
    "WholeReplay": shape(
        {
            **_REPLAY,
            "items": NUMBER,
            "outcomes": {**_COUNTS, "description": "How many items came to each effect; due: those that wait."},
            "notable": {
                **many(
                    shape({"mail": MAYBE, "event": {"type": ["integer", "null"]}, "outcome": TEXT, "detail": MAYBE})
                ),
                "description": "The first 200 that are not as before.",
            },
        }
    ),
    "Meta": shape({"timestamp": INSTANT, "request_id": TEXT, "version": one_of(["v1"])}),
    "ListMeta": {"allOf": [ref("Meta"), shape({"pagination": ref("Pagination")})]},
    "Pagination": shape(
        {
            "page": NUMBER,
            "page_size": NUMBER,
            "total_count": NUMBER,
            "total_pages": NUMBER,
            "has_next": YES_NO,
            "has_previous": YES_NO,
        }
    ),
    "Refusal": shape(
        {
            "success": {"type": "boolean", "enum": [False]},
            "error": shape({"code": TEXT, "message": TEXT, "details": many(shape({"field": TEXT, "message": TEXT}))}),
            "meta": ref("Meta"),
        }
    ),
}
