"""Octet sequences that some server somewhere takes for the end of a message, and that are none."""

from itertools import product

BEFORE = (
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\r\n",
    b"\n\r",
    b"\r\n\0",
    b"\n\n",
    b"\r\0\n",
    b"\r\n ",
    b"\r\n\t",
    b"\x85",
    b"\x0b",
)
DOT = (b".", b" .", b". ", b"\t.", b".\t", b"\0.", b".\0", b"..", b".\x0c", "\uff0e".encode())
AFTER = (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\0\n", b"\x0b\r\n", b"\x85")

FAKE_ENDS = tuple(
    dict.fromkeys(
        before + dot + after
        for before, dot, after in product(BEFORE, DOT, AFTER)
        if b"\r\n.\r\n" not in before + dot + after
    )
)
"""All of them but those that hold the one true end."""
