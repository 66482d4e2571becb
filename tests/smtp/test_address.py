"""Addresses are read strictly: what two programs could read differently is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.smtp.address import BadAddress, NoPath, PathError, read_path


@pytest.mark.parametrize(
    ("argument", "written", "lookup", "parameters"),
    [
        ("TO:<a@x.test>", "a@x.test", "a@x.test", {}),
        ("to:<Main-St@IN.Test>", "Main-St@IN.Test", "main-st@in.test", {}),
        ("To: <a@x.test>", "a@x.test", "a@x.test", {}),
        ("TO:<a.b+c=d@x-y.test>", "a.b+c=d@x-y.test", "a.b+c=d@x-y.test", {}),
        ('TO:<"main-st"@x.test>', '"main-st"@x.test', "main-st@x.test", {}),
        ('TO:<"two words"@x.test>', '"two words"@x.test', '"two words"@x.test', {}),
        ('TO:<"a>b\\"@c"@x.test>', '"a>b\\"@c"@x.test', '"a>b\\"@c"@x.test', {}),
        ("TO:<a@[192.0.2.1]>", "a@[192.0.2.1]", "a@[192.0.2.1]", {}),
        ("TO:<a@[IPv6:::1]>", "a@[IPv6:::1]", "a@[ipv6:::1]", {}),
        ("TO:<PostMaster>", "PostMaster", "postmaster", {}),
        ("TO:<>", "", "", {}),
        ("TO:<jürgen@münchen.test>", "jürgen@münchen.test", "jürgen@münchen.test", {}),
        ("TO:<a@x.test> size=10 BODY=8BITMIME", "a@x.test", "a@x.test", {"SIZE": "10", "BODY": "8BITMIME"}),
        ("TO:<a@x.test> SMTPUTF8", "a@x.test", "a@x.test", {"SMTPUTF8": None}),
        (f"TO:<{'a' * 64}@x.test>", f"{'a' * 64}@x.test", f"{'a' * 64}@x.test", {}),
    ],
)
def test_paths(argument: str, written: str, lookup: str, parameters: dict[str, str | None]) -> None:
    """A path is kept as written, and looked up in lower case without needless quotes."""
    path = read_path(argument.encode(), b"TO:")
    assert (path.written, path.lookup, path.parameters) == (written, lookup, parameters)
    assert path.is_ascii == written.isascii()


@pytest.mark.parametrize(
    "argument",
    ["", "TO", "TO:", "TO:a@x.test", "FROM:<a@x.test>", "a@x.test", "TO :<a@x.test>", "TO:<a@x.test>x",
     "TO:<a@x.test>,<b@x.test>", "TO:<a@x.test> =1", "TO:<a@x.test> SIZE=", "TO:<a@x.test> A=1 a=2",
     "TO:<a@x.test> S<=1"],
)  # fmt: skip
def test_no_path(argument: str) -> None:
    """What is no path in brackets with well-formed parameters is a syntax error."""
    with pytest.raises(NoPath):
        read_path(argument.encode(), b"TO:")


@pytest.mark.parametrize(
    "argument",
    [b"<a@x.test", b"<a>", b"<@x.test>", b"<a@>", b"<a@@x.test>", b"<a@b@x.test>", b"<a b@x.test>", b"< a@x.test>",
     b"<a@x.test >", b"<a@x..test>", b"<.a@x.test>", b"<a.@x.test>", b"<a..b@x.test>", b"<a@-x.test>", b"<a@x.test.>",
     b"<@r.test:a@x.test>", b"<a@r.test,b@x.test>", b"<a%b@x.test", b"<<a@x.test>>", b"<a@[x>", b"<a@x_.te st>",
     b'<"a@x.test>', b'<"a"b@x.test>', b"<a\xff@x.test>", b"<a@x.test\x00>", b"<postmaster@>", b"<a:b@x.test>",
     b"<" + b"a" * 65 + b"@x.test>", b"<a@" + b"x" * 256 + b">", "<ü".encode() * 2],
)  # fmt: skip
def test_bad_addresses(argument: bytes) -> None:
    """Brackets without an address of RFC 5321's grammar, source routes included, are refused."""
    with pytest.raises(BadAddress):
        read_path(b"TO:" + argument, b"TO:")


@given(st.binary(max_size=60))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    """No octets make the reader fail in any other way."""
    for argument in (octets, b"TO:<" + octets, b"TO:<a@x.test>" + octets, b"TO:<" + octets + b"@x.test>"):
        try:
            path = read_path(argument, b"TO:")
        except PathError:
            continue
        assert f"<{path.written}>".encode() in argument


def test_reading_is_linear() -> None:
    """A line of the greatest length made to confuse the grammar is refused at once."""
    for tail in (b"a." * 1000, b'"' + b"\\a" * 1000, b"a@" + b"x-" * 1000, b"a@" + b"x." * 1000):
        with pytest.raises(PathError):
            read_path(b"TO:<" + tail + b"!", b"TO:")
