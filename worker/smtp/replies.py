"""Every reply of the receiver, once, with its cause. Texts are fixed: nothing of ours or of the mail leaks into one.

Codes follow RFC 5321 section 4.2, enhanced codes RFC 3463. 4yz says "try again" and is the answer to every fault
of ours; 5yz says "the same again will fail again" and is only ever the client's doing.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply line."""

    code: int
    text: str
    """After the code: the enhanced code, if any, and the fixed words."""
    cause: str
    """What made us say it: for the operator's manual."""
    closes: bool = False
    """Whether the session ends with it."""
    line: bytes = field(init=False, repr=False)
    name: str = field(init=False, repr=False)
    """Code and enhanced code, as the metrics count it."""
    is_error: bool = field(init=False, repr=False)
    """Whether it is the client's mistake, and counts against the session."""

    def __post_init__(self) -> None:
        line = f"{self.code} {self.text}\r\n"
        object.__setattr__(self, "line", line.encode("ascii"))
        object.__setattr__(self, "name", line[: 9 if self.text[1:2] == "." else 3])
        object.__setattr__(self, "is_error", self.code >= 500)


# Everything is well
VERIFY = Reply(code=252, text="2.1.5 Send some mail, I'll try my best", cause="VRFY: addresses are not told")
BYE = Reply(code=221, text="2.0.0 Bye", cause="QUIT", closes=True)
HELP = Reply(code=214, text="2.0.0 See RFC 5321", cause="HELP")
OK = Reply(code=250, text="2.0.0 Ok", cause="NOOP or RSET")
SENDER_OK = Reply(code=250, text="2.1.0 Ok", cause="MAIL accepted")
RECIPIENT_OK = Reply(code=250, text="2.1.5 Ok", cause="RCPT of a mailbox of ours, or of postmaster")
SEND_CONTENT = Reply(code=354, text="End data with <CR><LF>.<CR><LF>", cause="DATA accepted")

# Our doing: try again later
TOO_MANY_CONNECTIONS = Reply(
    code=421, text="4.3.2 Too many connections, try again later", cause="[smtp] max_connections", closes=True
)
STOPPING = Reply(code=421, text="4.3.2 Service shutting down", cause="the receiver is being stopped", closes=True)
FAULT = Reply(code=451, text="4.3.0 Local error in processing, try again later", cause="any fault of ours: see the log")
FAULT_BYE = Reply(
    code=421,
    text="4.3.0 Local error in processing, closing connection",
    cause="a fault of ours in the middle of a message, after which the place in the stream is not sure",
    closes=True,
)
NO_ROOM = Reply(
    code=452, text="4.3.1 Insufficient system storage, try again later", cause="[smtp] bytes_in_flight is used up"
)
TOO_MANY_RECIPIENTS = Reply(code=452, text="4.5.3 Too many recipients", cause="[smtp] max_recipients")

# Too slow, too many mistakes
IDLE = Reply(code=421, text="4.4.2 Idle for too long, closing connection", cause="[smtp] idle_timeout_s", closes=True)
TOO_SLOW = Reply(
    code=421,
    text="4.4.2 Message takes too long, closing connection",
    cause="[smtp] data_timeout_s or min_bytes_per_s",
    closes=True,
)
TOO_MANY_ERRORS = Reply(
    code=421, text="4.7.0 Too many errors, closing connection", cause="[smtp] max_errors", closes=True
)
TOO_MANY_COMMANDS = Reply(
    code=421,
    text="4.7.0 Too many commands without a message, closing connection",
    cause="[smtp] max_idle_commands",
    closes=True,
)

# The client's doing: commands
LINE_TOO_LONG = Reply(code=500, text="5.5.2 Command line too long", cause="[smtp] max_line_bytes")
ENDLESS_LINE = Reply(
    code=500,
    text="5.5.2 Command line too long, closing connection",
    cause="a command line without an end",
    closes=True,
)
BARE_LINE_END_COMMAND = Reply(
    code=500,
    text="5.5.2 Bare <CR> or <LF> in a command, closing connection",
    cause="a command line that does not end with CRLF, or has a control character in it (RFC 5321 section 2.3.8)",
    closes=True,
)
UNKNOWN_COMMAND = Reply(code=500, text="5.5.1 Command not recognized", cause="no such command")
NOT_SMTP = Reply(
    code=554,
    text="5.5.1 This is not an HTTP server, closing connection",
    cause="an HTTP request, perhaps of a browser that was lured to this port",
    closes=True,
)
SYNTAX = Reply(code=501, text="5.5.4 Syntax error in parameters or arguments", cause="a command not as in RFC 5321")
NOT_IMPLEMENTED = Reply(code=502, text="5.5.1 Command not implemented", cause="EXPN, TURN; STARTTLS and AUTH as yet")
CHUNKING_NOT_OFFERED = Reply(
    code=502,
    text="5.5.1 CHUNKING was not offered, closing connection",
    cause="BDAT: the octets behind it must not be read as commands",
    closes=True,
)
HELLO_FIRST = Reply(code=503, text="5.5.1 Send EHLO or HELO first", cause="MAIL before EHLO")
NESTED_MAIL = Reply(code=503, text="5.5.1 Nested MAIL command", cause="a second MAIL of one message")
MAIL_FIRST = Reply(code=503, text="5.5.1 Send MAIL first", cause="RCPT or DATA before MAIL")
RECIPIENT_FIRST = Reply(code=503, text="5.5.1 Send RCPT first", cause="DATA without an accepted RCPT")
UNKNOWN_PARAMETER = Reply(
    code=555, text="5.5.4 Parameter not recognized or not implemented", cause="a parameter of MAIL or RCPT"
)

# The client's doing: addresses
UNKNOWN_RECIPIENT = Reply(code=550, text="5.1.1 No such mailbox here", cause="RCPT of an address that is no mailbox")
BAD_SENDER = Reply(code=553, text="5.1.7 Bad sender address syntax", cause="MAIL with a malformed address")
BAD_RECIPIENT = Reply(code=553, text="5.1.3 Bad recipient address syntax", cause="RCPT with a malformed address")
NEEDS_SMTPUTF8 = Reply(
    code=553, text="5.6.7 Address needs SMTPUTF8", cause="letters beyond ASCII without SMTPUTF8 (RFC 6531)"
)

# The client's doing: content
TOO_BIG = Reply(code=552, text="5.3.4 Message too big", cause="[smtp] max_message_bytes, as declared or as sent")
TOO_BIG_BYE = Reply(
    code=552,
    text="5.3.4 Message too big, closing connection",
    cause="more than twice [smtp] max_message_bytes without an end",
    closes=True,
)
BARE_LINE_END = Reply(
    code=554,
    text="5.6.0 Bare <CR> or <LF> in message, closing connection",
    cause="a CR or LF that is no CRLF: where such a message ends is read differently by different servers",
    closes=True,
)

QUEUED_PREFIX = b"250 2.0.0 queued as "
"""Followed by the id of the mail (of the first, if for several mailboxes): committed, on disk."""

REPLIES: dict[str, Reply] = {name: value for name, value in globals().items() if isinstance(value, Reply)}
"""Every reply with a fixed text, by name."""
