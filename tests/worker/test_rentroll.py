"""Rent rolls: what a CSV file states of each unit, and what is left out because it would have to be guessed."""

from decimal import Decimal

import pytest

from worker import rentroll
from worker.rentroll import RentRollError, read_rent_roll

FULL = """Unit #,Status,Tenant ID,Ledger ID,Move-In Date,Balance,Paid Through,Locked Out,Notes
007,Occupied,00012,L-1,2026-05-01,"$1,234.50",2026-06-01,Yes,call her
B204,Vacant,,,,,,,
"""


def one(head: str, cell: str, **options):
    """Return what one cell under a heading reads as, or the row that was left out."""
    read = read_rent_roll(f'Unit,{head}\nA1,"{cell}"\n'.encode(), **options)
    return read.left_out[0] if read.left_out else dict(read.rows[0].body)


def test_plain_words_are_our_names() -> None:
    """Headings in plain words are mapped, the mapping is told, and what means nothing to us is named."""
    read = read_rent_roll(FULL.encode())
    first, second = read.rows
    assert (first.line, first.unit) == (2, "007"), "zeros in front stay"
    assert first.body == {
        "occupied": True,
        "pms_tenant_id": "00012",
        "ledger_id": "L-1",
        "move_in_date": "2026-05-01",
        "balance_due": Decimal("1234.50"),
        "paid_through_date": "2026-06-01",
        "pms_lockout": True,
    }
    assert second.body == {"occupied": False}
    assert (read.mapping["Unit #"], read.mapping["Locked Out"]) == ("unit", "pms_lockout")
    assert read.unknown == ("Notes",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_every_usual_file_is_read(encoding: str, mark: str) -> None:
    """UTF-8 with or without a mark, windows-1252; cells parted by comma, semicolon or tab."""
    text = mark.join(("Unit", "Status", "PMS status")) + "\r\n" + mark.join(("A1", "Rented", "Café")) + "\r\n"
    (row,) = read_rent_roll(text.encode(encoding)).rows
    assert row.body == {"occupied": True, "pms_status_raw": "Café"}


@pytest.mark.parametrize(
    ("head", "cell", "body"),
    [
        ("Status", "RENTED", {"occupied": True}),
        ("Status", "Available", {"occupied": False}),
        ("Occupied", "No", {"occupied": False}),
        ("occupied", "true", {"occupied": True}),
        ("Balance", "0", {"balance_due": Decimal("0.00")}),
        ("Balance", "12.5", {"balance_due": Decimal("12.50")}),
        ("Balance", "1.234,50", {"balance_due": Decimal("1234.50")}),
        ("Balance", "12,50", {"balance_due": Decimal("12.50")}),
        ("Balance", "(20.00)", {"balance_due": Decimal("0.00")}),
        ("balance_due", "-20.00", {"balance_due": Decimal("0.00")}),
        ("Paid Thru", "05/31/2026", {"paid_through_date": "2026-05-31"}),
        ("Paid Thru", "31.05.2026", {"paid_through_date": "2026-05-31"}),
        ("Paid Thru", "05/05/2026", {"paid_through_date": "2026-05-05"}),
        ("Paid Thru", "31-May-2026", {"paid_through_date": "2026-05-31"}),
        ("Tenant ID", "T9", {"pms_tenant_id": "T9", "occupied": True}),
        ("Auction", "", {}),
        ("pms_lock_exempt", "y", {"pms_lock_exempt": True}),
    ],
)
def test_a_value_is_read(head: str, cell: str, body: dict) -> None:
    """Each form that has one meaning is read; a credit is 0, and an empty cell says nothing."""
    assert one(head, cell) == body


@pytest.mark.parametrize(
    ("head", "cell"),
    [
        ("Status", "Reserved"),
        ("Locked Out", "maybe"),
        ("Locked Out", "Occupied"),
        ("Balance", "ten"),
        ("Balance", "1,234"),
        ("Balance", "1.234"),
        ("Balance", "1,23,456.00"),
        ("Balance", "99999999999.00"),
        ("Paid Thru", "05/06/2026"),
        ("Paid Thru", "2026-02-30"),
        ("Paid Thru", "tomorrow"),
        ("Tenant ID", "x" * 256),
    ],
)
def test_what_would_have_to_be_guessed_leaves_its_row_out(head: str, cell: str) -> None:
    """A value with two meanings or none leaves the row out, which is listed with line, unit and column."""
    left = one(head, cell)
    assert (left.line, left.unit, left.column) == (2, "A1", head)
    assert cell not in left.message


def test_the_other_dates_of_a_column_show_its_order() -> None:
    """A date that could be read in two ways is read as those of its column that cannot; two that disagree show none."""
    head = "Unit,Paid Through\n"
    read = read_rent_roll((head + "A1,05/06/2026\nA2,25/06/2026\n").encode())
    assert [row.body["paid_through_date"] for row in read.rows] == ["2026-06-05", "2026-06-25"]
    both = read_rent_roll((head + "A1,05/06/2026\nA2,25/06/2026\nA3,06/25/2026\n").encode())
    assert [left.unit for left in both.left_out] == ["A1", "A2", "A3"], "nobody knows what such a column means"
    assert one("Paid Through", "05/06/2026", day_order="mdy") == {"paid_through_date": "2026-05-06"}
    assert one("Paid Through", "25/06/2026", day_order="mdy").column == "Paid Through"


def test_a_vacant_row_with_a_tenant_is_left_out() -> None:
    """A row that contradicts itself is not used."""
    read = read_rent_roll(b"Unit,Status,Tenant ID\nA1,Vacant,T1\n,Vacant,\nA2,Vacant,,x\n")
    assert [(left.line, left.unit, left.column) for left in read.left_out] == [
        (2, "A1", "Tenant ID"),
        (3, "", "Unit"),
        (4, "", "Unit"),
    ]


def test_a_unit_that_stands_twice_refuses_the_file() -> None:
    """Nobody knows which of two rows counts, whatever their spelling."""
    with pytest.raises(RentRollError, match="line 2 and in line 4"):
        read_rent_roll(b"Unit,Status\nb1,Vacant\nB2,Vacant\nB1 ,Occupied\n")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b"Name,Status\nA1,Vacant\n", "no column of units"),
        (b"Unit,Color\nA1,red\n", "no column states anything"),
        (b"Unit,Status,Occupied\nA1,Vacant,No\n", "both mean occupied"),
        (b'Unit,Status\nA1,"Vacant\n', "not CSV"),
        (b"Unit,Status\nA1,\x81\n", "windows-1252"),
    ],
)
def test_a_file_that_is_no_rent_roll_is_refused(raw: bytes, says: str) -> None:
    """The message says what is wrong and what to do."""
    with pytest.raises(RentRollError, match=says):
        read_rent_roll(raw)


def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes or rows than the bounds are refused; as many as the bounds are not."""
    assert (rentroll.MAX_BYTES, rentroll.MAX_ROWS) == (50 * 1024 * 1024, 200_000)
    text = b"Unit,Status\nA1,Vacant\nA2,Vacant\n"
    monkeypatch.setattr(rentroll, "MAX_ROWS", 2)
    monkeypatch.setattr(rentroll, "MAX_BYTES", len(text))
    assert len(read_rent_roll(text).rows) == 2
    with pytest.raises(RentRollError, match="larger than"):
        read_rent_roll(text + b"\n")
    monkeypatch.setattr(rentroll, "MAX_ROWS", 1)
    with pytest.raises(RentRollError, match="more than 1 rows"):
        read_rent_roll(text)
