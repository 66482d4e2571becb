"""Find where the content of a message ends, and give it back as it was meant (RFC 5321 sections 4.1.1.4, 4.5.2).

Only CR LF ``.`` CR LF ends it. A CR or LF that is no CRLF makes the whole message void: servers differ in whether
``LF . CR LF`` and its hundred relatives end a message, and who finds two that differ smuggles a second mail.
"""

import io

_END = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_HELD_BACK = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


class ContentReader:
    """Takes the octets behind 354 in any pieces; gives the content piece by piece, without stuffed dots.

    Each piece given ends before a CR that might still turn out to begin the end, so no CRLF is ever cut in two.
    """

    __slots__ = ("_carry", "_line_ends", "_skip", "ended", "is_void", "rest")

    def __init__(self) -> None:
        # The CRLF of the DATA command counts: a first line of a lone dot ends an empty message.
        self._carry = b"\r\n"
        self._skip = 2
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=False)
        self.ended = False
        self.is_void = False
        """Whether a bare CR or LF was seen; nothing more is read then."""
        self.rest = b""
        """What came behind the end: commands."""

    def feed(self, octets: bytes) -> bytes:
        """Return the content that is certain by now; sets ``ended`` and ``rest``, or ``is_void``."""
        octets = self._carry + octets
        dot = octets.find(_STUFFED)
        end = octets.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            certain = end + 2
            self.ended = True
            self._carry = b""
            self.rest = octets[end + len(_END) :]
        else:
            certain = len(octets) - next((len(tail) for tail in _HELD_BACK if octets.endswith(tail)), 0)
            self._carry = octets[certain:]
        octets = octets[:certain]
        if self._has_bare(octets):
            self.is_void = True
            self.ended = False
            self.rest = b""
            return b""
        if 0 <= dot < certain - 2:
            octets = octets.replace(_STUFFED, b"\r\n")
        if self._skip and octets:
            octets = octets[self._skip :]
            self._skip = 0
        return octets

    def _has_bare(self, octets: bytes) -> bool:
        """Say whether a CR or LF is no CRLF. The decoder notes the kinds of line ends in one pass, and changes none."""
        self._line_ends.decode(octets.decode("latin-1"), final=True)  # pyright: ignore[reportArgumentType]
        return self._line_ends.newlines not in (None, "\r\n")
