"""The shapes of what the operator API takes and gives, as JSON Schema."""

from collections.abc import Mapping
from typing import Any

from parsers.events import FLAGS, Kind
from worker.order import State
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
