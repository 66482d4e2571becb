"""What each command answers: the dialogue of one session as plain state, without a socket (RFC 5321 section 4.1)."""

from collections.abc import Callable
from typing import Any, Protocol

from worker.settings import Smtp
from worker.smtp import replies
from worker.smtp.address import BadAddress, NoPath, Path, read_path
from worker.smtp.replies import Reply

POSTMASTER = "postmaster"


class HasAddress(Protocol):
    """What is asked of a mailbox here."""

    @property
    def address(self) -> str: ...


class Dialogue:
    """Who the client says it is, and the envelope of the message that it is about to send."""

    def __init__(
        self,
        settings: Smtp,
        *,
        find_mailbox: Callable[[str], HasAddress | None],
        hosts_domain: Callable[[str], bool],
        has_room: Callable[[int], bool],
    ) -> None:
        self._settings = settings
        self._find_mailbox = find_mailbox
        self._hosts_domain = hosts_domain
        self._has_room = has_room
        self.helo: str | None = None
        self.is_extended = False
        self.idle_commands = 0
        """Commands since the last message that did not bring one nearer."""
        self.reset()

    def reset(self) -> None:
        """Forget the envelope."""
        self.mail_from: str | None = None
        self.recipients: list[tuple[str, str]] = []
        self.body_type = "7BIT"
        self.is_utf8 = False

    def evidence(self) -> dict[str, Any]:
        """Return what the envelope says of the sender, for the mail's record."""
        return {
            "helo": self.helo,
            "mail_from": self.mail_from,
            "esmtp": self.is_extended,
            "body_type": self.body_type,
            "smtputf8": self.is_utf8,
        }

    def obey(self, line: bytes) -> Reply | bytes:
        """Return the reply to one command line; bytes when it has several lines."""
        if len(line) > self._settings.max_line_bytes:
            return replies.LINE_TOO_LONG
        words = line[:-2]
        if line[-2:] != b"\r\n" or words.translate(None, _CONTROLS) != words:
            return replies.BARE_LINE_END_COMMAND
        verb, _, argument = words.partition(b" ")
        verb = verb.upper()
        command = _COMMANDS.get(verb)
        if command is not None:
            return command(self, argument.strip(b" "))
        return replies.NOT_SMTP if verb in _HTTP_VERBS else replies.UNKNOWN_COMMAND

    def _hello(self, argument: bytes, *, extended: bool) -> Reply | bytes:
        if not argument or not argument.isascii():
            return replies.SYNTAX
        self.reset()
        self.helo = argument.decode("ascii")
        self.is_extended = extended
        hostname = self._settings.hostname
        if not extended:
            return b"250 %b\r\n" % hostname.encode("ascii")
        lines = [hostname, f"SIZE {self._settings.max_message_bytes}", *EXTENSIONS]
        return self._idle(
            b"".join(b"250-%b\r\n" % line.encode("ascii") for line in lines[:-1])
            + b"250 %b\r\n" % lines[-1].encode("ascii")
        )

    def _mail(self, argument: bytes) -> Reply:
        if self.helo is None:
            return replies.HELLO_FIRST
        if self.mail_from is not None:
            return replies.NESTED_MAIL
        try:
            path = read_path(argument, b"FROM:")
        except NoPath:
            return replies.SYNTAX
        except BadAddress:
            return replies.BAD_SENDER
        if path.lookup == POSTMASTER:
            return replies.BAD_SENDER  # only a recipient may lack its domain
        refusal = self._refuse_parameters(path)
        if refusal is not None:
            self.reset()
            return refusal
        self.mail_from = path.written
        return replies.SENDER_OK

    def _refuse_parameters(self, path: Path) -> Reply | None:
        """Take the parameters of MAIL; return why they cannot be taken."""
        parameters = dict(path.parameters)
        size = parameters.pop("SIZE", "0")  # RFC 1870
        body_type = parameters.pop("BODY", "7BIT")  # RFC 6152
        is_utf8 = "SMTPUTF8" in parameters  # RFC 6531
        if (
            size is None
            or not size.isdecimal()
            or len(size) > 20
            or body_type is None
            or body_type.upper() not in ("7BIT", "8BITMIME")
            or parameters.pop("SMTPUTF8", None) is not None
        ):
            return replies.SYNTAX
        if parameters or (path.parameters and not self.is_extended):
            return replies.UNKNOWN_PARAMETER
        if not path.is_ascii and not is_utf8:
            return replies.NEEDS_SMTPUTF8
        if int(size) > self._settings.max_message_bytes:
            return replies.TOO_BIG
        if not self._has_room(int(size)):
            return replies.NO_ROOM
        self.body_type, self.is_utf8 = body_type.upper(), is_utf8
        return None

    def _rcpt(self, argument: bytes) -> Reply:
        if self.mail_from is None:
            return replies.MAIL_FIRST
        try:
            path = read_path(argument, b"TO:")
        except NoPath:
            return replies.SYNTAX
        except BadAddress:
            return replies.BAD_RECIPIENT
        if not path.written:
            return replies.BAD_RECIPIENT
        if path.parameters:
            return replies.UNKNOWN_PARAMETER
        if not path.is_ascii and not self.is_utf8:
            return replies.NEEDS_SMTPUTF8
        if len(self.recipients) >= self._settings.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        mailbox = self._find(path.lookup)
        if mailbox is None:
            return replies.UNKNOWN_RECIPIENT
        self.recipients.append((mailbox.address, path.written))
        return replies.RECIPIENT_OK

    def _find(self, lookup: str) -> HasAddress | None:
        found = self._find_mailbox(lookup)
        if found is None:
            local, _, domain = lookup.rpartition("@")
            if local == POSTMASTER and (domain == self._settings.hostname.lower() or self._hosts_domain(domain)):
                return self._find_mailbox(POSTMASTER)  # RFC 5321 section 4.5.1
        return found

    def _data(self, argument: bytes) -> Reply:
        if argument:
            return replies.SYNTAX
        if self.mail_from is None:
            return replies.MAIL_FIRST
        if not self.recipients:
            return replies.RECIPIENT_FIRST
        if not self._has_room(1):
            return replies.NO_ROOM
        return replies.SEND_CONTENT

    def _rset(self, argument: bytes) -> Reply | bytes:
        if argument:
            return replies.SYNTAX
        self.reset()
        return self._idle(replies.OK)

    def _quit(self, argument: bytes) -> Reply:
        return replies.SYNTAX if argument else replies.BYE

    def _idle(self, reply: Reply | bytes) -> Reply | bytes:
        """Return the reply, unless the client does nothing but ask for such ones."""
        self.idle_commands += 1
        return replies.TOO_MANY_COMMANDS if self.idle_commands > self._settings.max_idle_commands else reply


EXTENSIONS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES")
"""Besides SIZE. STARTTLS and AUTH have no place here before they work."""

_COMMANDS: dict[bytes, Callable[[Dialogue, bytes], Reply | bytes]] = {
    b"EHLO": lambda dialogue, argument: dialogue._hello(argument, extended=True),
    b"HELO": lambda dialogue, argument: dialogue._hello(argument, extended=False),
    b"MAIL": Dialogue._mail,
    b"RCPT": Dialogue._rcpt,
    b"DATA": Dialogue._data,
    b"RSET": Dialogue._rset,
    b"QUIT": Dialogue._quit,
    b"NOOP": lambda dialogue, _: dialogue._idle(replies.OK),
    b"VRFY": lambda dialogue, argument: dialogue._idle(replies.VERIFY if argument else replies.SYNTAX),
    b"HELP": lambda dialogue, _: dialogue._idle(replies.HELP),
    b"EXPN": lambda *_: replies.NOT_IMPLEMENTED,
    b"TURN": lambda *_: replies.NOT_IMPLEMENTED,
    b"STARTTLS": lambda *_: replies.NOT_IMPLEMENTED,
    b"AUTH": lambda *_: replies.NOT_IMPLEMENTED,
    b"BDAT": lambda *_: replies.CHUNKING_NOT_OFFERED,
}

_HTTP_VERBS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"))

_CONTROLS = bytes((*range(32), 127))
