"""Only CR LF . CR LF ends a message, wherever the pieces are cut, and what is kept is what was meant."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.smtp.fake_ends import FAKE_ENDS
from worker.smtp.content import ContentReader


def read(octets: bytes, cuts: list[int]) -> tuple[ContentReader, bytes]:
    """Feed octets cut at the given places; stop at the end or at a bare line end, as a session does."""
    reader, content, behind = ContentReader(), b"", b""
    places = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        piece = octets[start:end]
        if reader.ended or reader.is_void:
            behind += piece
        else:
            content += reader.feed(piece)
    reader.rest += behind
    return reader, content


def stuffed(content: bytes) -> bytes:
    """Return content as a sender puts it on the wire: a separate model, line by line."""
    lines = content.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


lines = st.lists(
    st.lists(st.sampled_from([b".", b"..", b"a", b" ", b"\0", b"\xff", b"x" * 1200]), max_size=4).map(b"".join)
    | st.binary(max_size=20).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")),
    max_size=8,
)
cuts = st.lists(st.integers(min_value=0, max_value=20_000), max_size=12)


@given(lines=lines, cuts=cuts, behind=st.sampled_from([b"", b"QUIT\r\n", b"\r\n.\r\n", b".\r\n", b"\n.\n"]))
def test_content_round_trip(lines: list[bytes], cuts: list[int], behind: bytes) -> None:
    """Any CRLF content, stuffed and cut anywhere, comes back byte for byte; what is behind it is left alone."""
    content = b"".join(line + b"\r\n" for line in lines)
    reader, found = read(stuffed(content) + behind, cuts)
    assert reader.ended
    assert not reader.is_void
    assert found == content
    assert reader.rest == behind


@given(lines=lines)
def test_content_round_trip_octet_by_octet(lines: list[bytes]) -> None:
    """The same when every octet comes alone."""
    content = b"".join(line + b"\r\n" for line in lines)
    wire = stuffed(content)
    reader, found = read(wire + b"Q", list(range(len(wire) + 1)))
    assert (reader.ended, reader.is_void, found, reader.rest) == (True, False, content, b"Q")


def test_there_are_enough_fakes() -> None:
    """The list is not empty by mistake."""
    assert len(FAKE_ENDS) >= 141


@pytest.mark.parametrize("cut", ["whole", "octets", "before the fake", "in the fake"])
def test_no_fake_end_ends_a_message(cut: str) -> None:
    """None of the fakes ends a message; those with a bare CR or LF make it void, the others are content."""
    for fake in FAKE_ENDS:
        wire = b"first" + fake + b"MAIL FROM:<evil@x.test>\r\n.\r\n"
        places = {"whole": [], "octets": list(range(len(wire))), "before the fake": [5], "in the fake": [6, 7]}[cut]
        reader, found = read(wire, places)
        has_bare = any(
            (octet == 13 and wire[at + 1 : at + 2] != b"\n") or (octet == 10 and wire[at - 1 : at] != b"\r")
            for at, octet in enumerate(wire)
        )
        assert reader.is_void == has_bare, fake
        assert reader.ended == (not has_bare), fake
        if not has_bare:
            assert found.endswith(b"MAIL FROM:<evil@x.test>\r\n"), fake
            assert stuffed(found) == wire or b"\r\n." in fake, fake


@given(octets=st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\0"]), max_size=40).map(b"".join), cuts=cuts)
def test_cuts_change_nothing(octets: bytes, cuts: list[int]) -> None:
    """However octets are cut, the verdict is that of the whole; an end is found at the first CR LF . CR LF only."""
    whole, content = read(octets, [])
    pieces, same = read(octets, cuts)
    end = (b"\r\n" + octets).find(b"\r\n.\r\n")
    before = (b"\r\n" + octets)[: end + 2 if end >= 0 else None]
    bare = before.replace(b"\r\n", b"")
    is_bare = b"\n" in bare or b"\r" in (bare if end >= 0 else bare.removesuffix(b"\r"))
    assert whole.is_void == pieces.is_void == is_bare
    assert whole.ended == pieces.ended == (end >= 0 and not is_bare)
    if whole.ended:
        assert content == same
        assert whole.rest == pieces.rest
