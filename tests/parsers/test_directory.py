"""Unit maps: whole or not at all, told by file and line; a unit has the id of its day."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import Directory, Event, Mailbox, MapErrors, Outcome, load_rules_text, parse_mail, read_unit_map
from parsers.directory import MAX_ROWS, unit_key

HEAD = "unit,crm_unit_id,from,until"
DAY = dt.date(2026, 5, 1)
PACK = """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y"]
rules:
  - id: move-out
    when: {subject: ^Move Out}
    fields: {unit: {label: Unit}, day: {label: Date, type: date, optional: true}, gate: {label: Gate, optional: true}}
    events:
      - move_out: {unit: unit, on: day}
  - id: note
    when: {subject: ^Note}
    fields: {unit: {label: Unit}, gate: {label: Gate, optional: true}}
    identity: [unit]
    events:
      - patch: {unit: unit, pms_status_raw: "lock {{ lock_no }}"}
  - id: told
    when: {subject: ^Told}
    fields: {unit: {label: Unit}, gate: {label: Gate, optional: true}}
    events:
      - patch: {unit: unit, pms_status_raw: "gate {{ gate }}"}
  - id: both
    when: {subject: ^Both}
    fields: {unit: {label: Unit}, other: {label: Other}}
    identity: [unit]
    events:
      - patch: {unit: unit, pms_lockout: true}
      - patch: {unit: other, pms_lockout: true}
"""
RULES = load_rules_text({"demo.yaml": PACK})


def units(*rows: str, head: str = HEAD, location: str = "MAIN") -> Directory:
    """Return the units of a site by a map of these rows."""
    return read_unit_map("\n".join([head, *rows, ""])).of(location)


def faults(text: str) -> list[str]:
    """Return what is wrong with a map."""
    with pytest.raises(MapErrors) as caught:
        read_unit_map(text, file="units.csv")
    return str(caught.value).splitlines()


def found(directory: Directory, unit: str, on: dt.date = DAY) -> str | None:
    """Return the id of a unit on a day."""
    entry = directory.resolve(unit, on)
    return entry.crm_unit_id if entry else None


def read(
    subject: str, body: str, directory: Directory | None, date: str = "Fri, 01 May 2026 09:30:00 -0500", **box: str
) -> list[Event]:
    """Return the events of a mail to a mailbox with a map."""
    raw = f"From: a@example.com\nSubject: {subject}\nDate: {date}\n\n{body}\n".encode()
    mailbox = Mailbox(address="a@in.test", company="acme", location="MAIN", directory=directory, **box)
    reading = parse_mail(raw, RULES, mailbox=mailbox)
    assert reading.outcome is Outcome.EVENTS, reading.reason
    return list(reading.events)


# -- reading a map ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_map_is_read_as_spreadsheets_write_it(bom: str, delimiter: str, end: str) -> None:
    """With or without byte order mark, by comma or semicolon, with either line end; zeros in front stay."""
    rows = ["unit,crm_unit_id,from,until,gate", "0012,007,,,North", "", ",,,,", "B 204,K/8,2026-05-01,2026-05-31,"]
    text = bom + end.join(row.replace(",", delimiter) for row in rows) + end
    directory = read_unit_map(text).of("MAIN")
    entry = directory.resolve("0012", DAY)
    assert entry is not None
    assert (entry.crm_unit_id, dict(entry.columns), entry.line) == ("007", {"gate": "North"}, 2)
    assert found(directory, "12") is None
    assert (found(directory, "B 204"), directory.columns) == ("K/8", ("gate",))
    assert [entry.line for entry in directory.entries] == [2, 5]


def test_quoted_cells_hold_what_would_part_them() -> None:
    """A quoted cell may hold the delimiter, a quote and a line end; lines are still those of the file."""
    directory = units('"A,1","say ""hi""",,', '"B\n2",K2,,', "C3,K3,,")
    assert found(directory, "A,1") == 'say "hi"'
    assert found(directory, "B 2") == "K2"
    assert [entry.line for entry in directory.entries] == [2, 3, 5]


@pytest.mark.parametrize("unit", ["B204", "b204", " B204\u00a0", "\uff22204", "B\u200b204"])
def test_a_unit_is_found_in_any_dress(unit: str) -> None:
    """Case, space around it, wide letters and zero-width characters do not count; everything else does."""
    assert found(units("B204,K1,,"), unit) == "K1"
    assert found(units("B204,K1,,"), "B 204") is None
    assert found(units("B204,K1,,"), "B20") is None


def test_both_ends_belong_to_a_row() -> None:
    """A row speaks of its first and its last day, and of no day beyond them; an empty end is open."""
    directory = units("A,K1,,2026-05-01", "A,K2,2026-05-02,2026-05-03", "A,K3,2026-05-05,")
    days = [dt.date.min, *(dt.date(2026, 5, day) for day in range(1, 6)), dt.date.max]
    assert [found(directory, "A", day) for day in days] == ["K1", "K1", "K2", "K2", None, "K3", "K3"]


def test_rows_of_other_sites_are_skipped() -> None:
    """One file serves several sites: each sees its own rows; the same unit may stand once for each."""
    text = f"{HEAD},location\nA,K1,,,MAIN\nA,K2,,,WEST\nB,K3,,,west\n"
    assert [found(read_unit_map(text).of(site), "A") for site in ("MAIN", "West", "EAST")] == ["K1", "K2", None]
    assert found(read_unit_map(text).of("MAIN"), "B") is None
    assert read_unit_map(text).of("MAIN").columns == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "units.csv:1: empty: the first line is unit,crm_unit_id,from,until"),
        ("unit,id,from,until\n", "units.csv:1: the column `crm_unit_id` is missing"),
        ("Unit,crm_unit_id,from,until\n", "units.csv:1: the column `unit` is missing (is it `Unit`?)"),
        ("unit,crm_unit_id\n", "units.csv:1: the column `from` is missing"),
        (f"{HEAD},gate,gate\n", "units.csv:1: the column `gate` stands twice"),
        (f"{HEAD},Gate,gate\n", "units.csv:1: the column `gate` stands twice"),
        (f"{HEAD},until\n", "units.csv:1: the column `until` stands twice"),
        (f"{HEAD},\n", "units.csv:1: a column has no name"),
        (f"{HEAD},mailbox\n", "units.csv:1: the column `mailbox` takes the name of something else"),
        (f"{HEAD},occurred_on\n", "units.csv:1: the column `occurred_on` takes"),
        (f"{HEAD},Location\n", "units.csv:1: the column `Location` takes"),
        (f"{HEAD},if\n", "units.csv:1: the column `if` takes"),
        (f"{HEAD}\nA,K1,05/01/2026,\n", "units.csv:2: `from` is not a date: write one like 2026-05-31"),
        (f"{HEAD}\nA,K1,,20260501\n", "units.csv:2: `until` is not a date"),
        (f"{HEAD}\nA,K1,,2026-02-30\n", "units.csv:2: `until` is not a date"),
        (f"{HEAD}\nA,K1,2026-05-02,2026-05-01\n", "units.csv:2: `from` 2026-05-02 is after `until` 2026-05-01"),
        (f"{HEAD}\nA,K1,,\nA,K2,,\n", "units.csv:3: the unit `A` stands in line 2 for the same days"),
        (f"{HEAD}\nA,K1,,2026-05-01\nA,K2,2026-05-01,\n", "units.csv:3: the unit `A` stands in line 2"),
        (f"{HEAD}\nA,K1,2026-05-01,\nA,K2,,2026-06-01\n", "units.csv:3: the unit `A` stands in line 2"),
        (f"{HEAD}\nB1,K1,,2026-05-01\nb1,K1,2026-06-01,\n", "units.csv:3: `b1` is the unit `B1` of line 2"),
        (f"{HEAD}\nA,K1,,\nB,K1,,\n", "units.csv:3: `K1` is the id of the unit `A` in line 2, too, for the same days"),
        (f"{HEAD},location\nA,K1,,,MAIN\nA,K1,,,WEST\n", "units.csv:3: `K1` is the id of the unit `A` in line 2"),
        (f"{HEAD},location\nA,K1,,,\n", "units.csv:2: the location is empty"),
        (f"{HEAD}\n,K1,,\n", "units.csv:2: the unit is empty"),
        (f"{HEAD}\nA, ,,\n", "units.csv:2: the crm_unit_id is empty"),
        (f"{HEAD}\nA,../x,,\n", "units.csv:2: the crm_unit_id holds a path segment of dots"),
        (f"{HEAD}\nA,K\x07,,\n", "units.csv:2: `crm_unit_id` is longer than 255 characters, or holds"),
        (f"{HEAD}\nA,K\u200b1,,\n", "units.csv:2: the crm_unit_id holds a character that cannot be printed"),
        (f"{HEAD}\n{'A' * 256},K1,,\n", "units.csv:2: `unit` is longer than 255 characters"),
        (f"{HEAD}\nA,K1,,,x\n", "units.csv:2: 5 cells under 4 columns"),
        (f'{HEAD}\nA,K1,,\n"B,K2,,\n', "units.csv:3: not CSV: unexpected end of data"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_line(text: str, expected: str) -> None:
    """A map with a mistake is refused whole, and the mistake is named where it stands."""
    assert any(line.startswith(expected) for line in faults(text)), faults(text)


def test_all_mistakes_are_told_at_once_and_not_without_end() -> None:
    """One run shows every mistake, in order; after fifty the rest is counted."""
    assert [line.partition(": ")[0] for line in faults(f"{HEAD}\n,K1,,\nA,K2,x,\nB,,,\n")] == [
        "units.csv:2",
        "units.csv:3",
        "units.csv:4",
    ]
    many = faults("\n".join([HEAD, *[",K,,"] * 60]))
    assert (len(many), many[-1]) == (51, "units.csv: and 10 more")


def test_one_id_may_be_of_two_units_one_after_the_other() -> None:
    """What is refused at one time is right at two: a renamed unit keeps its id."""
    directory = units("A,K1,,2026-05-31", "B,K1,2026-06-01,")
    assert (found(directory, "A"), found(directory, "B")) == ("K1", None)


def test_a_map_has_a_bound() -> None:
    """100,000 rows load, one more does not."""
    rows = [f"U{n},K{n},," for n in range(MAX_ROWS)]
    assert found(units(*rows), "U99999") == "K99999"
    assert faults("\n".join([HEAD, *rows, "V,K,,"])) == [f"units.csv:{MAX_ROWS + 2}: more than 100,000 rows"]


SPANS = st.lists(
    st.tuples(st.sampled_from(["A", "B", "c 1"]), st.integers(0, 40), st.integers(0, 12), st.booleans(), st.booleans()),
    max_size=12,
)


def _rows(spans: list[tuple[str, int, int, bool, bool]]) -> list[tuple[str, str, dt.date | None, dt.date | None]]:
    """Return rows of which no two of a unit overlap, each with an id of its own."""
    rows: list[tuple[str, str, dt.date | None, dt.date | None]] = []
    for number, (unit, start, length, is_open_before, is_open_after) in enumerate(spans):
        first = None if is_open_before else DAY + dt.timedelta(days=start)
        last = None if is_open_after else DAY + dt.timedelta(days=start + length)
        mine = (first or dt.date.min, last or dt.date.max)
        taken = [(row[2] or dt.date.min, row[3] or dt.date.max) for row in rows if row[0] == unit]
        if all(mine[1] < begin or end < mine[0] for begin, end in taken):
            rows.append((unit, f"K{number}", first, last))
    return rows


@pytest.mark.law
@given(SPANS)
def test_a_unit_has_the_id_of_its_day(spans: list[tuple[str, int, int, bool, bool]]) -> None:
    """On every day, a lookup agrees with a plain scan of the rows."""
    rows = _rows(spans)
    directory = units(*(f"{unit},{crm},{first or ''},{last or ''}" for unit, crm, first, last in rows))
    for offset in range(-2, 60):
        on = DAY + dt.timedelta(days=offset)
        for unit in ("A", "b", "C 1", "d"):
            naive = [
                crm
                for name, crm, first, last in rows
                if unit_key(name) == unit_key(unit) and (first is None or first <= on) and (last is None or on <= last)
            ]
            assert found(directory, unit, on) == (naive[0] if naive else None)


# -- reading mail with a map ------------------------------------------------------------------------------------------


def test_a_mail_gets_the_id_of_its_moment() -> None:
    """A stated date decides; without one the day of the moment, on the site's clock."""
    directory = units("A,K1,,2026-05-01", "A,K2,2026-05-02,")
    late = "Sat, 02 May 2026 03:00:00 +0000"  # still the first of May in Chicago
    assert [event.crm_unit_id for event in read("Move Out", "Unit: A", directory)] == ["K1"]
    assert [event.crm_unit_id for event in read("Move Out", "Unit: A", directory, late)] == ["K1"]
    assert [event.crm_unit_id for event in read("Move Out", "Unit: A", directory, late, timezone="UTC")] == ["K2"]
    assert [event.crm_unit_id for event in read("Move Out", "Unit: a\nDate: 05/02/2026", directory)] == ["K2"]
    later = "Sun, 03 May 2026 09:30:00 -0500"
    assert [event.crm_unit_id for event in read("Move Out", "Unit: A\nDate: 05/01/2026", directory, later)] == ["K1"]


def test_a_unit_that_the_map_does_not_know_is_told_without_an_id() -> None:
    """The event is made all the same; its identity is as the template would have it, and none is another's."""
    (event,) = read("Move Out", "Unit: A", units("B,K1,,"))
    (plain,) = read("Move Out", "Unit: A", None)
    assert (event.crm_unit_id, event.unit) == ("", "A")
    assert (plain.crm_unit_id, plain.identity) == ("MAIN-A", event.identity)
    one, other = read("Both", "Unit: A\nOther: C", units("B,K1,,"))
    assert one.crm_unit_id == other.crm_unit_id == ""
    assert one.identity != other.identity


def test_the_identity_is_of_the_id() -> None:
    """What a unit is called does not make an event another one, and what its id is does."""
    told = [read("Both", "Unit: A\nOther: B", units(f"A,{crm},,", "B,K9,,"))[0] for crm in ("K1", "K1", "K2")]
    assert [event.crm_unit_id for event in told] == ["K1", "K1", "K2"]
    assert told[0].identity == told[1].identity != told[2].identity


def test_a_renamed_unit_keeps_its_id() -> None:
    """Mails before the day of a renaming and mails after it reach one unit; the old name ends with the day before."""
    renamed = units("A,K1,,2026-05-01", "B,K1,2026-05-02,")
    after = "Sat, 02 May 2026 09:30:00 -0500"
    told = [("A", {}), ("B", {"date": after}), ("A", {"date": after}), ("B", {})]
    assert [read("Move Out", f"Unit: {unit}", renamed, **more)[0].crm_unit_id for unit, more in told] == [
        "K1",
        "K1",
        "",
        "",
    ]


def test_columns_stand_in_templates_and_on_the_event() -> None:
    """A column of one's own fills its name and goes along with the event; a row without it holds the mail."""
    directory = units("A,K1,,,007", "B,K2,,,", head=f"{HEAD},lock_no")
    (event,) = read("Note", "Unit: A", directory)
    assert (event.body, dict(event.columns)) == ({"pms_status_raw": "lock 007"}, {"lock_no": "007"})
    raw = b"From: a@example.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n\nUnit: B\n"
    reading = parse_mail(
        raw, RULES, mailbox=Mailbox(address="a@in.test", company="acme", location="MAIN", directory=directory)
    )
    assert (reading.outcome, "lock_no" in (reading.reason or "")) == (Outcome.INCOMPLETE, True)


def test_an_unknown_unit_is_told_even_where_a_template_needs_its_row() -> None:
    """What only the row of the map could say is left out; the event is there to be held."""
    (event,) = read("Note", "Unit: Z", units("A,K1,,,007", head=f"{HEAD},lock_no"))
    assert (event.crm_unit_id, dict(event.body)) == ("", {})


def test_a_column_never_stands_in_for_a_field() -> None:
    """A field that the mail lacks stays lacking, though the map has a column of its name."""
    directory = units("A,K1,,,North", head=f"{HEAD},gate")
    assert read("Told", "Unit: A\nGate: South", directory)[0].body == {"pms_status_raw": "gate South"}
    raw = b"From: a@example.com\nSubject: Told\nDate: Fri, 01 May 2026 09:30:00 -0500\n\nUnit: A\n"
    mailbox = Mailbox(address="a@in.test", company="acme", location="MAIN", directory=directory)
    assert parse_mail(raw, RULES, mailbox=mailbox).outcome is Outcome.INCOMPLETE


def test_columns_are_in_the_json_only_where_there_are_any() -> None:
    """The stable form has the columns of the row where the map has some, and no such name else."""
    raw = b"From: a@example.com\nSubject: Move Out\nDate: Fri, 01 May 2026 09:30:00 -0500\n\nUnit: A\n"

    def told(directory: Directory | None) -> dict[str, object]:
        mailbox = Mailbox(address="a@in.test", company="acme", location="MAIN", directory=directory)
        return json.loads(json.dumps(parse_mail(raw, RULES, mailbox=mailbox).to_json()))["events"][0]

    assert told(units("A,K1,,,North", head=f"{HEAD},gate"))["columns"] == {"gate": "North"}
    assert "columns" not in told(units("A,K1,,"))
    assert told(None).keys() == told(units("A,MAIN-A,,")).keys()
    assert told(None) == told(units("A,MAIN-A,,"))
