"""Reading one message within bounds."""

import datetime as dt
import time

import pytest

from parsers import Unreadable, read_mail
from parsers.charset import decode

HEAD = b"From: SiteLink <noreply@sitelink.com>\r\nSubject: Hello\r\nDate: Fri, 01 May 2026 09:30:00 -0500\r\n"


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("noreply@sitelink.com", "sitelink.com"),
        ("SiteLink Web <noreply@SiteLink.COM>", "sitelink.com"),
        ('"SiteLink, Inc." <noreply@sitelink.com>', "sitelink.com"),
        ("=?utf-8?q?Site=40Link?= <noreply@sitelink.com>", "sitelink.com"),
        ("<noreply@sitelink.com>", "sitelink.com"),
        ("a@sitelink.com, b@evil.example", None),
        ("a@sitelink.com <b@evil.example>", None),
        ("SiteLink: a@sitelink.com;", None),
        ("a@sitelink.com (b@evil.example)", None),
        ('"a@evil.example"@sitelink.com', None),
        ("a@[192.0.2.1]", None),
        ("a@sitelink.com.", None),
        ("a@sitelink", None),
        ("a@sitelínk.com", None),
        ("Zoë <a@sitelink.com>", None),
        ("<@evil.example:a@sitelink.com>", None),
        ("a@sitelink.com\r\n b@evil.example", None),
        ("a@sitelink.com\x00", None),
        ("", None),
    ],
)
def test_one_plain_mailbox_or_no_sender(sender: str, expected: str | None) -> None:
    """The sender's domain is read from exactly one plain mailbox, and from nothing else."""
    assert expected == read_mail(f"From: {sender}\r\nSubject: x\r\n\r\nhello\r\n".encode()).from_domain


def test_repeated_singletons_are_told() -> None:
    """A header that may stand once and stands twice is told, and two From give no sender."""
    mail = read_mail(HEAD + b"Subject: Other\r\nFrom: b@evil.example\r\n\r\nhello")
    assert mail.singleton_duplicates == ("from", "subject")
    assert mail.from_address is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Fri, 01 May 2026 09:30:00 -0500", "2026-05-01T09:30:00-05:00"),
        ("Fri, 01 May 2026 09:30:00 GMT (UTC)", "2026-05-01T09:30:00+00:00"),
        ("1 May 2026 09:30 +0530", "2026-05-01T09:30:00+05:30"),
        ("Fri, 01 May 2026 09:30:00 +0545", "2026-05-01T09:30:00+05:45"),
        ("yesterday", None),
        ("Fri, 31 Dec 9999 23:59:59 +0000", None),
        ("Fri, 01 May 2026 09:30:00 +9900", None),
        ("Fri, 32 May 2026 09:30:00 -0500", None),
    ],
)
def test_dates_keep_their_offset(written: str, expected: str | None) -> None:
    """The Date header is read with its offset, or not at all."""
    date = read_mail(f"Date: {written}\r\n\r\nx".encode()).date
    assert expected == (date.isoformat() if date else None)


def test_a_date_without_a_zone_is_local() -> None:
    """A Date without a zone is told apart: nobody takes it for UTC."""
    mail = read_mail(b"Date: Fri, 01 May 2026 09:30:00\r\n\r\nx")
    assert (None, dt.datetime(2026, 5, 1, 9, 30)) == (mail.date, mail.local_date)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("octets", "label", "expected"),
    [
        (b"caf\xe9 \x80", "iso-8859-1", "café €"),
        ("café".encode(), "iso-8859-1", "café"),
        (b"caf\xe9", "utf-8", "café"),
        ("café".encode("utf-16"), "utf-16", "café"),
        ("café".encode("utf-16-be"), "utf-16be", "café"),
        ("日本".encode("iso2022_jp"), "ISO-2022-JP", "日本"),
        (b"Unit: +AEI-204", "utf-7", "\ufffd"),
        (rb"Unit\x3a B204", "unicode_escape", r"Unit\x3a B204"),
        (b"Havg: O204", "rot13", "Havg: O204"),
        (b"xn--mnchen-3ya", "idna", "xn--mnchen-3ya"),
        (b"abc", "no-such-charset", "abc"),
        (b"abc", "base64\0", "abc"),
    ],
)
def test_charsets_by_the_whatwg_rule(octets: bytes, label: str, expected: str) -> None:
    """A label outside the table never reaches a codec."""
    assert expected == decode(octets, label)


def test_subjects_are_decoded_and_unfolded() -> None:
    """Encoded words that part a character, folds and gateway tags do not count."""
    mail = read_mail(b"Subject: [EXTERNAL] =?utf-8?B?w4k=?=\r\n =?utf-8?Q?t=C3?= =?utf-8?Q?=A9?=\r\n\r\nx")
    assert mail.subject == "Été"


def test_attachments_are_not_read_as_text() -> None:
    """A text file attached is a part, not readable text."""
    raw = (
        HEAD + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\nUnit: B204\r\n'
        b"--x\r\nContent-Type: text/plain\r\n"
        b'Content-Disposition: attachment; filename="a.txt"\r\n\r\nUnit: A000\r\n--x--\r\n'
    )
    mail = read_mail(raw)
    assert mail.text == "Unit: B204"
    assert [(part.path, part.filename) for part in mail.parts] == [("1", ""), ("2", "a.txt")]


def nested(depth: int) -> bytes:
    head = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(depth))
    return HEAD + head + b"\r\nhi\r\n"


def of_parts(kind: bytes, text: bytes, count: int, subtype: bytes = b"mixed") -> bytes:
    """Return a mail of so many parts that hold the same text."""
    part = b"--b\r\nContent-Type: text/" + kind + b"\r\n\r\n" + text + b"\r\n"
    return HEAD + b"Content-Type: multipart/" + subtype + b'; boundary="b"\r\n\r\n' + part * count + b"--b--\r\n"


PIECES = b"".join(b";\r\n name*%d=x" % n for n in range(3000))
BOMBS = {
    "quotes": HEAD + b"To: " + b'"' * 65536 + b"\r\n\r\nx",
    "long header": HEAD + b"X: " + b"a" * 300_000,
    "headers": HEAD + b"X: y\r\n" * 20_000 + b"\r\nx",
    "parts": HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 100_000,
    "some parts": HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 1000,
    "nested multiparts": nested(500),
    "nested messages": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 5000 + b"x",
    "RFC 2231": HEAD
    + b"Content-Type: text/plain"
    + b"".join(b";\r\n name*%d=x" % n for n in range(3000))
    + b"\r\n\r\nx",
    "long text": HEAD + b"\r\n" + b"a" * (1024 * 1024 + 1),
    "many lines": HEAD + b"\r\n" + b"a: b\r\n" * 100_000,
    "nested tags": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000,
    "parts of many tags": of_parts(b"html", b"<b>x</b>" * 7_000, 15),
    "alternatives of many tags": of_parts(b"html", b"<b>x</b>" * 7_000, 15, b"alternative"),
    "parts of many attributes": of_parts(b"html", b"<p " + b"".join(b"a%d " % n for n in range(3_000)) + b">", 190),
    "parts of long HTML": of_parts(b"html", b"<p>" + b"word " * 100_000, 20),
    "parts of many lines": of_parts(b"plain", b"word\r\n" * 4_500, 60),
    "parts of long text": of_parts(b"plain", b"word " * 50_000, 60),
    "unclosed tags": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<b>x" * 100_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_unreadable(name: str) -> None:
    """Every bomb is refused by a bound, with a reason that names it."""
    with pytest.raises(Unreadable, match=r"longer than|more than|too many|too deep|deeper than"):
        read_mail(BOMBS[name])


@pytest.mark.parametrize("value", [b"," * 20_000, b"(" * 500, b"(" * 20_000, b"<" * 20_000, b"=?utf-8?b?" * 2000])
@pytest.mark.parametrize("header", [b"To", b"Cc", b"Received", b"X-Other", b"Content-Type", b"Date"])
def test_odd_headers_do_not_harm(header: bytes, value: bytes) -> None:
    """A header of commas, parentheses or broken words is read, or refused by a bound, and nothing else."""
    try:
        mail = read_mail(HEAD + header + b": " + value + b"\r\n\r\nhello")
    except Unreadable:
        return
    assert mail.from_address == "noreply@sitelink.com"


def test_a_sender_with_a_long_blank_is_read_at_once() -> None:
    """White space within a From is looked at once, whether an address follows or not."""
    blank = b" " * 30_000
    for sender, address in ((b"a" + blank + b"a", None), (b"a" + blank + b"<b@example.com>", "b@example.com")):
        begun = time.process_time()
        assert read_mail(b"From: " + sender + b"\r\nSubject: x\r\n\r\nhello").from_address == address
        assert time.process_time() - begun < 1


def test_received_is_read_by_mail_parser() -> None:
    """The trail of Received headers is read on demand."""
    raw = b"Received: from a.example (a.example [192.0.2.1]) by b.example; Fri, 01 May 2026 09:30:00 -0500\r\n" + HEAD
    assert len(read_mail(raw + b"\r\nx").received) == 1
