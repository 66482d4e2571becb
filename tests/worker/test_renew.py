"""A destination that refused our token goes on by itself once its token file has another one, and only then."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.rigs.kiss import TOKEN, served
from tests.rigs.whole import TOKEN_ENV, Clock, Whole, whole
from worker import actions
from worker.calls import Outcome, Reply
from worker.destinations.tokens import digest_of, marked, refused_digest
from worker.renew import AGAIN
from worker.store.tables import attempts, audit, event_log, issues, pauses

WRONG = "another-token-of-old"

Start = Callable[..., tuple[Whole, Any, Path]]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Return a function that applies a move-in with a token that the stand-in refuses."""
    with contextlib.ExitStack() as stack:

        def begin(first: str | None = WRONG, **far: Any) -> tuple[Whole, Any, Path]:
            clock, file = Clock(), tmp_path / "token"
            if first is not None:
                file.write_text(f"{first}\n", "utf-8")
            kiss = stack.enter_context(served("kiss-v2", clock=clock))
            how = {"kind": "kiss", "base_url": kiss.base_url, **(far or {"token_file": str(file)})}
            made = stack.enter_context(whole(database_url, far=how, clock=clock))
            made.move_in()
            made.runtime.drain([("far", "MAIN-B204")])
            return made, kiss, file

        yield begin


def rows(made: Whole, table: sa.Table) -> list[Any]:
    """Return the rows of a table."""
    with made.runtime.db.read() as connection:
        return list(connection.execute(table.select()))


def sweep(made: Whole) -> bool:
    """Sweep once, a little later; say whether the destination is still paused."""
    made.clock.advance(2)
    made.runtime.sweep()
    return bool(rows(made, pauses))


@pytest.mark.parametrize("first", [WRONG, "", None])
def test_a_renewed_token_file_ends_the_pause(start: Start, first: str | None) -> None:
    """While the file is as it was, or empty, nothing is sent; with another token the next sweep lets the calls go."""
    made, kiss, file = start(first)
    assert [row.kind for row in rows(made, issues)] == ["unauthorized"]
    assert [sweep(made) for _ in range(3)] == [True] * 3
    file.write_text("", "utf-8")
    assert sweep(made)
    file.write_text(f"{TOKEN}\n", "utf-8")
    with capture_logs() as logged:
        assert not sweep(made)
    assert [line["destination"] for line in logged if line["event"] == "token_renewed"] == ["far"]
    made.drain()
    assert {event.state for event in made.events()} == {"applied"}
    assert kiss.units()["MAIN-B204"]["occupied"] is True
    assert [row.state for row in rows(made, issues) if row.kind == "unauthorized"] == ["resolved"]
    told = [(row.actor, row.action) for row in rows(made, audit) if row.actor == "gatepost"]
    assert told == [("gatepost", "resume destination")]


def test_another_token_that_is_refused_too_pauses_again(start: Start) -> None:
    """A second wrong token is tried once, and opens the issue again; it is not tried again and again."""
    made, kiss, file = start()
    file.write_text("wrong-once-more", "utf-8")
    assert not sweep(made)
    made.runtime.drain([("far", "MAIN-B204")])
    assert [(row.state, row._mapping["count"]) for row in rows(made, issues)] == [("open", 2)]
    asked = len(kiss.asked())
    assert [sweep(made) for _ in range(3)] == [True] * 3
    assert len(kiss.asked()) == asked == 2


def test_a_token_that_another_process_does_not_have_is_not_tried_all_the_time(start: Start) -> None:
    """Where the process that sends still has the old file, the sweep's new token ends the pause now and then only."""
    made, _, file = start()
    (refused,) = rows(made, pauses)
    file.write_text(TOKEN, "utf-8")
    assert not sweep(made)
    with made.runtime.db.write() as connection:
        connection.execute(pauses.insert().values(**refused._mapping))
    assert [sweep(made) for _ in range(3)] == [True] * 3
    made.clock.advance(AGAIN.total_seconds())
    assert not sweep(made)


def test_what_a_person_pauses_a_person_resumes(start: Start) -> None:
    """A person's pause takes the place of the machine's, and stays whatever the file holds."""
    made, _, file = start()
    actions.pause(made.runtime.db, "destination", "far", actor="anna", reason="moving", now=made.clock())
    file.write_text(TOKEN, "utf-8")
    assert sweep(made)
    (pause,) = rows(made, pauses)
    assert (pause.actor, pause.reason) == ("anna", "moving")


def test_a_token_of_the_environment_waits_for_a_person(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process cannot see its environment change: such a pause ends by hand."""
    monkeypatch.setenv(TOKEN_ENV, WRONG)
    made, _, _ = start(token_env=TOKEN_ENV)
    monkeypatch.setenv(TOKEN_ENV, TOKEN)
    assert [sweep(made) for _ in range(2)] == [True] * 2


def test_no_token_is_kept(start: Start) -> None:
    """The store has a digest of the refused token, and nowhere the token itself."""
    made, _, _ = start()
    (pause,) = rows(made, pauses)
    assert refused_digest(pause.reason) == digest_of(WRONG)
    kept = [str(row) for table in (pauses, issues, attempts, event_log, audit) for row in rows(made, table)]
    assert len(kept) >= 3
    assert not any(WRONG in text for text in kept)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.UNAUTHORIZED])
def test_only_a_refused_token_is_named(outcome: Outcome) -> None:
    """No other answer says anything of the token."""
    assert marked(Reply(outcome=outcome, message="no"), TOKEN) == Reply(outcome=outcome, message="no")


@pytest.mark.parametrize("words", ["", "Unauthorized.", "x" * 1000, "[token digest 0123456789abcdef]"])
def test_a_refused_token_is_named_at_the_end(words: str) -> None:
    """However long the destination's words are, the digest is ours and stands last; what they say of one is not it."""
    reply = marked(Reply(outcome=Outcome.UNAUTHORIZED, message=words), TOKEN)
    assert (len(reply.message) <= 1000, refused_digest(f"401: {reply.message}")) == (True, digest_of(TOKEN))
    assert TOKEN not in reply.message
    assert refused_digest("401: Unauthorized.") is None
    assert digest_of(TOKEN) != digest_of(WRONG)
