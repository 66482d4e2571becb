"""The dressings: what they write is what they are named for."""

import datetime as dt
from base64 import encodebytes
from email import message_from_bytes
from quopri import encodestring
from zoneinfo import ZoneInfo

import pytest

from parsers import read_mail
from parsers.dress import DRESSINGS, dress
from parsers.mailprograms import LANGUAGES, PROGRAMS, write_date
from parsers.writtendate import read_written_date

MAIL = (
    b"From: SiteLink <noreply@sitelink.com>\r\nTo: sitelink@demo.test\r\nSubject: Move In Notification\r\n"
    b"Date: Fri, 01 May 2026 14:30:00 +0000\r\nMessage-ID: <1@sitelink.com>\r\n\r\n"
    b"Unit: B204\r\nTenant ID: T-5001\r\n"
)


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("text", b"text/plain"),
        ("html", b"<div><b>Unit</b>: B204</div>"),
        ("two-cells", b"<td><b>Unit</b></td><td>B204</td>"),
        ("quoted-printable", b"Unit: B2=\r\n04"),
        ("base64", b"Content-Transfer-Encoding: base64"),
        ("windows-1252", b"=80"),
        ("mislabelled", b"charset=iso-8859-1"),
        ("nbsp", b":&nbsp;&nbsp;"),
        ("zero-width", b"=E2=80=8B"),
        ("two-lines", b"Unit:\r\n  B204"),
        ("folded-subject", b"Subject: Move\r\n In\r\n Notification\r\n"),
        ("external-tag", b"Subject: [EXTERNAL] Move In"),
        ("auto-forward", b"X-Forwarded-For: "),
        ("rfc822", b"Content-Type: message/rfc822"),
        ("outlook-forward-de", b"Subject: WG: Move In"),
        ("apple-forward-text-fr", b"> De: SiteLink"),
        ("hidden-unit", b"display:none"),
        ("note-above", b"Unit: Z999"),
    ],
)
def test_a_dressing_is_what_its_name_says(name: str, octets: bytes) -> None:
    """Each dressing has the mark of its kind, which the plain mail has not."""
    assert octets not in MAIL
    assert octets in dress(MAIL, name)


def test_the_subject_is_split_within_a_character() -> None:
    """No encoded word of the split subject is text by itself, and all together say the subject."""
    words = str(message_from_bytes(dress(MAIL, "rfc2047-split"))["Subject"]).split()
    assert len(words) > 1
    assert any(word_is_torn(word) for word in words)
    assert read_mail(dress(MAIL, "rfc2047-split")).subject == "Move In Notification"


def word_is_torn(word: str) -> bool:
    from base64 import b64decode

    try:
        b64decode(word.split("?")[3]).decode()
    except UnicodeDecodeError:
        return True
    return False


def test_who_forwards_tells_the_date_on_their_clock() -> None:
    """With a zone the forward tells the date there; without one as the mail's own Date does."""
    there = read_mail(dress(MAIL, "gmail-forward", zone=ZoneInfo("America/Chicago")))
    assert there.local_date == dt.datetime.fromisoformat("2026-05-01T09:30")
    assert read_mail(dress(MAIL, "gmail-forward")).local_date == dt.datetime.fromisoformat("2026-05-01T14:30")


def test_a_forward_is_dressed_as_the_mail_inside() -> None:
    """Dressing a forward forwards it anew, or undoes the forward."""
    forward = dress(MAIL, "gmail-forward", zone=ZoneInfo("America/Chicago"))
    undone = read_mail(dress(forward, "text"))
    assert (undone.chain, undone.subject, undone.from_address) == ((), "Move In Notification", "noreply@sitelink.com")
    assert undone.local_date == dt.datetime.fromisoformat("2026-05-01T09:30")
    assert len(read_mail(dress(forward, "rfc822")).chain) == 2


FILE = "Unit,Größe\r\nA1,ü"


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "idna", "none-such"])
@pytest.mark.parametrize(
    ("encoding", "octets"),
    [
        ("base64", encodebytes(FILE.encode())),
        ("quoted-printable", encodestring(FILE.encode())),
        ("8bit", FILE.encode()),
        ("binary", FILE.encode()),
        ("x-unknown", FILE.encode()),
    ],
)
def test_a_file_goes_along_as_it_is(encoding: str, octets: bytes, charset: str) -> None:
    """In whatever encoding and charset, and also where its octets are no text; so does the mail attached whole."""
    kind = (
        f'Content-Type: text/csv; charset={charset}; name="größe.csv"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    )
    text = MAIL.partition(b"\r\n\r\n")[2]
    head = (
        MAIL.removesuffix(b"\r\n" + text) + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    )
    raw = b"\r\n--b\r\n".join((head, b"\r\n" + text, kind.encode() + octets)) + b"\r\n--b--\r\n"
    (file,) = (part for part in read_mail(raw).parts if part.file_name)
    assert file.octets.decode().rstrip() == FILE
    for name in ("text", "gmail-forward", "rfc822"):
        dressed = [part for part in read_mail(dress(raw, name)).parts if part.file_name]
        assert [part.octets.rstrip() for part in dressed] == [file.octets.rstrip()]


def test_what_cannot_be_dressed_is_told() -> None:
    """An unknown name is told with those that are known; so is a forward of nobody knows what."""
    with pytest.raises(ValueError, match=r"unknown dressing `gmail`; known: text, html"):
        dress(MAIL, "gmail")
    doubtful = (
        MAIL.replace(b"Subject: ", b"Subject: Fwd: ")
        + b"\r\nOn Fri, May 1, 2026 at 9:30 AM A <a@b.test> wrote:\r\n> x\r\n"
    )
    with pytest.raises(ValueError, match="that of a reply"):
        dress(doubtful, "text")


def test_there_is_a_forward_of_every_program_in_every_language() -> None:
    """The names cover programs times languages."""
    ends = ["" if language == "en" else f"-{language}" for language in LANGUAGES]
    assert {f"{program}-forward{end}" for program in PROGRAMS for end in ends} <= set(DRESSINGS)
    assert (len(PROGRAMS), len(LANGUAGES)) == (3, 4)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_dates_of_programs_are_read_back(program: str, language: str) -> None:
    """Every day of a year, and every hour of a day, is read back as that moment in every language."""
    begin = dt.datetime.fromisoformat("2026-01-01T00:05:00-05:00")
    for number in range(365):
        date = begin + dt.timedelta(days=number, hours=number % 24)
        aware, naive = read_written_date(write_date(date, program, language))
        assert date == aware if program == "apple" else date.replace(tzinfo=None) == naive


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fri, 1 May 2026 09:30:00 -0500", "2026-05-01T09:30:00-05:00"),
        ("May 1, 2026 at 9:30:00\u202fAM CDT", "2026-05-01T09:30:00-05:00"),
        ("1. Mai 2026 um 09:30:00 MESZ", "2026-05-01T09:30:00+02:00"),
        ("2026-05-01 09:30", "2026-05-01T09:30:00"),
        ("13/05/2026 09:30", "2026-05-13T09:30:00"),
        ("Friday, May 1, 2026 12:05 AM", "2026-05-01T00:05:00"),
        ("1/5/2026 09:30", None),
        ("Thursday, May 1, 2026 9:30 AM", None),
        ("May 1, 2026", None),
        ("May 1, 26 at 9:30 AM", None),
        ("May 32, 2026 at 9:30 AM", None),
        ("May 1, 2026 at 13:30 PM", None),
        ("May 1, 2026 at 9:30 AM XYZ", None),
        ("May 1, 2026 at 9:30 AM or 10:30 AM", None),
        ("9:30 " * 50, None),
        ("", None),
    ],
)
def test_a_written_date_is_read_whole_or_not_at_all(text: str, expected: str | None) -> None:
    """What could be another day, hour or zone is no date."""
    aware, naive = read_written_date(text)
    assert (aware or naive) == (dt.datetime.fromisoformat(expected) if expected else None)
    assert aware is None or naive is None
