"""The routes of the operator API: one table. From it requests are sent on, and the description is made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from worker import actions, listing, log, telling, views
from worker.console.ops.asked import LIST_NAMES, TOKEN_NAME, Asked
from worker.console.ops.envelope import Answer, Refused, invalid, listed
from worker.console.ops.mending import get_replay, pause_replay, post_replay, post_undo, resume_replay
from worker.console.ops.trying import TRY_BYTES, post_try
from worker.pmsevent import Untellable
from worker.runtime import Runtime

JSON_BYTES = 65_536

_SENDER = re.compile(r"[!-?A-~]{1,255}@[!-?A-~]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter of the query."""

    name: str
    about: str
    is_needed: bool = False
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One thing that can be asked for."""

    method: str
    path: str
    """Below ``/ops/v1``; ``{name}`` stands for one segment."""
    name: str
    about: str
    answers: Mapping[int, str]
    """The schema of the data by status; ``raw`` for bytes as they are."""
    act: Callable[[Runtime, Asked], Answer]
    params: tuple[Param, ...] = ()
    refusals: tuple[int, ...] = ()
    """Beside 401, 500 and 503."""
    body: str = ""
    """The schema of the body, ``raw`` for bytes, empty for none."""
    is_list: bool = False
    max_bytes: int = JSON_BYTES
    """Bytes of the body; of ``raw`` the limit of mails holds instead."""
    is_dry: bool = False
    """A POST that changes nothing, and so leaves no audit row."""

    @property
    def is_writing(self) -> bool:
        return self.method == "POST" and not self.is_dry

    def match(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        """Return what a path has at the route's names; None when it is not the route's."""
        own = tuple(self.path.strip("/").split("/"))
        if len(own) != len(parts):
            return None
        named: dict[str, str] = {}
        for mine, given in zip(own, parts, strict=True):
            if mine.startswith("{"):
                named[mine.strip("{}")] = given
            elif mine != given:
                return None
        return named


def list_params(columns: tuple[str, ...], words: str) -> tuple[Param, ...]:
    """Return the parameters of a list."""
    about = {
        "page": Param(name="page", about="The page, from 1.", schema={"type": "integer", "default": 1}),
        "page_size": Param(
            name="page_size", about="Rows of a page, at most 100.", schema={"type": "integer", "default": 20}
        ),
        "sort_by": Param(
            name="sort_by", about="The column to sort by.", schema={"type": "string", "enum": list(columns)}
        ),
        "sort_order": Param(name="sort_order", about="The order.", schema={"type": "string", "enum": ["asc", "desc"]}),
        "created_after": Param(name="created_after", about="From this time on; in UTC where no zone is given."),
        "created_before": Param(name="created_before", about="Before this time."),
        "q": Param(name="q", about=words),
    }
    return tuple(about[name] for name in LIST_NAMES)


def _list_of(name: str) -> Callable[[Runtime, Asked], Answer]:
    def act(runtime: Runtime, asked: Asked) -> Answer:
        wish = asked.wish(tuple(listing.LISTS[name].columns))
        return listed(listing.list_page(runtime.db, name, wish), wish)

    return act


def _columns(name: str) -> tuple[str, ...]:
    return tuple(listing.LISTS[name].columns)


def _rules(runtime: Runtime, asked: Asked) -> Answer:
    wish = asked.wish(listing.RULE_COLUMNS)
    return listed(listing.list_rules(runtime.rules(), wish), wish)


def _mail(runtime: Runtime, asked: Asked) -> Answer:
    return Answer(value=views.show_mail(runtime.db, asked.path["mail_id"]))


def _raw_mail(runtime: Runtime, asked: Asked) -> Answer:
    mail_id = asked.path["mail_id"]
    headers = {
        "Content-Type": "message/rfc822",
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    return Answer(raw=views.raw_mail(runtime.db, mail_id), headers=headers)


def _write_status(runtime: Runtime, asked: Asked) -> Answer:
    return Answer(value=views.show_write_status(runtime.db, asked.path["mail_id"]))


def _post_mail(runtime: Runtime, asked: Asked) -> Answer:
    address, mail_from = asked.query.get("mailbox", ""), asked.query.get("mail_from")
    if not address:
        raise invalid({"mailbox": "is required: the address of a mailbox"})
    if mail_from is not None and not _SENDER.fullmatch(mail_from):
        raise invalid({"mail_from": "must be an address"})
    actor = asked.actor()
    mailbox = telling.find_mailbox(runtime.mailboxes(), address)
    if not asked.body.size:
        raise invalid({"body": "must be a mail: it is empty"})
    mail_id = telling.tell_mail(
        runtime.db,
        runtime.keeper,
        asked.body.give(),
        mailbox,
        address=address,
        peer=asked.peer,
        mail_from=mail_from,
        token=TOKEN_NAME,
        actor=actor,
        now=asked.now,
    )
    kept = {"id": mail_id, "mailbox": mailbox.address, "state": "new"}
    return Answer(status=202, value=kept)


def _post_event(runtime: Runtime, asked: Asked) -> Answer:
    actor = asked.actor()
    try:
        told = telling.tell_event(
            runtime.db,
            asked.read_object(),
            mailboxes=runtime.mailboxes,
            rules=runtime.rules,
            guards=runtime.settings.guards_in_force,
            skew_s=runtime.settings.sweep.clock_skew_s,
            actor=actor,
            now=asked.now,
            on_told=runtime.hooks.tell,
            on_trouble=log.trouble,
        )
    except Untellable as error:
        raise invalid(error.wrong) from error
    if told.stored.matters:
        runtime.doorbell.ring_lanes([told.stored.key])
    return Answer(status=202 if told.stored.is_new else 200, value=told.event)


def _retry_mail(runtime: Runtime, asked: Asked) -> Answer:
    mail_id = asked.path["mail_id"]
    actions.retry_mail(runtime.db, mail_id, actor=asked.actor(), now=asked.now)
    runtime.doorbell.ring_mails([mail_id])
    return Answer(status=202, value={"id": mail_id, "state": "new"})


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/write-status/{mail_id}",
        name="getWriteStatus",
        about="What became of a mail at its destination.",
        answers={200: "WriteStatus"},
        refusals=(404,),
        act=_write_status,
    ),
    Route(
        method="GET",
        path="/mails",
        name="listMails",
        about="Mails, newest first.",
        answers={200: "Mail"},
        params=list_params(_columns("mails"), "Words and tokens, as `gatepost mail list` takes them: `state:held`."),
        is_list=True,
        act=_list_of("mails"),
    ),
    Route(
        method="POST",
        path="/mails",
        name="postMail",
        about="Keep a raw mail, as if it had come by SMTP; 202 only once it is committed.",
        answers={202: "KeptMail"},
        params=(
            Param(name="mailbox", about="The address of the mailbox that it is for.", is_needed=True),
            Param(name="mail_from", about="The envelope sender, where the poster knows it."),
        ),
        refusals=(404, 408, 413, 422),
        body="raw",
        act=_post_mail,
    ),
    Route(
        method="GET",
        path="/mails/{mail_id}",
        name="getMail",
        about="One mail: how it was read, its events and their calls.",
        answers={200: "WholeMail"},
        refusals=(404,),
        act=_mail,
    ),
    Route(
        method="GET",
        path="/mails/{mail_id}/raw",
        name="getRawMail",
        about="The bytes of a mail, as they came.",
        answers={200: "raw"},
        refusals=(404,),
        act=_raw_mail,
    ),
    Route(
        method="POST",
        path="/mails/{mail_id}/retry",
        name="retryMail",
        about="Have a held mail read again, with the rules of now.",
        answers={202: "RetriedMail"},
        refusals=(404, 409, 422),
        act=_retry_mail,
    ),
    Route(
        method="GET",
        path="/events",
        name="listEvents",
        about="Events, newest first.",
        answers={200: "Event"},
        params=list_params(_columns("events"), "Words and tokens, as `gatepost events list` takes them: `unit:B204`."),
        is_list=True,
        act=_list_of("events"),
    ),
    Route(
        method="POST",
        path="/events",
        name="postEvent",
        about="Tell one event. 202: stored. 200: it was known, by mail or by this API.",
        answers={200: "Event", 202: "Event"},
        refusals=(408, 409, 413, 422),
        body="PmsEvent",
        act=_post_event,
    ),
    Route(
        method="GET",
        path="/units",
        name="listUnits",
        about="Units that have been named, in order of their ids.",
        answers={200: "Unit"},
        params=list_params(_columns("units"), "Words that id, unit or location hold."),
        is_list=True,
        act=_list_of("units"),
    ),
    Route(
        method="GET",
        path="/rules",
        name="listRules",
        about="The rules of the live set.",
        answers={200: "Rule"},
        params=list_params(listing.RULE_COLUMNS, "Words that the rule's name holds."),
        is_list=True,
        act=_rules,
    ),
    Route(
        method="POST",
        path="/rules/try",
        name="tryRules",
        about="Read a mail with some rules, or with the live ones, as `gatepost explain` does. Nothing is stored.",
        answers={200: "Tried"},
        refusals=(404, 408, 413, 422),
        body="TryWish",
        max_bytes=TRY_BYTES,
        is_dry=True,
        act=post_try,
    ),
    Route(
        method="GET",
        path="/issues",
        name="listIssues",
        about="Issues, the last seen first.",
        answers={200: "Issue"},
        params=list_params(_columns("issues"), "Words that kind, state or title hold."),
        is_list=True,
        act=_list_of("issues"),
    ),
    Route(
        method="POST",
        path="/undo",
        name="undo",
        about="Take events back as if they had never been told. Without `go` nothing is done: the plan.",
        answers={200: "Undo", 202: "Undo"},
        refusals=(408, 409, 413, 422),
        body="UndoWish",
        act=post_undo,
    ),
    Route(
        method="GET",
        path="/replays",
        name="listReplays",
        about="Replays, newest first.",
        answers={200: "Replay"},
        params=list_params(_columns("replays"), "Words that query, state or reason hold."),
        is_list=True,
        act=_list_of("replays"),
    ),
    Route(
        method="POST",
        path="/replays",
        name="startReplay",
        about="Read stored mails again, or state again what is wanted. Without `go` nothing is done: the plan.",
        answers={200: "ReplayPlan", 202: "WholeReplay"},
        refusals=(408, 409, 413, 422),
        body="ReplayWish",
        act=post_replay,
    ),
    Route(
        method="GET",
        path="/replays/{number}",
        name="getReplay",
        about="One replay: how far it is, and what came of its items.",
        answers={200: "WholeReplay"},
        refusals=(404,),
        act=get_replay,
    ),
    Route(
        method="POST",
        path="/replays/{number}/pause",
        name="pauseReplay",
        about="Pause a replay that has not ended.",
        answers={200: "WholeReplay"},
        refusals=(404, 422),
        act=pause_replay,
    ),
    Route(
        method="POST",
        path="/replays/{number}/resume",
        name="resumeReplay",
        about="Have a paused replay go on.",
        answers={200: "WholeReplay"},
        refusals=(404, 422),
        act=resume_replay,
    ),
)


def find_route(method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
    """Return the route of a path as it stands in the request line, and what it names.

    Raises:
        Refused: 404 for an unknown path, 405 for another method.
    """
    try:
        parts = tuple(unquote_to_bytes(part).decode("utf-8") for part in raw_path.strip("/").split("/"))
    except UnicodeDecodeError:
        parts = ()
    has_nul = any("\0" in part for part in parts)  # no id holds it, and no database takes it
    found = [(route, named) for route in ROUTES if not has_nul and (named := route.match(parts)) is not None]
    if not found:
        raise Refused(404, "There is no such resource.")
    asked_for = "GET" if method == "HEAD" else method
    for route, named in found:
        if route.method == asked_for:
            return route, named
    allowed = ", ".join(route.method for route, _ in found)
    raise Refused(405, f"{method} is not allowed here; {allowed} is.", headers={"Allow": allowed})
