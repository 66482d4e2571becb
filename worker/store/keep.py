"""Keep mails: one writer thread, one transaction for all that wait, an answer only after the commit.

A body of more than ``CHUNK_BYTES`` is written piece by piece beforehand, one piece a turn between two batches, so
that a small mail never waits behind a large one; its ``bodies`` and ``mails`` rows go last, like any other's.

Errors:
    KeepError(StoreError)
    +-- NotKept           the store failed or refused; its cause is chained; the same mail may be kept later
    +-- KeeperStopped     submitted after stop
"""

import contextlib
import datetime as dt
import hashlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.store.bodies import CHUNK_BYTES, Spool, mail_ids, new_id
from worker.store.database import Database, StoreError
from worker.store.rows import RowInsert
from worker.store.tables import bodies, body_chunks, mails

RINGS_WAITING = 1024
"""Batches whose ring may wait; more are dropped, and the sweeper rings for them."""

BUSY_MAILS = 4
HOLD_S = 0.004
"""After a batch of so many mails the next one waits so long for its neighbours: fewer, larger transactions, and the
interpreter is left to the sessions meanwhile. A lone mail never waits."""


class KeepError(StoreError):
    """A mail was not kept."""


class NotKept(KeepError):
    """The store failed or refused the mail; nothing of it is in the store."""


class KeeperStopped(KeepError):
    """The keeper has been stopped and takes nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMail:
    """One message to keep for one or several mailboxes: all of them or none."""

    body: Spool | bytes
    """Belongs to the keeper once submitted: it is closed when the future is resolved."""
    recipients: tuple[tuple[str, str], ...]
    """Address of the mailbox, and the recipient as written. A mailbox named twice gets one mail."""
    evidence: Mapping[str, Any]
    """Peer, helo, mail_from and the like; ``rcpt`` and ``received_at`` are added for each mail."""
    received_at: dt.datetime | None = None
    """When the message was whole; None: when it is submitted."""


class Stats:
    """What the keeper has done, in plain numbers, for the metrics to read."""

    __slots__ = ("batches", "failed", "kept", "last_bytes", "last_mails", "mails", "retried", "rings_dropped")

    def __init__(self) -> None:
        self.kept = 0  # messages
        self.mails = 0  # rows: one a mailbox
        self.failed = 0  # messages that were not kept
        self.retried = 0  # messages of failed batches that were tried alone
        self.batches = 0
        self.last_mails = 0  # messages of the last batch
        self.last_bytes = 0
        self.rings_dropped = 0


class _Submission:
    """A mail on its way into the store."""

    __slots__ = ("body", "chunks_written", "digest", "future", "id", "mail", "mailboxes", "received_at", "size")

    def __init__(self, mail: KeptMail, now: dt.datetime) -> None:
        self.mail = mail
        self.body = mail.body
        self.size = len(mail.body) if isinstance(mail.body, bytes) else mail.body.size
        self.id = new_id(now)
        self.received_at = mail.received_at or now
        self.future: Future[str] = Future()
        self.digest = hashlib.sha256(usedforsecurity=False) if self.is_large else None
        self.chunks_written = 0
        # Recipient as written by mailbox; of several for one mailbox the first.
        self.mailboxes: dict[str, str] = {}
        for address, rcpt in mail.recipients:
            self.mailboxes.setdefault(address, rcpt)

    @property
    def is_large(self) -> bool:
        return self.size > CHUNK_BYTES

    def chunk(self, n: int) -> bytes:
        if isinstance(self.body, bytes):
            return self.body[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES]
        return self.body.read_at(n * CHUNK_BYTES, CHUNK_BYTES)

    def close(self) -> None:
        if isinstance(self.body, Spool):
            with contextlib.suppress(OSError):
                self.body.close()


class Keeper:
    """The one hand that writes new mails. Made after fork or spawn; its thread starts at once."""

    def __init__(
        self,
        db: Database,
        *,
        batch_mails: int,
        batch_bytes: int,
        clock: Callable[[], dt.datetime],
        on_kept: Callable[[Sequence[str]], None],
        observe_batch: Callable[[int, int, float], None] | None = None,
        on_trouble: Callable[..., None] = lambda **_fields: None,
    ) -> None:
        self._on_trouble = on_trouble
        self._db = db
        self._batch_mails = batch_mails
        self._batch_bytes = batch_bytes
        self._clock = clock
        self._observe_batch = observe_batch
        self.stats = Stats()
        self._inserts = _Inserts(db.engine.dialect)
        self._bell = _Bell(on_kept, self.stats, on_trouble)
        self._gate = threading.Lock()
        self._stopped = False
        self._inbox: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        # Of the writer's thread alone:
        self._carried: _Submission | None = None  # did not fit into the last batch
        self._large: deque[_Submission] = deque()  # some pieces are still to be written
        self._whole: list[_Submission] = []  # all pieces are written, rows are not
        self._draining = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def submit(self, mail: KeptMail) -> Future[str]:
        """Return a future of the queue id, resolved after the commit; or of NotKept.

        Raises:
            KeeperStopped: after ``stop``; the body still belongs to the caller.
        """
        if not mail.recipients:
            raise ValueError("a mail without a mailbox has no place in the store")
        submission = _Submission(mail, self._clock())
        with self._gate:
            if self._stopped:
                raise KeeperStopped("the receiver is stopping")
            self._inbox.put(submission)
        return submission.future

    def stop(self) -> None:
        """Keep what was submitted, ring for it, then end. May be called again."""
        with self._gate:
            if not self._stopped:
                self._stopped = True
                self._inbox.put(None)
        self._thread.join()
        self._bell.stop()

    def _run(self) -> None:
        while not (self._draining and self._is_empty()):
            batch = self._gather()
            if batch:
                self._commit(batch)
            if self._large:
                self._write_one_chunk()

    def _is_empty(self) -> bool:
        return not (self._carried or self._large or self._whole)

    def _gather(self) -> list[_Submission]:
        """Return what waits, within the caps; wait for the first if there is nothing else to do."""
        batch, self._whole = self._whole[: self._batch_mails], self._whole[self._batch_mails :]
        n_bytes = 0
        must_wait = not batch and self._is_empty()
        while len(batch) < self._batch_mails:
            submission = self._next(wait=must_wait)
            if submission is None:
                break
            must_wait = False
            if submission.is_large:
                self._large.append(submission)
            elif batch and n_bytes + submission.size > self._batch_bytes:
                self._carried = submission
                break
            else:
                batch.append(submission)
                n_bytes += submission.size
                if len(batch) == 1 and self._is_busy():
                    time.sleep(HOLD_S)
        return batch

    def _is_busy(self) -> bool:
        return self.stats.last_mails >= BUSY_MAILS and not self._large

    def _next(self, *, wait: bool) -> _Submission | None:
        if self._carried is not None:
            carried, self._carried = self._carried, None
            return carried
        while not self._draining:
            try:
                submission = self._inbox.get(block=wait)
            except queue.Empty:
                return None
            if submission is None:
                self._draining = True  # nothing comes after it: submit is barred
            elif submission.future.set_running_or_notify_cancel():
                return submission
            else:
                submission.close()  # given up by its sender before anything was written
        return None

    def _commit(self, batch: list[_Submission]) -> None:
        started_s = time.perf_counter()
        try:
            with self._db.write() as connection:
                self._inserts.run(connection, batch)
        except BaseException as error:  # noqa: BLE001 - whatever it was, each waiting session gets its answer
            if len(batch) == 1:
                self._fail(batch[0], error)
            else:
                self._commit_singly(batch, error)
        else:
            self._resolve(batch, time.perf_counter() - started_s)

    def _commit_singly(self, batch: list[_Submission], batch_error: BaseException) -> None:
        """Try each mail of a failed batch alone, so that only the culprit fails.

        When two in a row fail for a reason that lies with the store (locked, full, gone), the rest is not tried:
        each try may last as long as the lock's time limit.
        """
        self._on_trouble(event="batch_failed", mails=len(batch), error=describe(batch_error))
        in_a_row = 0
        for submission in batch:
            if in_a_row == 2:
                self._fail(submission, batch_error)
                continue
            self.stats.retried += 1
            started_s = time.perf_counter()
            try:
                with self._db.write() as connection:
                    # The batch may have been committed although its commit was reported as failed.
                    if connection.execute(_KEPT, {"body_id": submission.id}).first() is None:
                        self._inserts.run(connection, [submission])
            except BaseException as error:  # noqa: BLE001 - as above
                in_a_row = in_a_row + 1 if isinstance(error, _STORE_WIDE) else 0
                self._fail(submission, error)
            else:
                in_a_row = 0
                self._resolve([submission], time.perf_counter() - started_s)

    def _write_one_chunk(self) -> None:
        submission = self._large.popleft()
        try:
            content = submission.chunk(submission.chunks_written)
            if submission.digest is not None:
                submission.digest.update(content)
            with self._db.write() as connection:
                self._inserts.add_chunk(connection, submission, content)
        except BaseException as error:  # noqa: BLE001 - as above; its pieces are swept later
            self._fail(submission, error)
            return
        submission.chunks_written += 1
        if submission.chunks_written * CHUNK_BYTES >= submission.size:
            self._whole.append(submission)
        else:
            self._large.append(submission)

    def _resolve(self, batch: list[_Submission], seconds: float) -> None:
        n_bytes = 0
        ids: list[str] = []
        for submission in batch:
            n_bytes += submission.size
            ids += mail_ids(submission.id, len(submission.mailboxes))
            submission.future.set_result(submission.id)
            submission.close()
        stats = self.stats
        stats.kept += len(batch)
        stats.mails += len(ids)
        stats.batches += 1
        stats.last_mails = len(batch)
        stats.last_bytes = n_bytes
        self._bell.ring(ids)
        if self._observe_batch is not None:
            try:
                self._observe_batch(len(batch), n_bytes, seconds)
            except Exception as error:  # noqa: BLE001 - a metric must not cost a mail
                self._on_trouble(event="observe_batch_failed", error=describe(error))

    def _fail(self, submission: _Submission, error: BaseException) -> None:
        self._on_trouble(event="mail_not_kept", mail_id=submission.id, error=describe(error))
        self.stats.failed += 1
        not_kept = NotKept("the store did not keep the mail")
        not_kept.__cause__ = error
        submission.future.set_exception(not_kept)
        submission.close()


class _Bell:
    """Tell the queue of kept mails on a thread of its own: it may block or fail, and the receiver must not."""

    def __init__(self, on_kept: Callable[[Sequence[str]], None], stats: Stats, on_trouble: Callable[..., None]) -> None:
        self._on_kept = on_kept
        self._on_trouble = on_trouble
        self._stats = stats
        self._waiting: queue.Queue[list[str] | None] = queue.Queue(maxsize=RINGS_WAITING)
        self._thread = threading.Thread(target=self._run, name="keeper-bell", daemon=True)
        self._thread.start()

    def ring(self, ids: list[str]) -> None:
        try:
            self._waiting.put_nowait(ids)
        except queue.Full:
            self._stats.rings_dropped += 1

    def stop(self, patience_s: float = 5.0) -> None:
        """Let the last rings go out, but do not wait for a queue that hangs."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=patience_s)
        self._thread.join(patience_s)

    def _run(self) -> None:
        while (ids := self._waiting.get()) is not None:
            try:
                self._on_kept(ids)
            except Exception as error:  # noqa: BLE001 - the sweeper rings again
                self._on_trouble(event="ring_failed", mails=len(ids), error=describe(error))


def describe(error: BaseException) -> str:
    """Return class and cause of an error without the values of the statement, which may be a resident's."""
    original = getattr(error, "orig", None)
    if isinstance(original, BaseException):
        return f"{type(error).__name__}: {type(original).__name__}: {original}".splitlines()[0]
    return type(error).__name__


_STORE_WIDE = (OperationalError, InterfaceError, PoolTimeout, OSError)
"""Errors that lie with the store, not with a mail."""

_KEPT = sa.select(bodies.c.id).where(bodies.c.id == sa.bindparam("body_id"))


class _Inserts:
    """The statements that keep a batch, built once."""

    def __init__(self, dialect: Dialect) -> None:
        self._bodies = RowInsert(bodies, ("id", "size_bytes", "sha256", "received_at"), dialect)
        self._chunks = RowInsert(body_chunks, ("body_id", "n", "content"), dialect)
        columns = ("id", "body_id", "mailbox", "received_at", "evidence", "state", "due_at")
        self._mails = RowInsert(mails, columns, dialect)

    def run(self, connection: Connection, batch: Sequence[_Submission]) -> None:
        """Write all rows of a batch, but for the pieces of large bodies: they are there already."""
        body_rows: list[tuple[Any, ...]] = []
        chunk_rows: list[tuple[Any, ...]] = []
        mail_rows: list[tuple[Any, ...]] = []
        for submission in batch:
            digest = submission.digest
            if digest is None:
                content = submission.chunk(0)
                digest = hashlib.sha256(content, usedforsecurity=False)
                chunk_rows.append((submission.id, 0, content))
            body_rows.append((submission.id, submission.size, digest.hexdigest(), submission.received_at))
            mail_rows += _mail_rows(submission)
        self._bodies.run(connection, body_rows)
        self._chunks.run(connection, chunk_rows)
        self._mails.run(connection, mail_rows)

    def add_chunk(self, connection: Connection, submission: _Submission, content: bytes) -> None:
        self._chunks.run(connection, [(submission.id, submission.chunks_written, content)])


def _mail_rows(submission: _Submission) -> Iterator[tuple[Any, ...]]:
    received_at = submission.received_at
    evidence = {**submission.mail.evidence, "received_at": received_at.isoformat()}
    mailboxes = submission.mailboxes
    for mail_id, address in zip(mail_ids(submission.id, len(mailboxes)), mailboxes, strict=True):
        proof = {**evidence, "rcpt": mailboxes[address]}
        yield (mail_id, submission.id, address, received_at, proof, "new", received_at)
