"""Attached files redacted: the same form and the same reading, and nobody in any octet of them."""

import datetime as dt
import json
import re
import zipfile
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from io import BytesIO

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.comments import Comment
from openpyxl.workbook.defined_name import DefinedName

from parsers import Outcome, load_rules, parse_mail
from tests.rigs.gatepost import ROOT
from tests.rulework.contents import says
from worker.fixtures import fixture_mailbox
from worker.redact import NotRedacted, Redacted, redact

RULES = load_rules([ROOT / "rules"])
PEOPLE = ("Zelda", "Quist", "Müller", "Orr")
IDS = ("B2045", "0017", "T-50017", "555-867-5309", "zelda@private.example", "4711.25", "4,711.25")


def _mail(subject: str, *files: tuple[str, str, bytes], sender: str = "noreply@storedge.com") -> bytes:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = sender
    mail["Subject"] = subject
    mail["Date"] = "Fri, 01 May 2026 09:30:00 -0500"
    mail.set_content("The report is attached.\n")
    for name, kind, octets in files:
        main, _, sub = kind.partition("/")
        mail.add_attachment(octets, maintype=main, subtype=sub, filename=name)
    return mail.as_bytes()


def _redacted(raw: bytes, **how: int) -> Redacted:
    return redact(raw, RULES, fixture_mailbox("storedge", {}), **how)  # pyright: ignore[reportArgumentType]


def _reading(raw: bytes) -> tuple[Outcome, str | None, list[str]]:
    found = parse_mail(raw, RULES, mailbox=fixture_mailbox("storedge", {}))
    return found.outcome, found.rule, [str(event.kind) for event in found.events]


def _file(raw: bytes) -> bytes:
    parts = list(BytesParser(policy=policy.default).parsebytes(raw).iter_attachments())
    return parts[0].get_payload(decode=True)  # pyright: ignore[reportReturnType]


def _nobody_is_left(raw: bytes) -> None:
    assert [text for text in (*PEOPLE, *IDS) if says(raw, text)] == []


@pytest.mark.parametrize(
    ("encoding", "delimiter", "quote", "mark"),
    [
        ("utf-8", ",", '"', b""),
        ("utf-8", ",", "", b"\xef\xbb\xbf"),
        ("cp1252", ";", "", b""),
        ("cp1252", "\t", '"', b""),
        ("utf-16-le", "\t", "", b"\xff\xfe"),
        ("utf-16-be", ";", '"', b"\xfe\xff"),
    ],
)
def test_csv_keeps_its_form(encoding: str, delimiter: str, quote: str, mark: bytes) -> None:
    """Charset, byte order mark, delimiter, quotes and ends of lines stay, and so do dates, headings and groups."""
    amount = "4711.25" if delimiter == "," and not quote else "4,711.25"
    rows = [
        ["Tenant", "Unit", "Paid through date", "Account balance", "Phone"],
        ["Stage 1: Late"],
        ["Zelda Quist", "B2045", "04/22/2026", amount, "555-867-5309"],
        ["Müller", "0017", "04/21/2026", "8", "zelda@private.example"],
    ]
    text = "\r\n".join(delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in rows) + "\r\n"
    raw = _mail("Delinquency Stages", ("report.csv", "text/csv", mark + text.encode(encoding)))
    made = _redacted(raw)
    _nobody_is_left(made.raw)
    assert _reading(made.raw) == _reading(raw)
    assert _reading(raw)[0] is Outcome.EVENTS
    octets = _file(made.raw)
    assert octets.startswith(mark)
    lines = octets[len(mark) :].decode(encoding).split("\r\n")
    assert lines[0] == text.split("\r\n")[0]
    assert lines[1] == f"{quote}Stage 1: Late{quote}"
    shape = re.escape(f"{quote}{delimiter}{quote}")
    cells = (r"[A-Z][a-z]{4} [A-Z][a-z]{4}", r"B\d{4}", "04/22/2026", r"\d,?\d{3}\.\d\d", r"\d{3}-555-01\d\d")
    assert re.fullmatch(f"{quote}{shape.join(cells)}{quote}", lines[2])
    assert (made.removed, made.left_out) == ((), ())


def _book() -> Workbook:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Quist"
    sheet.append(["Tenant", "Unit", "Paid through date", "Account balance", "Move-in date"])
    sheet.append(["Zelda Quist", "B2045", dt.datetime(2026, 4, 22), 4711.25, dt.datetime(2025, 1, 15)])  # noqa: DTZ001
    sheet.append(["Müller", 17, 46133, -20, None])
    sheet["B3"].number_format = "0000"
    sheet["D2"].number_format = '"Orr" #,##0.00'
    sheet["A2"].comment = Comment("call Zelda", "Orr")
    return book


def _saved(book: Workbook) -> bytes:
    out = BytesIO()
    book.save(out)
    return out.getvalue()


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def test_a_spreadsheet_is_cells_and_nothing_else() -> None:
    """Types, places and number formats stay; what stands beside the cells is gone, and is told."""
    book = _book()
    book.properties.creator = "Zelda Quist"
    book.properties.lastModifiedBy = "Orr"
    book.create_sheet("Orr").append(["Zelda Quist", "555-867-5309"])
    book["Orr"].sheet_state = "hidden"
    book.defined_names["Zelda"] = DefinedName("Zelda", attr_text="Quist!$A$1")
    out = BytesIO(_saved(book))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("xl/media/image1.png", b"PNG Zelda")
    raw = _mail("Delinquency Stages", ("report.xlsx", XLSX, out.getvalue()))
    assert [text for text in (*PEOPLE, "B2045", "555-867-5309") if not says(raw, text)] == []
    made = _redacted(raw)
    assert made == _redacted(raw)
    _nobody_is_left(made.raw)
    assert _reading(made.raw) == _reading(raw)
    assert _reading(raw)[0] is Outcome.EVENTS
    (told,) = made.left_out
    assert all(
        word in told for word in ("document properties", "comments", "pictures", "hidden sheets", "defined names")
    )
    properties = zipfile.ZipFile(BytesIO(_file(made.raw))).read("docProps/core.xml")
    assert re.search(rb"creator|created|modified", properties) is None
    sheet = load_workbook(BytesIO(_file(made.raw))).active
    assert sheet is not None
    assert [cell.value for cell in sheet[1]] == [cell.value for cell in book["Quist"][1]]
    assert (sheet["C2"].value, sheet["C3"].value) == (book["Quist"]["C2"].value, 46133)
    assert [[cell.data_type for cell in row] for row in sheet["A2:E3"]] == [list("ssdnd"), list("snnnn")]
    assert sheet["B3"].number_format == "0000"
    assert 10 <= sheet["B3"].value <= 99
    assert sheet["B3"].value != 17


def test_dates_of_spreadsheets_move_where_it_is_asked_for() -> None:
    """A day and a serial number that a rule reads as one move alike."""
    raw = _mail("Delinquency Stages", ("report.xlsx", XLSX, _saved(_book())))
    made = _redacted(raw, shift_days=7)
    before, after = (parse_mail(one, RULES, mailbox=fixture_mailbox("storedge", {})) for one in (raw, made.raw))
    days = [[event.body["paid_through_date"] for event in one.events] for one in (before, after)]
    assert [str(day) for day in days[0]] == ["2026-04-22", "2026-04-21"]
    assert [str(day) for day in days[1]] == ["2026-04-29", "2026-04-28"]


def test_a_unit_that_became_a_date_becomes_another_one() -> None:
    """What a spreadsheet took for a date stays one, so that the mail is held as before, and tells no unit."""
    book = _book()
    book["Quist"]["B2"].value = dt.datetime(2026, 1, 2)  # noqa: DTZ001
    raw = _mail("Delinquency Stages", ("report.xlsx", XLSX, _saved(book)))
    made = _redacted(raw)
    assert _reading(made.raw)[:2] == (Outcome.INVALID, "storedge/delinquency-report")
    sheet = load_workbook(BytesIO(_file(made.raw))).active
    assert sheet is not None
    assert isinstance(sheet["B2"].value, dt.datetime)
    assert sheet["B2"].value.month != 1
    assert sheet["E2"].value == dt.datetime(2025, 1, 15)  # noqa: DTZ001


def test_a_zip_is_written_anew_with_its_files_redacted() -> None:
    """A table in it goes on with other values; a file that is no text loses its content, and is named."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.comment = b"Zelda"
        archive.writestr("Zelda 50017/stages.csv", "Tenant;Unit\r\nZelda Müller;B2045\r\n".encode("cp1252"))
        archive.writestr("lease 50017.pdf", b"%PDF Zelda")
        archive.writestr("__MACOSX/._x", b"Orr")
    raw = _mail("Delinquency Stages", ("report.zip", "application/zip", out.getvalue()))
    made = _redacted(raw)
    _nobody_is_left(made.raw)
    assert _reading(made.raw) == _reading(raw)
    archive = zipfile.ZipFile(BytesIO(_file(made.raw)))
    table, lease = archive.namelist()
    assert re.fullmatch(r"[A-Z][a-z]{4} \d{5}/stages.csv lease \d{5}.pdf", f"{table} {lease}")
    assert re.fullmatch(rb"Tenant;Unit\r\n[A-Z][a-z]{4} [A-Z][a-z]{5};B\d{4}\r\n", archive.read(table))
    assert made.removed == (lease,)


def test_json_keeps_its_keys() -> None:
    """Values become others, escaped ones too; names of values, structure and form stay."""
    text = (
        '{"event": "tenant.created",\n "tenant_2045": [{"name": "Zel\\u0064a Quist", "mail": "zelda@private.example"}],'
        ' "data": {"unit_id": "B2045",\n  "tenant_id": "T-50017", "move_in_date": "2026-05-01", "rent": 4711.25}}'
    )
    raw = _mail("tenant.created", ("event.json", "application/json", text.encode()), sender="e@propertymgmt.com")
    made = _redacted(raw)
    _nobody_is_left(made.raw)
    octets = _file(made.raw)
    assert re.sub(rb": [^{\[].*?(?=[,}\]])", b"", octets) == re.sub(rb": [^{\[].*?(?=[,}\]])", b"", text.encode())
    told = json.loads(octets)
    assert told["event"] == "tenant.created"
    assert re.fullmatch(r"T-\d{5}", told["data"]["tenant_id"])
    assert told["data"]["move_in_date"] == "2026-05-01"
    assert isinstance(told["data"]["rent"], float)


def _broken_book() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types")
    return out.getvalue()


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"\xd0\xcf\x11\xe0" + bytes(60), "of the old format"),
        (_broken_book(), "broken spreadsheet"),
    ],
)
def test_a_spreadsheet_that_cannot_be_read_is_refused(octets: bytes, why: str) -> None:
    """Nothing of it can be kept, so that the mail would be held for another reason: the file is named."""
    with pytest.raises(NotRedacted, match=rf"gate.xlsx cannot be read: .*{why}"):
        _redacted(_mail("Gate Access", ("gate.xlsx", XLSX, octets)))


def test_a_long_report_is_proven_by_its_events() -> None:
    """A trace keeps so many values; units and tenants beyond them are replaced all the same, however short they are."""
    cells = [
        f"0{5 + number % 4}/{1 + number % 28:02}/2026,Move In,A{number},{9000 + number}" for number in range(299, 9, -1)
    ]
    text = "\r\n".join(["Date,Type,Unit,Tenant ID", *cells, ""])
    made = _redacted(_mail("Move Ins/Outs/Transfers", ("moves.csv", "text/csv", text.encode())), shift_days=1)
    rows = [line.split(",") for line in _file(made.raw).decode().splitlines()[1:]]
    assert len(rows) == 290
    for old, new in zip((cell.split(",") for cell in cells), rows, strict=True):
        assert new[1] == "Move In"
        assert all(one != other for one, other in zip(old[2:], new[2:], strict=True))
    events = parse_mail(made.raw, RULES, mailbox=fixture_mailbox("storedge", {})).events
    assert [str(event.body["move_in_date"]) for event in events[-2:]] == ["2026-08-13", "2026-07-12"]
