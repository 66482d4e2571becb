"""Rows of tables and items of lists: a mail is told whole and in its order, or held."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import Mailbox, Outcome, Reading, load_rules_text, parse_mail

RULES = load_rules_text(
    {
        "demo.yaml": """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y"]
rules:
  - id: digest
    when: {subject: ^Digest}
    fields: {by: {label: Sent by, optional: true}}
    occurred: {subject: "[0-9/]{10}", type: date, shift_days: -1, at: end}
    ignore_lines: [^Thank you]
    each:
      - table: {heading: [Locked Out, Locked]}
        empty: [None]
        skip: [^Total]
        fields: {unit: {column: [Unit, Space]}, days: {column: Days, type: integer, optional: true}}
        events: [{patch: {unit: unit, pms_lockout: true, pms_status_raw: "Locked out {{ days | default('some') }}"}}]
      - table: {heading: Removed}
        empty: [None]
        fields: {unit: {column: Unit}}
        events: [{patch: {unit: unit, pms_lockout: false}}]
  - id: roll
    when: {subject: ^Roll}
    each:
      - table: {heading: Rent Roll}
        fields:
          unit: {column: Unit}
          status: {column: Status, optional: true}
          tenant: {column: Tenant, optional: true}
          since: {column: Since, type: date, optional: true}
          balance: {column: Balance, type: money, credit: zero, optional: true}
        events:
          - snapshot:
              unit: unit
              occupied: {from: status, true: [Rented, Let], false: [Vacant]}
              pms_tenant_id: tenant
              move_in_date: since
              balance_due: balance
  - id: payments
    when: {subject: ^Payments}
    each:
      - table: {columns: [Unit, Paid Through]}
        empty: [No payments]
        fields: {unit: {column: Unit}, paid: {column: Paid Through, type: date}}
        events: [{patch: {unit: unit, paid_through_date: paid}}]
  - id: receipt
    when: {subject: ^Receipt}
    fields:
      units: {label: Unit(s), type: list, split: [",", "&", " and "], pattern: "[A-Z]{0,2}[0-9]+"}
      paid: {label: Paid Through, type: date}
      balance: {label: Balance, type: money, credit: zero, optional: true}
    each: {list: units, as: unit}
    identity: [unit, paid]
    events:
      - patch: {unit: unit, paid_through_date: paid, balance_due: {value: balance, if: single}}
"""
    }
)
MAILBOX = Mailbox(address="main@demo.test", company="demo", location="MAIN")
HEAD = "<tr><th>Unit</th><th>Customer</th><th>Days</th></tr>"
NONE_REMOVED = "<h3>Removed</h3><p>None</p>"


def read(subject: str, body: str, kind: str = "html") -> Reading:
    head = f"From: a@example.com\nSubject: {subject}\nDate: Sat, 02 May 2026 09:30:00 -0500\n"
    return parse_mail(f"{head}Content-Type: text/{kind}; charset=utf-8\n\n{body}".encode(), RULES, mailbox=MAILBOX)


def digest(body: str, kind: str = "html") -> Reading:
    return read("Digest 05/02/2026", body, kind)


def locks(reading: Reading) -> list[tuple[str, object]]:
    assert reading.outcome is Outcome.EVENTS, reading.reason
    return [(event.unit, event.body["pms_lockout"]) for event in reading.events]


def row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def table(*rows: str) -> str:
    return f"<table>{HEAD}{''.join(rows)}</table>"


TWO = table(row("A1", "Ann", "5"), row("A2", "Bo", ""))
OUT, IN = ("A1", True), ("A1", False)


@pytest.mark.parametrize(
    "body",
    [
        f"<h3>Locked Out</h3>{TWO}{NONE_REMOVED}",
        f"<p><b>locked:</b></p>{TWO}{NONE_REMOVED}",
        f"{NONE_REMOVED}<h3>Locked Out</h3>{TWO}",
        f"<h3>Locked Out</h3>{TWO.replace('Unit', 'Space')}{NONE_REMOVED}",
        f"<h3>Locked Out</h3>{table(row('A1', 'Ann', '5'))}{table(row('A2', 'Bo', ''))}{NONE_REMOVED}",
        f"<h3>Locked Out</h3>{TWO}<p>Thank you</p>{NONE_REMOVED}<p>Thank you</p>",
        f"<h3>Locked Out</h3>{table(row('A1', 'A', '5'), row('A2', 'B', ''), row('Total', '2', ''))}{NONE_REMOVED}",
        f"<table><tr><td><h3>Locked Out</h3>{TWO}{NONE_REMOVED}</td></tr></table>",
        f"<table><tr><td>Menu</td><td><h3>Locked Out</h3>{TWO}{NONE_REMOVED}</td></tr></table>",
        f"<table><tr><td colspan=3>Locked Out</td></tr>{HEAD}{row('A1', 'A', '5')}{row('A2', 'B', '')}</table>"
        + NONE_REMOVED,
        "<h3>Locked Out</h3>"
        + table(row("A1", "A", "5"), row("A2", "B", ""), "<tr style='display:none'><td>A9</td><td>C</td><td></td></tr>")
        + NONE_REMOVED,
        f"<h3>Locked Out</h3>{TWO}<h3>Removed</h3>{table(row('None', '', ''))}",
        f"<h3>Locked Out</h3>{TWO}<h3>Removed</h3>{table('<tr><td colspan=3>None</td></tr>')}",
        f"<h3>Locked Out</h3>{TWO}<h3>Removed</h3>{table()}<p>None</p>",
    ],
)
def test_a_table_is_read_whatever_its_dress(body: str) -> None:
    """Headings, empty tables, repeated headings, totals, layout tables and hidden rows change nothing."""
    reading = digest(body)
    assert locks(reading) == [("A1", True), ("A2", True)]
    assert [event.body["pms_status_raw"] for event in reading.events] == ["Locked out 5", "Locked out some"]


@pytest.mark.parametrize(
    "body",
    [
        "Locked Out\nUnit\tCustomer\tDays\nA1\tAnn\t5\nA2\tBo\t\n\nRemoved\nNone\n",
        (
            "Locked Out\n----------\nUnit    Customer      Days\nA1      Ann Lee       5\nA2      Bo            7\n\n"
            "Removed\nNone\n"
        ),
        "Locked Out\n| Unit | Customer | Days |\n|---|---|---|\n| A1 | Ann | 5 |\n| A2 | | |\n\nRemoved\n\nNone\n",
        "Locked Out\n+----+----+\n| Unit | Who |\n+----+----+\n| A1 | Ann |\n| A2 | |\n+---+---+\nRemoved\nNone\n",
    ],
)
def test_a_table_of_plain_text_is_read(body: str) -> None:
    """Tabs, bars and columns of spaces part the cells of a plain text; a line that only draws says nothing."""
    assert locks(digest(body, "plain")) == [("A1", True), ("A2", True)]


@pytest.mark.parametrize(
    ("body", "outcome", "words"),
    [
        (f"{TWO}{NONE_REMOVED}", Outcome.INCOMPLETE, "no heading `Locked Out` or `Locked`"),
        (f"<p>Locked Outs</p>{TWO}{NONE_REMOVED}", Outcome.INCOMPLETE, "nearest line seen: `Locked Outs`"),
        (
            f"<p>Locked Out</p><p>Locked</p>{TWO}{NONE_REMOVED}",
            Outcome.INVALID,
            "stands more than once (line 1, line 2)",
        ),
        (
            f"<p>Locked Out</p><p>No one today</p>{NONE_REMOVED}",
            Outcome.INCOMPLETE,
            "line 2 stands between the heading",
        ),
        (f"<p>Locked Out</p>{NONE_REMOVED}", Outcome.INCOMPLETE, "neither a table nor a word that it is empty"),
        (f"<p>Locked Out</p>{table()}{NONE_REMOVED}", Outcome.INCOMPLETE, "neither rows nor a word"),
        (f"<p>Locked Out</p>{table(row('None', '', '0'))}{NONE_REMOVED}", Outcome.INVALID, "holds more than that word"),
        (f"<p>Locked Out</p><p>None</p>{TWO}{NONE_REMOVED}", Outcome.INVALID, "says that it is empty (line 2)"),
        (
            f"<p>Locked Out</p>{table(row('None', '', ''), row('A1', '', ''))}{NONE_REMOVED}",
            Outcome.INVALID,
            "is empty",
        ),
        (
            f"<p>Locked Out</p>{TWO.replace('Unit', 'Unit No')}{NONE_REMOVED}",
            Outcome.INCOMPLETE,
            "no column `Unit` or `Space` (line 2), nearest column seen: `unit no`",
        ),
        (f"<p>Locked Out</p>{TWO.replace('Customer', 'Space')}{NONE_REMOVED}", Outcome.INVALID, "more than one column"),
        (f"<p>Locked Out</p>{table(row('A1', 'Ann'))}{NONE_REMOVED}", Outcome.INVALID, "another number of cells"),
        (
            f"<p>Locked Out</p>{table(row('A1', 'A', 'B', '5'))}{NONE_REMOVED}",
            Outcome.INVALID,
            "another number of cells",
        ),
        (
            f"<p>Locked Out</p>{table(row('A1', 'A', '5'), '<tr><td colspan=3>A2</td></tr>')}{NONE_REMOVED}",
            Outcome.INVALID,
            "row 2 of `Locked Out` (line 4) has another number of cells",
        ),
        (
            f"<p>Locked</p>{table('<tr><td rowspan=2>A1</td><td>A</td><td>5</td></tr>', row('B', '6'))}{NONE_REMOVED}",
            Outcome.INVALID,
            "another number of cells",
        ),
        (f"<p>Locked Out</p>{table(row('A1<br>A2', 'A', '5'))}{NONE_REMOVED}", Outcome.INVALID, "number of cells"),
        (
            f"<p>Locked Out</p>{TWO}<p>And:</p>{table(row('A3', 'C', '1'))}{NONE_REMOVED}",
            Outcome.INVALID,
            "line 6, below the rows of `Locked Out`, may be one more row",
        ),
        (
            f"<p>Locked Out</p>{table(row('', 'Ann', '5'))}{NONE_REMOVED}",
            Outcome.INCOMPLETE,
            "no value for `unit` in column `Unit` of row 1 of `Locked Out` (line 3)",
        ),
        (f"<p>Locked Out</p>{table(row('[[unit]]', 'Ann', '5'))}{NONE_REMOVED}", Outcome.INCOMPLETE, "merge field"),
        (f"<p>Locked Out</p>{table(row('A1', 'Ann', 'UNIT_DAYS'))}{NONE_REMOVED}", Outcome.INCOMPLETE, "merge field"),
        (
            f"<p>Locked Out</p>{table(row('A1', 'Ann', 'five'))}{NONE_REMOVED}",
            Outcome.INVALID,
            "`days` in column `Days` of row 1 of `Locked Out` (line 3) is not a whole number",
        ),
        (f"<p>Locked Out</p>{table(row('../units', '', ''))}{NONE_REMOVED}", Outcome.INVALID, "row 1 of `Locked Out`"),
    ],
)
def test_a_table_is_never_read_in_part(body: str, outcome: Outcome, words: str) -> None:
    """What might be a row, a column or a heading and is not set as one holds the mail, and says where."""
    reading = digest(body)
    assert (outcome, ()) == (reading.outcome, reading.events)
    assert words in (reading.reason or ""), reading.reason
    assert "Ann" not in (reading.reason or "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "Locked Out\nUnit    Customer    Days\nA1      Ann         5\nA2      Bo  Lee\n\nRemoved\nNone\n",
            "is not set below the headings",
        ),
        ("Locked Out\nUnit\tCustomer\tDays\nA1\tAnn\t5\n\nA2\tBo\t6\n\nRemoved\nNone\n", "stands below a gap"),
        ("Locked Out\nUnit\tCustomer\tDays\nA1\tAnn\t5\nA2 Bo 6\n\nRemoved\nNone\n", "another number of cells"),
    ],
)
def test_a_row_of_plain_text_that_lost_its_shape_holds_the_mail(body: str, words: str) -> None:
    """A row that is wrapped, shifted or torn off is not left out."""
    reading = digest(body, "plain")
    assert (reading.outcome, words in (reading.reason or "")) == (Outcome.INVALID, True), reading.reason


def test_the_later_table_stands_later() -> None:
    """A unit in both tables has both events, in the order of the mail, at the end of the day before."""
    one, other = f"<h3>Locked Out</h3>{table(row('A1', '', ''))}", f"<h3>Removed</h3>{table(row('A1', '', ''))}"
    for body, expected in ((one + other, [OUT, IN]), (other + one, [IN, OUT])):
        reading = digest(body)
        assert expected == locks(reading)
        assert [event.position for event in reading.events] == [0, 1]
        assert {"2026-05-01T23:59:59-05:00"} == {event.effective_at.isoformat() for event in reading.events}
        assert len({event.identity for event in reading.events}) == 2


def test_a_row_is_itself_wherever_it_stands() -> None:
    """Rows before it, columns that no event uses and the rest of the mail do not change what a row's event is."""
    alone = digest(f"<h3>Locked Out</h3>{table(row('A2', 'Bo', '6'))}{NONE_REMOVED}")
    among = digest(f"<p>Sent by: X</p><h3>Locked</h3>{table(row('A1', '', ''), row('A2', 'Bob', '6'))}{NONE_REMOVED}")
    assert among.events[1].identity == alone.events[0].identity
    again = digest(f"<h3>Locked Out</h3>{table(row('A2', 'Bo', '6'), row('A2', 'Bo', '6'))}{NONE_REMOVED}")
    assert len({event.identity for event in again.events}) == 2


def test_the_same_unit_in_another_table_is_another_event() -> None:
    """What a row says is itself by its table, whether the unit stands in the other one, too, or not."""
    one, other = (f"<h3>{heading}</h3>{table(row('A1', '', ''))}" for heading in ("Locked Out", "Removed"))
    locked = digest(f"{one}{NONE_REMOVED}").events[0].identity
    removed = digest(f"<h3>Locked Out</h3><p>None</p>{other}").events[0].identity
    assert [event.identity for event in digest(one + other).events] == [locked, removed]
    assert locked != removed


def test_what_no_table_holds_is_unaccounted() -> None:
    """Rows, headings and known noise are accounted for; a line that nothing read is not."""
    reading = digest(
        f"<p>Dear all</p><p>Sent by: X</p><h3>Locked Out</h3>{TWO}{NONE_REMOVED}<p>Thank you</p><p>Bye</p>"
    )
    assert reading.trace["unaccounted"] == [1, 10]


def test_three_hundred_rows_are_three_hundred_events() -> None:
    """A long digest is read whole, and its trace stays within bounds."""
    rows = [row(f"A{number}", "Someone", str(number)) for number in range(300)]
    reading = digest(f"<h3>Locked Out</h3>{table(*rows)}{NONE_REMOVED}")
    assert [f"A{number}" for number in range(300)] == [event.unit for event in reading.events]
    assert (reading.trace["captured"], len(reading.trace["captures"])) == (601, 600)
    assert len(json.dumps(reading.trace)) < 150_000


def payments(body: str) -> Reading:
    return read("Payments", body, "plain")


def test_a_table_without_a_heading_is_found_by_its_columns() -> None:
    """The first line that has the columns begins the table, wherever they stand in it; a word may say it is empty."""
    reading = payments(
        "Dear all\tgood day\n\nPAID THROUGH\tWho\tUnit:\n05/31/2026\tAnn\tA1\n06/30/2026\tBo\tA2\n\nBye\n"
    )
    assert [(event.unit, event.body["paid_through_date"]) for event in reading.events] == [
        ("A1", "2026-05-31"),
        ("A2", "2026-06-30"),
    ]
    assert reading.trace["unaccounted"] == [1, 5]
    assert (payments("No payments\n").outcome, payments("No payments\n").events) == (Outcome.IGNORED, ())


@pytest.mark.parametrize(
    ("body", "outcome", "words"),
    [
        ("Unit\tPaid\nA1\t05/31/2026\n", Outcome.INCOMPLETE, "no table with the columns `Unit, Paid Through`"),
        ("Unit\tPaid Through\n", Outcome.INCOMPLETE, "has neither rows nor a word that there are none"),
        ("No payments\nUnit\tPaid Through\nA1\t05/31/2026\n", Outcome.EVENTS, ""),
        ("Unit\tPaid Through\nNo payments\nA1\t05/31/2026\n", Outcome.INVALID, "says that it is empty"),
        ("Unit\tPaid Through\nA1\t05/31/2026\nMore:\nA2\t05/31/2026\n", Outcome.INVALID, "number of cells"),
        ("Unit\tPaid Through\nA1\t05/31/2026\n\nMore:\nA2\t05/31/2026\n", Outcome.INVALID, "one more row"),
    ],
)
def test_a_table_that_is_found_by_its_columns_is_whole(body: str, outcome: Outcome, words: str) -> None:
    """Without its columns, or with rows torn off, the mail is held."""
    reading = payments(body)
    assert (reading.outcome, words in (reading.reason or "")) == (outcome, True), reading.reason


# -- snapshots --------------------------------------------------------------------------------------------------------


def roll(*rows: str) -> Reading:
    return read("Roll", "Rent Roll\nUnit\tStatus\tTenant\tSince\tBalance\n" + "\n".join(rows) + "\n", "plain")


def test_a_snapshot_states_what_its_row_states() -> None:
    """A tenancy is stated whole or not at all, and an occupied unit without a tenant states none."""
    reading = roll(
        "1\tRented\tT-1\t05/01/2026\t$5.00",
        "2\tLet\t\t\t(3.00)",
        "3\tvacant\t\t\t",
        "4\tRented\tT-4\t\t7.00",
        "5\t\tT-5\t05/01/2026\t7.00",
    )
    assert reading.outcome is Outcome.EVENTS
    place = {"unit_name": "1", "pms_location_code": "MAIN"}
    tenancy = {"pms_tenant_id": "T-1", "move_in_date": "2026-05-01"}
    assert [
        {"occupied": True, **tenancy, "balance_due": Decimal("5.00"), **place},
        {"occupied": True, "balance_due": Decimal("0.00")},
        {"occupied": False},
        {"occupied": True, "balance_due": Decimal("7.00")},
        {"balance_due": Decimal("7.00")},
    ] == [event.body for event in reading.events]
    assert {"snapshot"} == {str(event.kind) for event in reading.events}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\tReserved\t\t\t", "the field `status` (column `Status`) is none of the words listed"),
        ("1\tVacant\tT-1\t\t", "the unit is vacant, and has a tenant"),
    ],
)
def test_a_row_that_contradicts_itself_holds_the_roll(line: str, words: str) -> None:
    """A status of neither list, or a tenant in a vacant unit, is not decided here."""
    reading = roll("9\tRented\t\t\t", line)
    assert (reading.outcome, reading.events) == (Outcome.INVALID, ())
    assert words in (reading.reason or "")
    assert "row 2 of `Rent Roll`" in (reading.reason or "")


# -- lists ------------------------------------------------------------------------------------------------------------


def receipt(units: str, balance: str = "$25.00") -> Reading:
    return read("Receipt", f"Unit(s): {units}\nPaid Through: 05/31/2026\nBalance: {balance}\n", "plain")


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ("12", ["12"]),
        ("A12, A14 & B3", ["A12", "A14", "B3"]),
        ("A12 AND A14", ["A12", "A14"]),
        ("A12, A14, and B3", ["A12", "A14", "B3"]),
    ],
)
def test_every_item_has_its_event(written: str, units: list[str]) -> None:
    """An account's balance is stated for a single unit only, never copied to several."""
    reading = receipt(written)
    assert units == [event.unit for event in reading.events]
    assert {"2026-05-31"} == {event.body["paid_through_date"] for event in reading.events}
    assert [Decimal("25.00")] * (len(units) == 1) == [
        event.body["balance_due"] for event in reading.events if "balance_due" in event.body
    ]


def test_an_item_is_itself_whatever_stands_beside_it() -> None:
    """The same unit named with others is the same event: the list is no part of an identity."""
    assert receipt("A12").events[0].identity == receipt("B3, A12").events[1].identity


@pytest.mark.parametrize(
    ("written", "outcome", "words"),
    [
        ("A12,", Outcome.INVALID, "an item left out"),
        ("A12,, A14", Outcome.INVALID, "an item left out"),
        ("A12, a12", Outcome.INVALID, "names an item twice"),
        ("A12; A14", Outcome.INVALID, "does not match the field's pattern"),
        ("A12, UNIT_NAME", Outcome.INVALID, "does not match the field's pattern"),
        ("A12, [[unit]]", Outcome.INCOMPLETE, "merge field"),
        ("1" * 2001, Outcome.INVALID, "longer than 2000"),
    ],
)
def test_a_list_is_whole_or_nothing(written: str, outcome: Outcome, words: str) -> None:
    """A list with a gap, a doubled or an odd item holds the mail."""
    reading = receipt(written)
    assert (outcome, ()) == (reading.outcome, reading.events)
    assert words in (reading.reason or ""), reading.reason


# -- laws -------------------------------------------------------------------------------------------------------------

WORD = st.from_regex(r"[A-Z]{1,2}[0-9]{1,3}", fullmatch=True)
ROWS = st.lists(st.tuples(WORD, WORD, st.integers(0, 999).map(str)), min_size=1, max_size=8)


def columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(cells[place]) for cells in rows) + 2 for place in range(3)]
    return "\n".join("".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in rows)


@pytest.mark.law
@given(ROWS)
def test_every_way_to_set_a_table_says_the_same(rows: list[tuple[str, ...]]) -> None:
    """HTML, tabs, bars and columns of spaces give the same events, one for each row, in order."""
    every = [("Unit", "Customer", "Days"), *rows]
    ways = [digest(f"<p>Locked Out</p>{table(*(row(*cells) for cells in rows))}{NONE_REMOVED}")]
    for body in (
        "\n".join("\t".join(cells) for cells in every),
        "\n".join(f"| {' | '.join(cells)} |" for cells in every),
        columns(every),
    ):
        ways.append(digest(f"Locked Out\n\n{body}\n\nRemoved\n\nNone\n", "plain"))
    assert [(unit, True) for unit, _, _ in rows] == locks(ways[0])
    for other in ways[1:]:
        assert ways[0].events == other.events, other.reason


@pytest.mark.law
@given(ROWS, st.data())
def test_a_table_that_lost_a_cell_is_held(rows: list[tuple[str, ...]], data: st.DataObject) -> None:
    """Without one of its cells no row is left out, and none is read by its neighbour's column."""
    place = data.draw(st.integers(0, len(rows) - 1))
    cell = data.draw(st.integers(0, 2))
    torn = [list(cells) for cells in rows]
    del torn[place][cell]
    html = digest(f"<p>Locked Out</p>{table(*(row(*cells) for cells in torn))}{NONE_REMOVED}")
    lines = "\n".join("\t".join(cells) for cells in torn)
    tabs = digest(f"Locked Out\nUnit\tCustomer\tDays\n{lines}\n\nRemoved\nNone\n", "plain")
    assert [(one.outcome, one.events) for one in (html, tabs)] == [(Outcome.INVALID, ()), (Outcome.INVALID, ())]


@pytest.mark.law
@given(st.lists(WORD, min_size=1, max_size=12, unique=True), st.data())
def test_items_come_back(units: list[str], data: st.DataObject) -> None:
    """Items that are joined by any of the separators are read as they were, in order."""
    written = units[0]
    for unit in units[1:]:
        written += data.draw(st.sampled_from([", ", ",", " & ", " and ", ", and "])) + unit
    assert units == [event.unit for event in receipt(written).events]
