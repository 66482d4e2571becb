"""Attached files: rows of CSV, XLSX and archives of them; a file is told whole, or held."""

import codecs
import csv
import datetime as dt
import json
import time
import zipfile
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from parsers import Mailbox, Outcome, Reading, delimited, load_rules_text, parse_mail, read_mail, sheets, workbook
from parsers.archive import MAX_MEMBERS, MAX_UNPACKED
from parsers.delimited import MAX_CELLS, MAX_COLUMNS, MAX_OCTETS, MAX_ROWS
from parsers.explain import render
from parsers.workbook import MAX_ELEMENTS, MAX_STRING_ELEMENTS, MAX_STYLE_ELEMENTS
from tests.rigs.sheets import mail_with, rewritten, saved, xlsx, zipped

PACK = """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y"]
rules:
  - id: roll
    when: {subject: ^Roll}
    each:
      - attachment:
          name: ["*.csv", "*.xlsx"]
          delimiter: [",", ";", tab]
          fill_down: [Property]
          skip: ["(^|\\t)Total"]
        fields:
          unit: {column: [Unit, Space]}
          status: {column: Status}
          tenant: {column: Tenant ID, optional: true}
          since: {column: Since, type: date, optional: true}
          balance: {column: Balance, type: money, credit: zero, optional: true}
        events:
          - snapshot:
              unit: unit
              occupied: {from: status, true: [Rented], false: [Vacant]}
              pms_tenant_id: tenant
              move_in_date: since
              balance_due: balance
  - id: plain
    when: {subject: ^Plain, attachment: ["*.csv", "*.xlsx"]}
    each:
      - attachment: {name: ["*.csv", "*.xlsx"], skip: [^Total], group_rows: true}
        fields:
          unit: {column: Unit}
          owed: {column: Owed, type: money, optional: true}
          paid: {column: Paid, type: date, optional: true}
        events: [{patch: {unit: unit, balance_due: owed, paid_through_date: paid}}]
  - id: placed
    when: {subject: ^Placed}
    each:
      - attachment: {name: "*", columns: [Property, Unit, Tenant, Amount], fill_down: [Property], skip: [^Total]}
        fields: {unit: {column: Unit}, owed: {column: Amount, type: money}}
        events: [{patch: {unit: unit, balance_due: owed}}]
  - id: either
    when: {subject: ^Either}
    each:
      - attachment: {name: "*", header_row: auto, columns: [Property, Unit, Tenant, Amount]}
        fields: {unit: {column: Unit}, owed: {column: Amount, type: money}}
        events: [{patch: {unit: unit, balance_due: owed}}]
  - id: third
    when: {subject: ^Third}
    each:
      - attachment: {name: "*", header_row: 3, encoding: windows-1252, sheet: Second}
        fields: {unit: {column: Unit}, gate: {column: Gate, type: flag, true: [Locked], false: [Open]}}
        events: [{patch: {unit: unit, pms_lockout: gate}}]
  - id: moves
    when: {subject: ^Moves}
    each:
      - attachment: {name: "*.csv", may_be_empty: true}
        needs: tenant
        fields:
          on: {column: Date, type: date}
          type: {column: Type}
          unit: {column: Unit}
          tenant: {column: Tenant ID, optional: true}
        cases:
          - where: {type: [Move In, Transfer In]}
            events: [{move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: on}}]
          - where: {type: Move Out}
            events: [{move_out: {unit: unit, on: on, expect: {pms_tenant_id: tenant}}}]
          - where: {type: Rate}
            ignore: A rate is no fact of a unit.
  - id: hook
    when: {json: {event: tenant.created}}
    fields:
      unit: {json: data.unit_id}
      tenant: {json: data.tenant_id}
      ledger: {json: data.lease_id, optional: true}
      since: {json: data.since, type: date}
      owed: {json: data.owed, type: money, optional: true}
    events:
      - move_in: {unit: unit, pms_tenant_id: tenant, ledger_id: ledger, move_in_date: since}
      - patch: {unit: unit, balance_due: owed}
"""
RULES = load_rules_text({"demo.yaml": PACK})
MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
HEAD = ["Property", "Unit", "Status", "Balance"]


def day_of(year: int, month: int, day: int) -> dt.datetime:
    """Return a day as a spreadsheet keeps it: without a zone."""
    return dt.datetime.combine(dt.date(year, month, day), dt.time.min)


TWO = [HEAD, ["North", "0012", "Rented", "1,234.50"], ["", "A-2", "Vacant", ""]]
TOLD = [("0012", {"occupied": True, "balance_due": Decimal("1234.50")}), ("A-2", {"occupied": False})]


def read(files: dict[str, bytes], subject: str = "Roll", **others: str) -> Reading:
    return parse_mail(mail_with(files, subject=subject, **others), RULES, mailbox=MAILBOX)


def told(reading: Reading) -> list[tuple[str, dict[str, Any]]]:
    assert reading.outcome is Outcome.EVENTS, (reading.outcome, reading.reason)
    return [(event.unit, dict(event.body)) for event in reading.events]


def held(reading: Reading, outcome: Outcome, *words: str) -> None:
    assert reading.outcome is outcome, (reading.outcome, reading.reason)
    assert not reading.events
    assert reading.reason
    assert all(word in reading.reason for word in words), reading.reason


def written(rows: list[list[str]], delimiter: str = ",", line_end: str = "\r\n") -> str:
    out = StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    return out.getvalue()


# -- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_csv_in_its_dresses(delimiter: str, line_end: str) -> None:
    """Each delimiter and line end gives the same units, with their zeros."""
    assert told(read({"roll.csv": written(TWO, delimiter, line_end).encode()})) == TOLD


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE),
     ("windows-1252", b""), ("iso-8859-1", b"")],
)  # fmt: skip
def test_encodings(encoding: str, mark: bytes) -> None:
    """A text is read by its byte order mark, or by the first listed encoding that fits all of it."""
    rows = [HEAD, ["Straße", "Büro-7", "Rented", "5.00"]]
    reading = read({"roll.csv": mark + written(rows).encode(encoding)})
    assert told(reading) == [("Büro-7", {"occupied": True, "balance_due": Decimal("5.00")})]


def test_a_declared_charset_is_not_believed() -> None:
    """A part that says UTF-16 or UTF-8 and is windows-1252 is read as what it is."""
    octets = written([HEAD, ["", "Büro-7", "Vacant", ""]]).encode("windows-1252")
    for charset in ("utf-16", "utf-8", "utf-7", "no-such-charset"):
        raw = mail_with({"roll.csv": octets}).replace(
            b"Content-Type: application/octet-stream", f"Content-Type: text/csv; charset={charset}".encode()
        )
        assert told(parse_mail(raw, RULES, mailbox=MAILBOX)) == [("Büro-7", {"occupied": False})]


@pytest.mark.parametrize(
    "octets",
    [
        b"\xef\xbb\xbfUnit,Status\nA\xff,Rented\n",
        b"\xff\xfeU\x00n\x00i",
        b"Unit,Status\nA\x00,Rented\n",
        b"Unit,Status\nA\x81,Rented\n",
        "Unit,Status\nA\ufffd,Rented\n".encode(),
        bytes(range(256)) * 20,
        b"%PDF-1.7\n\x80\x81\x8d\x00",
    ],
)
def test_no_replacement_character_becomes_a_value(octets: bytes) -> None:
    """A file in none of the listed encodings is held, and so is one that lost characters before."""
    held(read({"roll.csv": octets}), Outcome.INVALID, "`roll.csv` cannot be read", "not a text")


def test_the_header_stands_below_a_preamble() -> None:
    """The first row that has all columns that are needed is that of the headings."""
    rows = [["Rent Roll"], ["Unit", "as of 05/01/2026"], [], ["  "], *TWO, [], ["Total", "2", "", "1,234.50"]]
    assert told(read({"roll.csv": written(rows).encode()})) == TOLD


def test_quotes_hold_delimiters_and_line_ends() -> None:
    """A quoted cell may hold what parts cells and rows, and a reason names the line on which its row begins."""
    rows = [["Property", "Unit", "Status"], ['first\nsecond, "third"', "A1", "Rented"], ["", "A 2", "Sold"]]
    held(read({"roll.csv": written(rows).encode()}), Outcome.INVALID, "row 4 of `roll.csv`", "Status")
    rows[2][2] = "Vacant"
    assert [unit for unit, _ in told(read({"roll.csv": written(rows).encode()}))] == ["A1", "A 2"]


def test_a_first_line_may_name_the_delimiter() -> None:
    """`sep=;` is no row."""
    assert told(read({"roll.csv": b"sep=;\r\n" + written(TWO, ";").encode()})) == TOLD


@pytest.mark.parametrize(
    ("rows", "outcome", "words"),
    [
        ([["Unit", "State"], ["A1", "Rented"]], Outcome.INCOMPLETE, ["no column `Status`", "row 1", "state"]),
        ([["A", "B"], ["A1", "Rented"]], Outcome.INCOMPLETE, ["no row with the columns `Unit`, `Status`"]),
        ([["Unit", "Status"]], Outcome.INCOMPLETE, ["fill"]),
        ([HEAD], Outcome.INCOMPLETE, ["no rows"]),
        ([["Unit", "Unit", "Status", "Property"], ["1", "2", "Rented", ""]], Outcome.INVALID, ["more than one column"]),
        ([HEAD, ["N", "", "Rented", ""], ["N", "2", "Rented", ""]], Outcome.INCOMPLETE, ["`unit`", "row 2"]),
        ([HEAD, ["N", "A1", "", ""]], Outcome.INCOMPLETE, ["`status`", "row 2"]),
        ([HEAD, ["N", "A1", "Rented"]], Outcome.INVALID, ["another number of cells", "3, 4"]),
        ([HEAD, ["N", "A1", "Rented", "1", "234.50"]], Outcome.INVALID, ["another number of cells", "5, 4"]),
        ([HEAD, ["N", "A1", "Rented", "1.234,50"]], Outcome.INVALID, ["`balance`", "`Balance`", "row 2"]),
        ([HEAD, ["N", "A1", "Rented", "46143"], ["", "A1", "Vacant", ""]], Outcome.INVALID, ["row 3", "row 2"]),
        ([HEAD, ["N", "{{unit}}", "Rented", ""]], Outcome.INCOMPLETE, ["merge field", "row 2"]),
    ],
)
def test_a_file_is_told_whole_or_not_at_all(rows: list[list[str]], outcome: Outcome, words: list[str]) -> None:
    """What is missing or doubtful holds the mail, and the reason names row and column."""
    if rows == [["Unit", "Status"]]:
        rows, words = [["Unit", "Status"], ["A1", "Rented"]], ["no column `Property`, which is filled down"]
    held(read({"roll.csv": written(rows).encode()}), outcome, "demo/roll", *words)


@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ('="0012"', "0012"),
        ('"=""0012"""', "0012"),
        (' ="A 1"', "A 1"),
        ("'0012", "0012"),
        ("'12A", "12A"),
        ("'0012'", "'0012'"),
        ("O'Neil 2", "O'Neil 2"),
        ("'A1", "'A1"),
        ('="A"&"1"', '="A"&"1"'),
        ("1E05", "1E05"),
        ("5E-03", "5E-03"),
        ("1.20E+03", None),
        ("1e+05", None),
        ('="1,2E+07"', None),
    ],
)
def test_marks_and_shortened_numbers_of_csv(cell: str, unit: str | None) -> None:
    """What only marks a text is taken off, and nothing else; a number that lost its digits is never guessed."""
    octets = f'Unit;Owed;Paid\r\n{cell};="5.00";=""\r\n'.encode()
    reading = read({"a.csv": octets}, "Plain")
    if unit is None:
        held(reading, Outcome.INVALID, "`unit` in column `Unit` of row 2 of `a.csv` is a number that a spreadsheet")
    else:
        assert told(reading) == [(unit, {"balance_due": Decimal("5.00")})]


def test_a_torn_csv_is_held() -> None:
    """A quote that is never closed may have swallowed rows."""
    octets = b'Property,Unit,Status\nN,A1,Rented\nN,"A2,Rented\nN,A3,Vacant\n'
    held(read({"roll.csv": octets}), Outcome.INVALID, "no row of a CSV file")


def test_a_number_is_no_date_in_csv() -> None:
    """Serial dates are a spreadsheet's; in a text 46143 is no date."""
    held(read({"a.csv": b"Unit,Paid\nA1,46143\n"}, "Plain"), Outcome.INVALID, "`paid`", "not a date")


def test_empty_rows_groups_and_totals_say_nothing() -> None:
    """Rows that only head a group, totals and headings that are repeated are passed over."""
    rows = [["Unit", "Owed"], ["30 days", ""], ["A1", "5.00"], ["Unit", "Owed"], ["", ""], ["60 days"], ["A2", "6.00"],
            ["Total", "11.00"]]  # fmt: skip
    wanted = [("A1", {"balance_due": Decimal("5.00")}), ("A2", {"balance_due": Decimal("6.00")})]
    assert told(read({"a.csv": written(rows).encode()}, "Plain")) == wanted
    assert told(read({"a.xlsx": xlsx(rows)}, "Plain")) == wanted


@pytest.mark.parametrize(
    ("subject", "rows"),
    [
        ("Plain", [["Unit", "Owed"], ["Late"], ["A1", "5.00"], ["B1"]]),
        ("Plain", [["Unit", "Owed"], ["Late"]]),
        ("Roll", [["Property", "Unit", "Status"], ["North", "A1", "Vacant"], ["South"]]),
    ],
)
def test_a_file_that_ends_with_the_head_of_a_group_is_held(subject: str, rows: list[list[str]]) -> None:
    """A row of one cell is the head of a group or what is left of a row: at the end of a file nobody knows."""
    held(read({"r.csv": written(rows).encode()}, subject), Outcome.INVALID, f"ends with row {len(rows)}, which heads")
    below = [*rows, ["Total", *([""] * (len(rows[0]) - 1))]]
    assert read({"r.csv": written(below).encode()}, subject).outcome in (Outcome.EVENTS, Outcome.INCOMPLETE)


def test_columns_by_their_places() -> None:
    """A file without headings is read by the places of its columns, and by nothing else."""
    rows = [["North", "A1", "Ann", "5.00"], ["", "A2", "Bo", "0.00"], ["Total", "", "", "5.00"]]
    wanted = [("A1", {"balance_due": Decimal("5.00")}), ("A2", {"balance_due": Decimal("0.00")})]
    for subject in ("Placed", "Either"):
        skipped = rows if subject == "Placed" else rows[:2]
        assert told(read({"a.csv": written(skipped, ";").encode()}, subject)) == wanted
        assert told(read({"a.xlsx": xlsx(skipped)}, subject)) == wanted
    head = ["Property", "Unit", "Tenant", "Amount"]
    below = [["Report"], [], head, *rows[:2]]
    assert told(read({"a.xlsx": xlsx(below)}, "Either")) == wanted
    renamed = [[], ["Property", "Unit", "Tenant", "Due"], *rows[:2]]
    held(read({"a.xlsx": xlsx(renamed)}, "Either"), Outcome.INCOMPLETE, "no column `Amount` (row 2)")
    held(read({"a.xlsx": xlsx([["Report", "May"], *rows[:2]])}, "Placed"), Outcome.INCOMPLETE, "`owed`", "row 1")
    held(read({"a.xlsx": xlsx([[*rows[0], "x"], *rows[1:2]])}, "Placed"), Outcome.INVALID, "5, 4")


# -- XLSX ------------------------------------------------------------------------------------------------------------


def test_xlsx_far_below_a_preamble() -> None:
    """Values are read as the spreadsheet keeps them: numbers, dates, texts with zeros, group rows, totals."""
    day = day_of(2026, 4, 1)
    head = ["Property", "Unit", "Tenant", "Status", "Balance", "Since", "Tenant ID"]
    rows = [["Rent Roll"], *([[]] * 17), ["as of", day], head,
            ["North", "0012", "Ann", "Rented", 1234.5, day, 77], [None, 12.0, None, "Vacant", None, None, None],
            ["South", None, None, None, None, None, None], [None, "B 1", "Bo", "Rented", 0.1 + 0.2, 46113, "T-2"],
            ["Total", None, None, None, 1234.8, None, None]]  # fmt: skip
    assert told(read({"Roll.XLSX": xlsx(rows)})) == [
        ("0012", {"occupied": True, "pms_tenant_id": "77", "move_in_date": "2026-04-01",
                  "balance_due": Decimal("1234.50"), "unit_name": "0012", "pms_location_code": "MAIN"}),
        ("12", {"occupied": False}),
        ("B 1", {"occupied": True, "pms_tenant_id": "T-2", "move_in_date": "2026-04-01",
                 "balance_due": Decimal("0.30"), "unit_name": "B 1", "pms_location_code": "MAIN"}),
    ]  # fmt: skip


@pytest.mark.parametrize(("epoch", "serial"), [(None, 46143), (CALENDAR_MAC_1904, 46143 - 1462)])
def test_serial_dates_of_both_systems(epoch: Any, serial: int) -> None:
    """A number in a date field is a day of the workbook's own system."""
    book = Workbook()
    if epoch:
        book.epoch = epoch
    for row in (["Unit", "Paid"], ["A1", serial], ["A2", day_of(2026, 5, 1)], ["A3", dt.date(2026, 5, 1)]):
        book.active.append(row)
    assert [body["paid_through_date"] for _, body in told(read({"a.xlsx": saved(book)}, "Plain"))] == ["2026-05-01"] * 3


@pytest.mark.parametrize("layout", ["General", "#,##0.00", "#,##0,", "0,,", "$#,##0,.0"])
def test_an_amount_is_the_stored_one_however_it_is_shown(layout: str) -> None:
    """A format that shows thousands only changes what is shown: the amount is what the cell holds."""
    book = Workbook()
    book.active.append(["Unit", "Owed"])
    book.active.append(["A1", 1250])
    book.active["B2"].number_format = layout
    assert told(read({"a.xlsx": saved(book)}, "Plain")) == [("A1", {"balance_due": Decimal(1250)})]


@pytest.mark.parametrize(
    ("value", "layout", "unit"),
    [
        (12, "General", "12"),
        (12.0, "0", "12"),
        (12, "0000", "0012"),
        (1200, "#,##0", "1200"),
        ("0012", "@", "0012"),
        (day_of(2026, 1, 2), "d-mmm", None),
        (dt.time(1, 30), "hh:mm", None),
        (12.5, "General", None),
        (100000, "0.00E+00", None),
        (7, '"A"0', None),
        (7, "#,##0.00_);\\(#,##0.00\\)", "7"),
        (7, "0.5", None),
        (7000, "#,##0,", None),
        (7000, "0,", None),
        (7000, "#,##0,_);(#,##0,)", None),
        (7000000, "#,##0,,.00", None),
        (1200, "#,##0_);(#,##0)", "1200"),
        (1200, "0,0", "1200"),
        (7, "#" * 120 + "x", None),
        (7, "#,0 " * 60 + ".1", None),
        (10**15, "General", None),
        (True, "General", None),
        ("#N/A", "General", None),
    ],
)
def test_what_a_spreadsheet_makes_of_a_unit(value: Any, layout: str, unit: str | None) -> None:
    """A number is a unit where it is shown as its digits; what became a date or lost its digits is never guessed."""
    book = Workbook()
    book.active.append(["Unit", "Owed"])
    book.active.append([value, 5])
    book.active["A2"].number_format = layout
    reading = read({"a.xlsx": saved(book)}, "Plain")
    if unit is None:
        held(reading, Outcome.INVALID, "`unit` in column `Unit` of row 2 of `a.xlsx [Sheet]`")
    else:
        assert told(reading) == [(unit, {"balance_due": Decimal("5.00")})]


@pytest.mark.parametrize(
    ("value", "words"), [("=B3*2", "formula"), (10.005, "two decimals"), (day_of(2026, 1, 2), "date"), (True, "")]
)
def test_a_balance_that_cannot_be_told(value: Any, words: str) -> None:
    """A formula without a stored value, a date and a fraction of a cent are no amounts."""
    octets = xlsx([["Unit", "Owed"], ["A1", value], ["A2", 5]])
    held(read({"a.xlsx": octets}, "Plain"), Outcome.INVALID, "`owed`", "row 2", words)


XF = '<xf numFmtId="N" fontId="0" fillId="0" borderId="0"/>'
STRINGS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


@pytest.mark.parametrize(
    ("part", "pattern", "repeated", "most"),
    [
        ("xl/styles.xml", "</cellXfs>", XF, MAX_STYLE_ELEMENTS),
        ("xl/workbook.xml", "</sheets>", '<sheet name="SN" sheetId="N" r:id="rId9"/>', MAX_STYLE_ELEMENTS),
        ("xl/worksheets/sheet1.xml", "</is>", "<r><t>N</t></r>", MAX_STYLE_ELEMENTS),
    ],
)
def test_what_costs_most_of_a_spreadsheet_is_bounded(part: str, pattern: str, repeated: str, most: int) -> None:
    """Styles, parts and formatted texts have bounds of their own; ordinary files are far below."""
    book = xlsx([["Unit", "Owed"], ["A1", 5]])

    def swollen_by(count: int) -> bytes:
        further = "".join([repeated.replace("N", str(pow(7, number, 1_000_003))) for number in range(count)])
        return rewritten(book, part, pattern, further + pattern)

    octets = swollen_by(most + 1)
    begun = time.process_time()
    swollen = read({"a.xlsx": octets}, "Plain")
    assert time.process_time() - begun < 1
    held(swollen, Outcome.INVALID, f"more than {most} styles")
    if part == "xl/styles.xml":
        assert told(read({"a.xlsx": swollen_by(5000)}, "Plain")) == [("A1", {"balance_due": Decimal("5.00")})]


def test_shared_texts_are_bounded() -> None:
    """A part of nothing but texts, which no cell shows, is refused; one for every cell of a large file is read."""
    book = xlsx([["Unit", "Owed"], ["A1", 5]])
    with zipfile.ZipFile(BytesIO(book)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for count in (100_000, MAX_STRING_ELEMENTS // 2 + 1):
        texts = "".join([f"<si><t>{number * 7919}</t></si>" for number in range(count)])
        swollen = zipped({**parts, "xl/sharedStrings.xml": f'<sst xmlns="{STRINGS}">{texts}</sst>'.encode()})
        reading = read({"a.xlsx": swollen}, "Plain")
        if count == 100_000:
            assert reading.outcome is Outcome.EVENTS, reading.reason
        else:
            held(reading, Outcome.INVALID, f"share more than {MAX_STRING_ELEMENTS // 2} texts")


def test_a_formula_counts_by_its_stored_value() -> None:
    """What the spreadsheet computed last stands in the file; an empty text is an empty cell."""
    octets = xlsx([["Unit", "Owed"], ["A1", "=2+3"], ["A2", 7]])
    sheet = "xl/worksheets/sheet1.xml"
    valued = rewritten(octets, sheet, r"<f>2\+3</f><v\s*/>|<f>2\+3</f><v></v>", "<f>2+3</f><v>5</v>")
    assert told(read({"a.xlsx": valued}, "Plain"))[0] == ("A1", {"balance_due": Decimal("5.00")})
    empty = rewritten(octets, sheet, r'<c r="B2"[^>]*>.*?</c>', '<c r="B2" t="str"><f>""</f><v></v></c>')
    assert [unit for unit, _ in told(read({"a.xlsx": empty}, "Plain"))] == ["A2"]


def test_sheets() -> None:
    """The sheet with the columns is read; a hidden one only by its name; two of them are one too many."""
    wanted = [("A1", {"balance_due": Decimal("5.00")})]
    table = [["Unit", "Owed"], ["A1", 5]]
    assert told(read({"a.xlsx": xlsx([["Cover"]], Data=table)}, "Plain")) == wanted
    held(read({"a.xlsx": xlsx(table, More=table)}, "Plain"), Outcome.INVALID, "2 sheets")
    book = Workbook()
    book.create_sheet("Second").sheet_state = "hidden"
    for sheet in book:
        for row in ([], [], ["Unit", "Gate"], ["A1" if sheet.title == "Second" else "B1", "Locked"]):
            sheet.append(row)
    assert told(read({"a.xlsx": saved(book)}, "Third")) == [("A1", {"pms_lockout": True})]
    held(read({"a.xlsx": xlsx(table)}, "Third"), Outcome.INVALID, "no sheet `Second`")


def test_hidden_rows_count_and_merged_cells_have_one_value() -> None:
    """A filter takes no unit back; of merged cells the first has the value."""
    book = Workbook()
    for row in ([*HEAD], ["North", "A1", "Rented", 1], [None, "A2", "Vacant", None]):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.active.merge_cells("A2:A3")
    assert [unit for unit, _ in told(read({"a.xlsx": saved(book)}))] == ["A1", "A2"]


# -- hostile ---------------------------------------------------------------------------------------------------------


def entities(part: str) -> bytes:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    return rewritten(xlsx([["Unit", "Owed"], ["A1", 5]]), part, r"\A(<\?xml[^>]*\?>)?", bomb)


def cells(rows: int, columns: int) -> bytes:
    filled = [
        "<row>" + "".join(f"<c><v>{row * column}</v></c>" for column in range(columns)) + "</row>"
        for row in range(rows)
    ]
    octets = xlsx([["Unit", "Owed"], ["A1", 5]])
    return rewritten(
        octets, "xl/worksheets/sheet1.xml", "<sheetData>.*</sheetData>", f"<sheetData>{''.join(filled)}</sheetData>"
    )


def at(reference: str, row: int | str) -> bytes:
    octets = xlsx([["Unit", "Owed"], ["A1", 5]])
    cell = f'<row r="{row}"><c r="{reference}{row}"><v>1</v></c></row></sheetData>'
    return rewritten(octets, "xl/worksheets/sheet1.xml", "</sheetData>", cell)


def nested(depth: int) -> bytes:
    octets = xlsx([["Unit", "Owed"], ["A1", 5]])
    return rewritten(octets, "xl/workbook.xml", "</workbook>", "<a>" * depth + "</a>" * depth + "</workbook>")


def encrypted() -> bytes:
    octets = bytearray(zipped({"a.csv": b"Unit,Owed\nA1,5\n"}))
    octets[6] |= 1
    octets[octets.index(b"PK\x01\x02") + 8] |= 1
    return bytes(octets)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.xlsx", lambda: entities("xl/worksheets/sheet1.xml"), "entities"),
        ("a.xlsx", lambda: entities("xl/workbook.xml"), "entities"),
        ("a.xlsx", lambda: entities("[Content_Types].xml"), "entities"),
        ("a.xlsx", lambda: cells(MAX_CELLS // 100 + 1, 100), f"more than {MAX_CELLS} cells"),
        ("a.xlsx", lambda: cells(MAX_ROWS + 1, 1), f"more than {MAX_ROWS} rows"),
        ("a.xlsx", lambda: at("A", 1_048_576), f"more than {MAX_ROWS} rows"),
        ("a.xlsx", lambda: at("XFD", 3), f"more than {MAX_COLUMNS} cells"),
        ("a.xlsx", lambda: at("A", 1), "not in their order"),
        ("a.xlsx", lambda: at("A", "9.0"), "not in their order"),
        ("a.xlsx", lambda: nested(5_000), f"more than {MAX_ELEMENTS} elements"),
        ("a.xlsx", lambda: zipped({"[Content_Types].xml": b"<a/>"}), "broken spreadsheet"),
        ("a.xlsx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 100, "old format"),
        ("a.zip", lambda: zipped({"a.csv": b" " * (MAX_UNPACKED + 1)}), f"more than {MAX_UNPACKED} octets"),
        ("a.zip", lambda: zipped({"a.csv": b" " * 1_000_000}), "packed more than"),
        ("a.zip", lambda: zipped({f"{n}.csv": b"" for n in range(MAX_MEMBERS + 1)}), f"more than {MAX_MEMBERS} files"),
        ("a.zip", lambda: zipped({"a.csv": b"Unit,Owed\n"}, zipfile.ZIP_LZMA), "packed in a way"),
        ("a.zip", encrypted, "encrypted"),
        ("a.zip", lambda: zipped({"b.zip": zipped({"a.csv": b"Unit,Owed\nA1,5\n"})}), "inside another"),
        ("a.zip", lambda: zipped({"a.csv": b"x" * 3000})[:-40], "broken archive"),
        ("a.zip", lambda: b"Unit,Owed\nA1,5\n", "no archive"),
        ("a.csv", lambda: b"Unit,Owed\n" + b"A1,5\n" * MAX_ROWS, f"more than {MAX_ROWS} rows"),
        ("a.csv", lambda: b"Unit,Owed\n" + b"," * MAX_COLUMNS, f"more than {MAX_COLUMNS} cells"),
        ("a.csv", lambda: b"Unit,Owed\n" + (b"," * 149 + b"\n") * (MAX_CELLS // 150), f"more than {MAX_CELLS} cells"),
        ("a.csv", lambda: b"Unit,Owed\n" + b"A" * MAX_OCTETS, f"longer than {MAX_OCTETS} octets"),
        ("a.csv", lambda: b"Unit,Owed\nA" + "\u0301".encode() * 40, "combining marks"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_bombs_are_refused(name: str, make: Any, words: str) -> None:
    """What would grow, nest or never end is refused before it is read, with the bound in the reason."""
    held(read({name: make()}, "Plain"), Outcome.INVALID, "cannot be read", words)


def counting(calls: list[Any], work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same and notes what it was called with."""

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return work(*given, **named)

    return counted


@pytest.mark.parametrize("subject", ["Placed", "Plain"])
def test_a_large_report_is_gone_through_once(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10,000 rows by 20 columns no cell is normalized by itself, no delimiter tried in vain, no unread cell made."""
    normalized, read_by, made = [list[Any]() for _ in range(3)]
    monkeypatch.setattr(sheets, "normal", counting(normalized, sheets.normal))
    monkeypatch.setattr(delimited, "_grid", counting(read_by, delimited._grid))
    monkeypatch.setattr(sheets, "Cell", counting(made, sheets.Cell))
    columns = ["Property", "Unit", "Tenant", "Amount", *(f"Column {number}" for number in range(16))]
    pack = PACK.replace("[Property, Unit, Tenant, Amount], fill_down", f"[{', '.join(columns)}], fill_down")
    rows = [["North", f"A{n}", "Ann Lee", "5.00", *["some more"] * 16] for n in range(1, MAX_ROWS)]
    head = [["Property", "Unit", "Tenant", "Owed", *columns[4:]]] if subject == "Plain" else []
    raw = mail_with({"a.csv": written([*head, *rows]).encode()}, subject=subject)
    (rule,) = (rule for rule in load_rules_text({"d.yaml": pack}).packs["demo"].rules if rule.id == subject.lower())
    (table,) = sheets.read_sheets(read_mail(raw).files, rule)
    assert len(table.rows) == MAX_ROWS - 1
    assert {row.cells[1].text for row in table.rows} == {f"A{n}" for n in range(1, MAX_ROWS)}
    assert (len(normalized), len(read_by)) == (0, 1)
    assert len(made) <= 3 * MAX_ROWS


def test_too_many_cells_are_counted_before_they_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sheet beyond the bound is refused by one look at its octets."""
    begun: list[Any] = []
    monkeypatch.setattr(workbook._Meter, "_start", counting(begun, workbook._Meter._start))
    held(read({"a.xlsx": cells(MAX_CELLS // 100 + 1, 100)}, "Plain"), Outcome.INVALID, f"more than {MAX_CELLS} cells")
    assert 0 < len(begun) < 1000


def test_what_a_spreadsheet_claims_of_its_size_is_not_believed() -> None:
    """A dimension of all rows and columns costs nothing, and hides nothing."""
    octets = xlsx([["Unit", "Owed"], ["A1", 5]])
    for claim in ("A1:XFD1048576", "A1"):
        lying = rewritten(octets, "xl/worksheets/sheet1.xml", '<dimension ref="[^"]*"', f'<dimension ref="{claim}"')
        assert told(read({"a.xlsx": lying}, "Plain")) == [("A1", {"balance_due": Decimal("5.00")})]


@given(st.binary(max_size=2000), st.sampled_from(["a.csv", "a.xlsx", "a.zip"]), st.booleans())
@example(b"\xff\xfe\x00\xd8", "a.csv", False)
def test_any_octets_are_held(octets: bytes, name: str, is_packed: bool) -> None:
    """Octets that are no file of ours never raise, and never make an event."""
    reading = read({name: zipped({"[Content_Types].xml": octets, "a.csv": octets}) if is_packed else octets}, "Plain")
    assert reading.outcome in (Outcome.INVALID, Outcome.INCOMPLETE, Outcome.UNMATCHED, Outcome.IGNORED)


@given(st.data())
def test_a_damaged_workbook_is_read_or_held(data: st.DataObject) -> None:
    """A workbook with any part damaged never raises."""
    octets = xlsx([["Unit", "Owed"], ["A1", 5]])
    with zipfile.ZipFile(BytesIO(octets)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(parts)))
    place = data.draw(st.integers(0, len(parts[name]) - 1))
    noise = data.draw(st.binary(max_size=4) | st.sampled_from([b"<", b">", b'"', b"&lt;", b"9" * 30, b"-1"]))
    parts[name] = parts[name][:place] + noise + parts[name][place + data.draw(st.integers(0, 8)) :]
    reading = read({"a.xlsx": zipped(parts)}, "Plain")
    assert reading.outcome in Outcome


# -- files of a mail -------------------------------------------------------------------------------------------------


def test_an_archive_holds_the_file() -> None:
    """A zip holding one such file is that file; what a packer adds does not count."""
    octets = written(TWO).encode()
    assert told(read({"r.zip": zipped({"out/roll.csv": octets, "__MACOSX/._roll.csv": b"x", "a.txt": b""})})) == TOLD
    assert told(read({"r.zip": zipped({"roll.xlsx": xlsx(TWO)}, zipfile.ZIP_STORED)})) == TOLD
    held(read({"r.zip": zipped({"a.csv": octets, "b.csv": octets})}), Outcome.INVALID, "2 attached files")


def test_one_file_and_no_other() -> None:
    """Two files that fit are one too many; without one the mail is incomplete, or not the rule's."""
    octets = written(TWO).encode()
    held(
        read({"a.csv": octets, "b.xlsx": xlsx(TWO)}),
        Outcome.INVALID,
        "2 attached files `*.csv`",
        ": `a.csv`, `b.xlsx`: ",
    )
    held(read({"a.pdf": octets}), Outcome.INCOMPLETE, "no attached file `*.csv`")
    missed = read({"a.pdf": octets}, "Plain")
    held(missed, Outcome.UNMATCHED, "demo/plain", "attachment: *.csv")


@pytest.mark.parametrize(
    "header",
    [
        b'Content-Disposition: attachment; filename="ROLL.CSV"',
        b"Content-Disposition: attachment; filename*=utf-8''B%C3%BCro%20roll.csv",
        b"Content-Disposition: attachment; filename*0=ro; filename*1=ll.csv",
        b'Content-Disposition: attachment; filename="=?utf-8?b?QsO8cm8uY3N2?="',
        b'Content-Disposition: attachment; filename="C:\\\\out\\\\roll.csv"',
        b"X-Nothing: here",
    ],
)
def test_names_of_files(header: bytes) -> None:
    """A name is read however it is told, and a CSV part without one is a CSV file."""
    raw = mail_with({"x.bin": written(TWO).encode()})
    raw = raw.replace(b'Content-Disposition: attachment; filename="x.bin"', header)
    raw = raw.replace(b"Content-Type: application/octet-stream", b"Content-Type: text/csv")
    assert told(parse_mail(raw, RULES, mailbox=MAILBOX)) == TOLD


def test_captures_name_file_row_and_column() -> None:
    """Explaining a reading shows where in which file each value stood, and no line of the text as unread."""
    reading = read({"a.xlsx": xlsx([["Cover"], *TWO])})
    assert told(reading) == TOLD
    unit, balance = reading.trace["captures"][0], reading.trace["captures"][2]
    assert (unit["file"], unit["row"], unit["label"], unit["text"], unit["line"]) == (
        "a.xlsx [Sheet]",
        3,
        "Unit",
        "0012",
        0,
    )
    assert (balance["field"], balance["text"], balance["value"]) == ("balance", "1,234.50", "1234.50")
    assert "field    unit = '0012' from column `Unit` in row 3 of a.xlsx [Sheet]" in render(reading)
    assert reading.trace["unaccounted"] == []
    assert json.dumps(reading.trace)


def test_rows_are_told_by_their_words() -> None:
    """A row's word chooses its events; without the tenant that they need it says nothing; an unknown word is held."""
    head = ["Date", "Type", "Unit", "Tenant ID"]
    rows = [["05/01/2026", "move in", "A1", "T1"], ["05/01/2026", "Rate", "A1", "T1"],
            ["05/01/2026", "Move Out", "A2", "T2"], ["05/01/2026", "Transfer", "A3", ""]]  # fmt: skip
    reading = read({"a.csv": written([head, *rows]).encode()}, "Moves")
    assert [(str(e.kind), e.unit) for e in reading.events] == [("move_in", "A1"), ("move_out", "A2")]
    rows[3][3] = "T3"
    held(read({"a.csv": written([head, *rows]).encode()}, "Moves"), Outcome.INVALID, "`type`", "row 5", "cases")
    for table in ([head], [head[:3], *(row[:3] for row in rows)]):
        held(read({"a.csv": written(table).encode()}, "Moves"), Outcome.IGNORED, "none of the values")


def test_the_same_report_again_is_the_same_events() -> None:
    """Identities are of what rows say: delimiter, preamble and kind of file do not show in them."""
    dresses = [written(TWO).encode(), written([["x"], *TWO], ";").encode("utf-16")]
    readings = [read({"a.csv": octets}) for octets in dresses] + [read({"b.xlsx": xlsx([["y"], *TWO])})]
    assert len({tuple(event.identity for event in one.events) for one in readings}) == 1
    assert len({event.identity for event in readings[0].events}) == 2


CELL = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8).filter(
    lambda text: text.strip() == text and not text.startswith(("=", "Total")) and " ".join(text.split()) == text
)


@given(st.lists(CELL, min_size=1, max_size=8, unique_by=str.casefold), st.sampled_from([",", ";", "\t"]))
def test_what_is_written_is_read(units: list[str], delimiter: str) -> None:
    """Rows written as CSV or as XLSX give the same reading, unit by unit."""
    rows = [["Unit", "Owed"], *([unit, f"{place}.25"] for place, unit in enumerate(units))]
    by_csv = read({"a.csv": written(rows, delimiter).encode()}, "Plain")
    by_xlsx = read({"a.xlsx": xlsx(rows)}, "Plain")
    assert (by_csv.outcome, by_csv.events) == (by_xlsx.outcome, by_xlsx.events)
    if by_csv.outcome is Outcome.EVENTS:
        assert len(by_csv.events) == len(units)


# -- JSON ------------------------------------------------------------------------------------------------------------


def hook(**data: Any) -> bytes:
    told = {"unit_id": "A1", "tenant_id": "T1", "lease_id": None, "since": "05/01/2026", **data}
    return json.dumps({"event": "tenant.created", "data": told}).encode()


def test_values_from_a_json_file() -> None:
    """A path leads to a value; null is no value; a number is a text where one is wanted."""
    reading = read({"event.json": hook(unit_id=12, owed=5.25)}, "Anything")
    move_in, patch = reading.events
    assert (move_in.unit, move_in.body["pms_tenant_id"], "ledger_id" in move_in.body) == ("12", "T1", False)
    assert patch.body == {"balance_due": Decimal("5.25")}
    assert reading.trace["captures"][0]["label"] == "data.unit_id"
    assert reading.trace["unaccounted"] == []


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        ({"event.json": hook(unit_id=None)}, Outcome.INCOMPLETE),
        ({"event.json": hook(unit_id=["A1"])}, Outcome.INVALID),
        ({"event.json": hook(unit_id={"id": "A1"})}, Outcome.INVALID),
        ({"event.json": hook(since="soon")}, Outcome.INVALID),
        ({"event.json": hook(), "other.json": hook(unit_id="B1")}, Outcome.INVALID),
        ({"event.json": hook().replace(b'"A1"', b'"A1", "unit_id": "B1"')}, Outcome.UNMATCHED),
        ({"event.json": hook()[:-1]}, Outcome.UNMATCHED),
        ({"event.json": b"[" * 100_000}, Outcome.UNMATCHED),
        ({"event.txt": hook()}, Outcome.UNMATCHED),
    ],
)
def test_doubtful_json_is_held(files: dict[str, bytes], outcome: Outcome) -> None:
    """A value that is missing, is none, or is told twice holds the mail; what is no JSON is claimed by no rule."""
    held(read(files, "Anything"), outcome)


def test_the_limit_of_a_rule_is_found_by_its_name() -> None:
    """A rule's share of units is asked for by name; a rule without one, and no rule, have none."""
    limited = PACK.replace("  - id: plain\n", "    limits: {flips: 20%}\n  - id: plain\n", 1)
    rules = load_rules_text({"demo.yaml": limited})
    assert [rules.flips_of(name) for name in ("demo/roll", "demo/plain", "demo/none", None)] == [0.2, None, None, None]
