"""The keeper answers after the commit, for all recipients or none, and one bad mail fails alone."""

import contextlib
import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worker.store import keep
from worker.store.bodies import CHUNK_BYTES, Spool, read_body
from worker.store.database import Database
from worker.store.keep import Keeper, KeeperStopped, KeptMail, NotKept, describe
from worker.store.tables import bodies, body_chunks, mails

NOW = dt.datetime(2026, 3, 5, 12, 0, 0, 123456, tzinfo=dt.UTC)
PATIENCE_S = 20


class Gate:
    """A database whose transactions wait for the test, fail when it says so, and are written down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.engine = database.engine
        self.may_pass = threading.Semaphore(0)
        self.is_open = False
        self.arrived = threading.Semaphore(0)
        self.fail: Callable[[int], BaseException | None] = lambda _: None
        self.n = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        self.n += 1
        n = self.n
        self.arrived.release()
        if not self.is_open:
            assert self.may_pass.acquire(timeout=PATIENCE_S)
        with self._database.write() as connection:
            yield connection
            error = self.fail(n)
            if error is not None:
                raise error

    def open(self) -> None:
        self.is_open = True
        self.may_pass.release()

    def wait_for_transaction(self) -> None:
        assert self.arrived.acquire(timeout=PATIENCE_S)


@pytest.fixture
def gate(database: Database) -> Gate:
    return Gate(database)


Make = Callable[..., Keeper]


@pytest.fixture
def make(database: Database) -> Iterator[Make]:
    made: list[Keeper] = []

    def _make(db: Any = database, **options: Any) -> Keeper:
        options = {"batch_mails": 100, "batch_bytes": 1 << 22, "on_kept": lambda _: None, **options}
        keeper = Keeper(db, clock=lambda: NOW, **options)
        made.append(keeper)
        return keeper

    yield _make
    for keeper in made:
        keeper.stop()


def mail(body: bytes | Spool = b"hello\r\n", *to: str, **evidence: Any) -> KeptMail:
    recipients = tuple((address.lower(), address) for address in to or ("a@x.test",))
    return KeptMail(body=body, recipients=recipients, evidence=evidence)


def rows(database: Database, table: sa.Table) -> list[sa.RowMapping]:
    with database.read() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key)).mappings())


def stored(database: Database) -> set[bytes]:
    return {read_body(database, row["id"]) for row in rows(database, bodies)}


def spool(content: bytes) -> Spool:
    made = Spool(memory_bytes=1024)
    made.write(content)
    return made


def test_one_mail_is_kept_whole(database: Database, make: Make) -> None:
    """A mail's row says all that was known of it, is due at once, and its body is byte for byte what came."""
    content = b"Subject: x\r\n\r\n\x00\xff.\r\n"
    mail_id = make().submit(mail(content, "Main@X.test", helo="pms", mail_from="")).result(PATIENCE_S)
    (row,) = rows(database, mails)
    assert (mail_id, mail_id, "main@x.test", "new") == (row["id"], row["body_id"], row["mailbox"], row["state"])
    assert (row["received_at"], row["due_at"]) == (NOW, NOW)
    assert (row["tries"], row["rung_at"]) == (0, None)
    assert row["evidence"] == {
        "helo": "pms",
        "mail_from": "",
        "rcpt": "Main@X.test",
        "received_at": NOW.isoformat(),
    }
    (body,) = rows(database, bodies)
    assert (len(content), hashlib.sha256(content).hexdigest(), NOW) == (
        body["size_bytes"],
        body["sha256"],
        body["received_at"],
    )
    assert content == read_body(database, mail_id)


def test_received_at_of_the_receiver_counts(database: Database, make: Make) -> None:
    """The instant at which the message was whole is kept, not the one at which it was submitted."""
    earlier = NOW - dt.timedelta(seconds=3)
    make().submit(KeptMail(body=b"x", recipients=(("a@x.test", "a@x.test"),), evidence={}, received_at=earlier)).result(
        PATIENCE_S
    )
    (row,) = rows(database, mails)
    assert (earlier, earlier.isoformat()) == (row["received_at"], row["evidence"]["received_at"])


def test_several_mailboxes_share_one_body(database: Database, make: Make) -> None:
    """Each mailbox gets one mail with an id of its own, twice named or not; the first has the id that was told."""
    mail_id = make().submit(mail(b"x", "a@x.test", "B@x.test", "A@x.test", "c@x.test")).result(PATIENCE_S)
    assert [(mail_id, "a@x.test"), (f"{mail_id}-2", "B@x.test"), (f"{mail_id}-3", "c@x.test")] == [
        (row["id"], row["evidence"]["rcpt"]) for row in rows(database, mails)
    ]
    assert {mail_id} == {row["body_id"] for row in rows(database, mails)}
    assert len(rows(database, bodies)) == 1


def test_several_mailboxes_all_or_none(database: Database, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the row of one mailbox cannot be written, none of the others' is there, nor the body."""
    honest = keep._mail_rows
    monkeypatch.setattr(
        keep, "_mail_rows", lambda one: [(*row[:2], None if "-3" in row[0] else "m", *row[3:]) for row in honest(one)]
    )
    with pytest.raises(NotKept):
        make().submit(mail(b"x", "a@x.test", "b@x.test", "c@x.test")).result(PATIENCE_S)
    assert [] == rows(database, mails) == rows(database, bodies) == rows(database, body_chunks)


def test_no_answer_before_the_commit(gate: Gate, make: Make) -> None:
    """The future is open as long as the transaction is, and resolved once it is through."""
    future = make(gate).submit(mail())
    gate.wait_for_transaction()
    assert not future.done()
    gate.open()
    assert future.result(PATIENCE_S)


def test_what_waits_shares_a_transaction(gate: Gate, make: Make, database: Database) -> None:
    """All mails that come in during a commit are committed together, in one further transaction."""
    seen: list[tuple[int, int]] = []
    keeper = make(gate, observe_batch=lambda n_mails, n_bytes, _: seen.append((n_mails, n_bytes)))
    futures = [keeper.submit(mail(b"first"))]
    gate.wait_for_transaction()
    futures += [keeper.submit(mail(b"%d" % n)) for n in range(50)]
    gate.open()
    assert len({future.result(PATIENCE_S) for future in futures}) == 51
    keeper.stop()
    assert seen == [(1, 5), (50, 90)]
    assert (
        keeper.stats.kept,
        keeper.stats.mails,
        keeper.stats.batches,
        keeper.stats.last_mails,
        keeper.stats.last_bytes,
    ) == (51, 51, 2, 50, 90)
    assert len(stored(database)) == 51


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ({"batch_mails": 4}, [1, 4, 4, 2]),
        ({"batch_bytes": 3000}, [1, 3, 3, 3, 1]),
        ({"batch_bytes": 1}, [1] * 11),
    ],
)
def test_batches_are_capped(gate: Gate, make: Make, caps: dict[str, int], expected: list[int]) -> None:
    """A batch has at most so many mails and so many bytes; a mail above the cap of bytes goes alone."""
    seen: list[int] = []
    keeper = make(gate, observe_batch=lambda n_mails, *_: seen.append(n_mails), **caps)
    futures = [keeper.submit(mail(b"x" * 1000))]
    gate.wait_for_transaction()
    futures += [keeper.submit(mail(b"x" * 1000)) for _ in range(10)]
    gate.open()
    for future in futures:
        future.result(PATIENCE_S)
    keeper.stop()
    assert expected == seen


def test_only_the_culprit_fails(gate: Gate, make: Make, database: Database) -> None:
    """A mail that the store refuses fails alone; its neighbours in the batch are kept."""
    keeper = make(gate)
    first = keeper.submit(mail(b"first"))
    gate.wait_for_transaction()
    good = [keeper.submit(mail(b"good %d" % n)) for n in range(3)]
    bad = keeper.submit(mail(b"bad", helo=object()))  # has no place in a JSON column
    good += [keeper.submit(mail(b"good %d" % n)) for n in range(3, 6)]
    gate.open()
    with pytest.raises(NotKept) as caught:
        bad.result(PATIENCE_S)
    assert caught.value.__cause__ is not None
    kept = {future.result(PATIENCE_S) for future in [first, *good]}
    assert kept == {row["id"] for row in rows(database, mails)}
    assert {b"first", *(b"good %d" % n for n in range(6))} == stored(database)
    assert (keeper.stats.kept, keeper.stats.failed, keeper.stats.retried) == (7, 1, 7)


def test_a_store_that_fails_is_not_asked_for_each_mail(gate: Gate, make: Make, database: Database) -> None:
    """When two in a row fail for the store's own reason, the rest of the batch fails without a try."""
    keeper = make(gate)
    first = keeper.submit(mail(b"first"))
    gate.wait_for_transaction()
    futures = [keeper.submit(mail(b"%d" % n)) for n in range(20)]
    gate.fail = lambda n: sa.exc.OperationalError("COMMIT", None, Exception("disk full")) if n > 1 else None
    gate.open()
    assert first.result(PATIENCE_S)
    for future in futures:
        with pytest.raises(NotKept):
            future.result(PATIENCE_S)
    assert gate.n == 1 + 1 + 2
    assert stored(database) == {b"first"}


@pytest.mark.parametrize(
    "error",
    [
        sa.exc.OperationalError("INSERT", None, Exception("database or disk is full")),
        sa.exc.TimeoutError("pool"),
        OSError(28, "No space left on device"),
        ValueError("x"),
        MemoryError(),
        KeyError("x"),
        RuntimeError("x"),
        RecursionError(),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_fails_nothing_is_kept_and_the_next_mail_is(
    gate: Gate, make: Make, database: Database, error: BaseException
) -> None:
    """An exception of any class is NotKept to the sender; the keeper lives on."""
    keeper = make(gate)
    gate.open()
    gate.fail = lambda n: error if n == 1 else None
    with pytest.raises(NotKept) as caught:
        keeper.submit(mail(b"lost")).result(PATIENCE_S)
    assert type(error) is type(caught.value.__cause__)
    assert keeper.submit(mail(b"kept")).result(PATIENCE_S)
    assert stored(database) == {b"kept"}


def test_a_commit_that_only_seemed_to_fail_is_not_repeated(make: Make, database: Database) -> None:
    """When the batch was committed although its commit was reported as failed, its mails are there once."""
    gate = Gate(database)
    keeper = make(gate)
    first = keeper.submit(mail(b"first"))
    gate.wait_for_transaction()
    futures = [keeper.submit(mail(b"%d" % n)) for n in range(3)]
    honest = gate.write

    @contextlib.contextmanager
    def lies() -> Iterator[Connection]:
        with honest() as connection:
            yield connection
        if gate.n == 2:
            raise sa.exc.OperationalError("COMMIT", None, Exception("server closed the connection"))

    gate.write = lies
    gate.open()
    kept = [future.result(PATIENCE_S) for future in [first, *futures]]
    assert sorted(kept) == [row["id"] for row in rows(database, mails)]


def test_large_bodies_stream_and_small_mails_go_between(make: Make, database: Database) -> None:
    """A small mail that comes while a large one is written waits for one piece of it, not for all."""
    gate = Gate(database)
    keeper = make(gate)
    content = bytes(range(256)) * (5 * CHUNK_BYTES // 256) + b"end"
    large = keeper.submit(mail(spool(content), "a@x.test", "b@x.test"))
    gate.wait_for_transaction()  # its first piece
    small = keeper.submit(mail(b"small"))
    gate.may_pass.release(2)
    assert small.result(PATIENCE_S)
    assert not large.done()
    assert [read_body(database, row["id"]) for row in rows(database, bodies)] == [b"small"]
    gate.is_open = True
    gate.may_pass.release(9)
    large_id = large.result(PATIENCE_S)
    assert content == read_body(database, large_id)
    found = {row["id"]: row for row in rows(database, bodies)}
    assert hashlib.sha256(content).hexdigest() == found[large_id]["sha256"]
    sizes = [len(row["content"]) for row in rows(database, body_chunks) if row["body_id"] == large_id]
    assert sizes == [CHUNK_BYTES] * 5 + [3]
    assert {large_id, f"{large_id}-2", small.result()} == {row["id"] for row in rows(database, mails)}


def test_large_bodies_take_turns(make: Make, database: Database) -> None:
    """Several large bodies are written piece by piece in turn, so that none waits for the whole of another."""
    gate = Gate(database)
    keeper = make(gate)
    short, long = b"s" * (CHUNK_BYTES + 1), b"l" * (6 * CHUNK_BYTES)
    long_future = keeper.submit(mail(long))
    gate.wait_for_transaction()
    short_future = keeper.submit(mail(short))
    gate.may_pass.release(6)  # l l s l s, then the rows of the short one
    short_id = short_future.result(PATIENCE_S)
    assert not long_future.done()
    gate.open()
    gate.may_pass.release(9)
    assert (short, long) == (read_body(database, short_id), read_body(database, long_future.result(PATIENCE_S)))


def test_a_large_body_that_fails_half_way_leaves_no_mail(gate: Gate, make: Make, database: Database) -> None:
    """When a piece cannot be written the sender hears so, and there is neither a mail nor a body."""
    gate.open()
    gate.fail = lambda n: OSError(28, "No space left on device") if n == 3 else None
    keeper = make(gate)
    body = spool(b"x" * (4 * CHUNK_BYTES))
    with pytest.raises(NotKept):
        keeper.submit(mail(body)).result(PATIENCE_S)
    assert [] == rows(database, mails) == rows(database, bodies)
    assert keeper.submit(mail(b"next")).result(PATIENCE_S)


def test_stop_keeps_what_was_submitted(make: Make, database: Database) -> None:
    """Everything submitted before stop is kept, large bodies too; what comes after is refused."""
    gate = Gate(database)
    keeper = make(gate, batch_mails=3)
    futures = [keeper.submit(mail(b"%d" % n)) for n in range(10)]
    futures.append(keeper.submit(mail(b"x" * (3 * CHUNK_BYTES))))
    stopper = threading.Thread(target=keeper.stop)
    stopper.start()
    gate.open()
    gate.may_pass.release(99)
    stopper.join(PATIENCE_S)
    assert all(future.done() for future in futures)
    assert {future.result() for future in futures} == {row["id"] for row in rows(database, mails)}
    with pytest.raises(KeeperStopped):
        keeper.submit(mail())
    keeper.stop()


def test_a_mail_given_up_before_its_turn_is_not_kept(gate: Gate, make: Make, database: Database) -> None:
    """A future that was cancelled while it waited takes no part; one that is being written cannot be."""
    keeper = make(gate)
    first = keeper.submit(mail(b"first"))
    gate.wait_for_transaction()
    given_up = keeper.submit(mail(b"given up"))
    assert given_up.cancel()
    assert not first.cancel()
    last = keeper.submit(mail(b"last"))
    gate.open()
    assert first.result(PATIENCE_S)
    assert last.result(PATIENCE_S)
    assert stored(database) == {b"first", b"last"}


def test_ring_tells_the_ids_of_a_batch(gate: Gate, make: Make) -> None:
    """After the commit the ids of all mails of a batch are told at once, those of further recipients too."""
    rung: list[list[str]] = []
    keeper = make(gate, on_kept=lambda ids: rung.append(list(ids)))
    first = keeper.submit(mail(b"first"))
    gate.wait_for_transaction()
    second = keeper.submit(mail(b"second", "a@x.test", "b@x.test"))
    third = keeper.submit(mail(b"third"))
    gate.open()
    ids = [future.result(PATIENCE_S) for future in (first, second, third)]
    keeper.stop()
    assert [[ids[0]], [ids[1], f"{ids[1]}-2", ids[2]]] == rung


def test_a_ring_that_fails_or_hangs_costs_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mails are kept while the queue raises or blocks; rings beyond the bound are dropped and counted."""
    monkeypatch.setattr(keep, "RINGS_WAITING", 3)
    hang, is_hanging, n = threading.Event(), threading.Event(), 0

    def on_kept(_: Sequence[str]) -> None:
        nonlocal n
        n += 1
        if n == 1:
            raise ConnectionError("the queue is away")
        is_hanging.set()
        assert hang.wait(PATIENCE_S)

    keeper = make(on_kept=on_kept)
    keeper.submit(mail()).result(PATIENCE_S)
    keeper.submit(mail()).result(PATIENCE_S)
    assert is_hanging.wait(PATIENCE_S)
    for _ in range(10):
        keeper.submit(mail()).result(PATIENCE_S)
    assert (keeper.stats.kept, keeper.stats.failed) == (12, 0)
    hang.set()
    keeper.stop()
    assert keeper.stats.rings_dropped == 7


def test_observer_that_fails_costs_nothing(make: Make) -> None:
    """A metric that raises does not cost a mail."""

    def observe(*_: object) -> None:
        raise RuntimeError("metrics")

    keeper = make(observe_batch=observe)
    assert keeper.submit(mail()).result(PATIENCE_S)
    assert keeper.submit(mail()).result(PATIENCE_S)


def test_spools_are_closed(gate: Gate, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool is closed once its mail is kept, and once it is not."""
    closed: list[Spool] = []
    honest = Spool.close
    monkeypatch.setattr(Spool, "close", lambda self: (closed.append(self), honest(self))[1])
    gate.open()
    gate.fail = lambda n: ValueError() if n == 2 else None
    keeper = make(gate)
    good, bad = spool(b"x" * 5000), spool(b"y" * 5000)
    keeper.submit(mail(good)).result(PATIENCE_S)
    with pytest.raises(NotKept):
        keeper.submit(mail(bad)).result(PATIENCE_S)
    keeper.stop()
    assert [good, bad] == closed


def test_no_recipient_is_a_mistake_of_the_caller(make: Make) -> None:
    """A mail for nobody is refused at once."""
    with pytest.raises(ValueError, match="without a mailbox"):
        make().submit(KeptMail(body=b"", recipients=(), evidence={}))


def test_errors_are_described_without_values() -> None:
    """What is logged of a database error names its cause, and nothing of the mail in its parameters."""
    error = sa.exc.OperationalError("INSERT INTO mails", {"rcpt": "Jane Smith"}, Exception("disk I/O error"))
    assert describe(error) == "OperationalError: Exception: disk I/O error"
    assert describe(ValueError("Jane Smith")) == "ValueError"
