"""Senders that deliver mails over SMTP until each is acknowledged, and remember what was."""

import queue
import smtplib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.tale import MAILBOX
from tests.rigs.services import answers, wait_until

PATIENCE_S = 60.0


@dataclass(slots=True)
class Acknowledged:
    """What was answered 250."""

    mails: dict[str, int] = field(default_factory=dict[str, int])
    """Number of the mail by its id."""
    again: int = 0
    """Sendings that had no 250, after which the mail was sent again."""
    latencies_s: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """From the end of a mail to its 250, by what was going on."""


class Senders:
    """Some connections over which mails are delivered at once."""

    def __init__(self, mails: Sequence[bytes], numbers: Sequence[int], *, port: int, connections: int) -> None:
        self.done = Acknowledged()
        self.going_on = "calm"
        """What is going on, as the latencies are counted by."""
        self.limit: float = float("inf")
        """Deliver no more than about so many, for the time being."""
        self._mails = mails
        self._port = port
        self._todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in numbers:
            self._todo.put(number)
        self._turn = threading.Lock()
        self._is_stopped = False
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, name=f"sender-{n}") for n in range(connections)]

    def start(self) -> None:
        """Begin to deliver."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait until all is acknowledged; raise what a sender met."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        is_late = self.are_sending
        self.stop()
        if self._errors:
            raise self._errors[0]
        assert not is_late, f"{self._todo.qsize()} mails were not taken within {seconds:g} s"

    def stop(self) -> None:
        """Deliver nothing more."""
        self._is_stopped = True
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @property
    def count(self) -> int:
        return len(self.done.mails)

    @property
    def are_held(self) -> bool:
        return self.count >= self.limit

    @property
    def are_sending(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        client: smtplib.SMTP | None = None
        try:
            while not self._is_stopped:
                if self.are_held:
                    time.sleep(0.01)  # until the limit is raised
                    continue
                try:
                    number = self._todo.get_nowait()
                except queue.Empty:
                    return
                while not self._is_stopped:
                    try:
                        client = client or self._connect()
                        self._deliver(client, number)
                        break
                    except (OSError, smtplib.SMTPException):
                        with self._turn:
                            self.done.again += 1
                        if client is not None:
                            client.close()
                        client = None
                        wait_until(lambda: answers(self._port), seconds=PATIENCE_S, what="the receiver listening")
        except TimeoutError as error:
            self._errors.append(error)
        finally:
            if client is not None:
                client.close()

    def _connect(self) -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", self._port, local_hostname="pms.example.com", timeout=PATIENCE_S)
        client.ehlo()
        return client

    def _deliver(self, client: smtplib.SMTP, number: int) -> None:
        for code, text in (client.mail("pms@sitelink.com"), client.rcpt(MAILBOX)):
            if code != 250:
                raise smtplib.SMTPResponseException(code, text)
        going_on, began_s = self.going_on, time.perf_counter()
        code, text = client.data(self._mails[number])
        took_s = time.perf_counter() - began_s
        if code != 250:
            raise smtplib.SMTPResponseException(code, text)
        with self._turn:
            self.done.mails[text.decode().rpartition(" ")[2]] = number
            if going_on == self.going_on:
                self.done.latencies_s.setdefault(going_on, []).append(took_s)
