"""Unit maps from the command line: checked, drafted, and a unit renamed; nothing is written without --go."""

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.gatepost import Gatepost, demo_mail, run
from tests.rigs.services import wait_until

HEAD = "unit,crm_unit_id,from,until"
BOX = "main@in.test"
TABLE = f"""
[[mailbox]]
address = "{BOX}"
location = "MAIN"
company = "acme"
pms = ["sitelink"]
trust = [{{network = "127.0.0.0/8"}}]
"""


def configure(folder: Path, *rows: str, table: str = TABLE, head: str = HEAD) -> None:
    """Write a configuration whose mailbox has a map of these rows."""
    (folder / "gatepost.toml").write_text(f'{table}unit_map = "units.csv"\n', "utf-8")
    (folder / "units.csv").write_text("\n".join([head, *rows, ""]), "utf-8")


def said(folder: Path, *arguments: str, code: int = 0) -> Any:
    """Return what a command prints as JSON."""
    done = run(*arguments, "--json", cwd=folder)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def rows_of(folder: Path) -> list[str]:
    """Return the rows of the map."""
    return (folder / "units.csv").read_text("utf-8").splitlines()[1:]


def audited(folder: Path) -> list[tuple[str, str]]:
    """Return action and detail of what people did."""
    with sqlite3.connect(folder / ".gatepost" / "gatepost.db") as store:
        return list(store.execute("SELECT action, detail FROM audit ORDER BY id"))


def test_parse_reads_by_the_map_and_shows_its_columns(tmp_path: Path) -> None:
    """The id is that of the row of the day, the columns go along; a unit without a row is told as such."""
    configure(tmp_path, "B204,007,,2026-05-31,North", "C9,007,2026-06-01,,North", head=f"{HEAD},gate")
    (tmp_path / "m.eml").write_bytes(demo_mail("01"))
    arguments = ("parse", "m.eml", "--mailbox", BOX, "--trust")
    told = said(tmp_path, *arguments)["events"]
    assert [(event["crm_unit_id"], event["columns"]) for event in told] == [("007", {"gate": "North"})] * 2
    (tmp_path / "m.eml").write_bytes(demo_mail("01").replace(b"B204", b"C9"))
    assert [event["crm_unit_id"] for event in said(tmp_path, *arguments)["events"]] == ["", ""]
    assert b"C9 (not in the unit map)" in run(*arguments, cwd=tmp_path).stdout


def test_check_tells_every_mistake_of_every_map(tmp_path: Path) -> None:
    """Mistakes are told with file and line, exit 2, by the check of the maps, of the configuration, and by doctor."""
    configure(tmp_path, "A,K1,,", "a,K2,x,", "B,K1,,")
    for arguments, code in ((("units", "map", "check"), 2), (("config", "check"), 2), (("units", "list"), 2)):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == code
        assert b"units.csv:3: `from` is not a date" in done.stderr
        assert b"units.csv:4: `K1` is the id of the unit `A` in line 2, too" in done.stderr
    found = {check["name"]: check for check in said(tmp_path, "doctor", code=1)}
    assert found["maps"]["result"] == "bad"
    assert "units.csv:3" in found["maps"]["detail"]
    assert said(tmp_path, "units", "map", "check", code=2)["ok"] is False
    configure(tmp_path, "A,K1,,")
    assert said(tmp_path, "units", "map", "check") == {
        "ok": True,
        "files": ["units.csv"],
        "faults": [],
        "mailboxes": [
            {"mailbox": BOX, "file": "units.csv", "rows": 1, "lacking": [], "unseen": [{"unit": "A", "line": 2}]}
        ],
    }
    assert {check["name"]: check["detail"] for check in said(tmp_path, "doctor")}["maps"] == "units.csv"


def test_check_of_one_file(tmp_path: Path) -> None:
    """A file that no mailbox names is checked by itself; one that is not there is a mistake."""
    configure(tmp_path, "A,K1,x,")
    (tmp_path / "draft.csv").write_text(f"{HEAD}\nA,K1,,\n")
    assert said(tmp_path, "units", "map", "check", "draft.csv")["mailboxes"] == []
    assert said(tmp_path, "units", "map", "check", "units.csv", code=2)["files"] == ["units.csv"]
    configure(tmp_path, "A,K1,,")
    assert [one["mailbox"] for one in said(tmp_path, "units", "map", "check", "./units.csv")["mailboxes"]] == [BOX]
    assert b"cannot be read" in run("units", "map", "check", "none.csv", cwd=tmp_path).stderr


def test_two_maps_with_one_id_are_told(tmp_path: Path) -> None:
    """Two sites that would make one id are a mistake of the configuration, and of the maps."""
    configure(tmp_path, "A,K1,,")
    west = TABLE.replace(BOX, "west@in.test").replace("MAIN", "WEST")
    more = f'{(tmp_path / "gatepost.toml").read_text()}{west}unit_map = "west.csv"\n'
    (tmp_path / "gatepost.toml").write_text(more)
    (tmp_path / "west.csv").write_text(f"{HEAD}\nA,K1,,\n")
    for arguments in (("config", "check"), ("units", "map", "check")):
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, b"can make the same unit id `K1`" in done.stderr) == (2, True)


def test_a_map_is_drafted_from_the_mails_that_came(tmp_path: Path) -> None:
    """First the draft of a mailbox without a map, then what its map lacks; nothing is written without --go."""
    with Gatepost(tmp_path / "up", TABLE) as up:
        up.send(demo_mail("01"), to=BOX)
        up.send(demo_mail("01").replace(b"B204", b"b205").replace(b"T-5001", b"T-7"), to=BOX)
        up.settle()
        folder, build = up.folder, ("units", "map", "build", "--mailbox", BOX)
        dry = run(*build, "--out", "units.csv", cwd=folder)
        draft = f"{HEAD}\nB204,MAIN-B204,,\nb205,MAIN-b205,,\n"
        assert (dry.returncode, dry.stdout.decode()) == (0, draft)
        assert not (folder / "units.csv").exists()
        assert said(folder, *build, "--out", "units.csv", "--go")["added"][0] == {
            "unit": "B204",
            "crm_unit_id": "MAIN-B204",
        }
        assert (folder / "units.csv").read_text() == draft
        config = up.config.read_text().replace('company = "acme"', 'company = "acme"\nunit_map = "units.csv"')
        up.config.write_text(config)
        (folder / "units.csv").write_text(f"{HEAD}\nX9,K9,,\nB205,MAIN-b205,,\n")
        checked = said(folder, "units", "map", "check", code=1)["mailboxes"][0]
        assert [one["unit"] for one in checked["lacking"]] == ["B204"]
        assert [one["unit"] for one in checked["unseen"]] == ["X9"]
        made = said(folder, *build, "--go")
        assert (made["kept"], [row["unit"] for row in made["added"]]) == (2, ["B204"])
        assert rows_of(folder) == ["X9,K9,,", "B205,MAIN-b205,,", "B204,MAIN-B204,,"]


def test_a_renaming_is_dry_until_told(tmp_path: Path) -> None:
    """It prints the two lines; with --go they are written, and an audit row says who told so."""
    configure(tmp_path, "B204,007,,,North", "X,K2,,,", head=f"{HEAD},gate")
    rename = ("units", "rename", "b204", "C9", "--mailbox", BOX, "--on", "2026-06-01")
    dry = run(*rename, cwd=tmp_path)
    assert dry.stdout.decode().splitlines() == [
        "units.csv:2: - B204,007,,,North",
        "units.csv:2: + B204,007,,2026-05-31,North",
        "units.csv:3: + C9,007,2026-06-01,,North",
        "would change this; do it with --go",
    ]
    assert rows_of(tmp_path) == ["B204,007,,,North", "X,K2,,,"]
    done = said(tmp_path, *rename, "--go")
    assert (done["done"], [change["line"] for change in done["changes"]]) == (True, [2, 3])
    assert rows_of(tmp_path) == ["B204,007,,2026-05-31,North", "C9,007,2026-06-01,,North", "X,K2,,,"]
    assert audited(tmp_path) == [("unit rename", f"b204 is C9 from 2026-06-01 on, for {BOX}")]


@pytest.mark.parametrize(
    ("rows", "arguments", "code", "words"),
    [
        (["A,K1,,"], ("B204", "C9"), 1, "has no unit B204"),
        (["A,K1,,", "B,K2,,"], ("A", "B"), 1, "the unit `B` stands in line"),
        (["A,K1,x,"], ("A", "B"), 2, "units.csv:2: `from` is not a date"),
    ],
)
def test_a_renaming_that_cannot_be_is_told(
    rows: list[str], arguments: tuple[str, str], code: int, words: str, tmp_path: Path
) -> None:
    """Why not is said plainly, and the file stays as it is."""
    configure(tmp_path, *rows)
    done = run("units", "rename", *arguments, "--mailbox", BOX, "--on", "2026-06-01", "--go", cwd=tmp_path)
    assert (done.returncode, words in done.stderr.decode()) == (code, True), done.stderr
    assert rows_of(tmp_path) == rows


def test_a_mailbox_without_a_map_is_told_how_to_get_one(tmp_path: Path) -> None:
    """A renaming needs a map, and a draft a file: the refusal says so, and names the command."""
    (tmp_path / "gatepost.toml").write_text(TABLE)
    done = run("units", "rename", "A", "B", "--mailbox", BOX, "--on", "2026-06-01", cwd=tmp_path)
    assert done.returncode == 1
    assert f"gatepost units map build --mailbox {BOX} --out units.csv --go" in done.stderr.decode()
    refused = run("units", "map", "build", "--mailbox", BOX, cwd=tmp_path)
    assert (refused.returncode, b"--out" in refused.stderr) == (2, True)


def test_a_changed_map_counts_while_it_runs(tmp_path: Path) -> None:
    """A renaming by the command reaches the running process: mails of both names end at one unit."""
    configure(tmp_path, "B204,007,,")
    with Gatepost(tmp_path / "up", f'{TABLE}unit_map = "{tmp_path / "units.csv"}"\n') as up:
        up.send(demo_mail("01"), to=BOX)
        up.settle()
        assert up.unit("007")["occupied"] is True
        up.cli("units", "rename", "B204", "C9", "--mailbox", BOX, "--on", "2026-05-02", "--go")
        numbers = itertools.count()

        def is_taken_up() -> bool:
            up.send(demo_mail("08") + f"\r\n{next(numbers)}\r\n".encode(), to=BOX)  # maps are looked at with mails
            return "unit_map_read" in up.log()

        wait_until(is_taken_up, what="the changed map being taken up")
        up.send(demo_mail("03").replace(b"B204", b"C9"), to=BOX)
        up.settle()
        assert up.unit("007")["pms_lockout"] is True
        assert [row["crm_unit_id"] for row in up.cli("units", "list")] == ["007"]


def test_rules_that_name_a_column_need_a_map_that_has_it(tmp_path: Path) -> None:
    """A template may name a column; a name that no map has is told with the nearest, and nothing is read by it."""
    pack = """\
pack: sitelink
senders: [sitelink.com]
rules:
  - id: note
    when: {subject: ^Note}
    fields: {unit: {label: Unit}}
    events:
      - patch: {unit: unit, pms_status_raw: "lock {{ lock_no }}"}
"""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "sitelink.yaml").write_text(pack)
    table = f'[rules]\npaths = ["rules"]\n{TABLE}'
    configure(tmp_path, "A,K1,,,7", table=table, head=f"{HEAD},lock_nr")
    for arguments in (("rules", "check"), ("config", "check")):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert b"sitelink.yaml:8:9: unknown name `lock_no`" in done.stderr
        assert b"did you mean `lock_nr`?" in done.stderr
    configure(tmp_path, "A,K1,,,7", table=table, head=f"{HEAD},lock_no")
    assert run("rules", "check", cwd=tmp_path).returncode == 0
    raw = b"From: a@sitelink.com\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n\nUnit: A\n"
    (tmp_path / "m.eml").write_bytes(raw)
    (event,) = said(tmp_path, "parse", "m.eml", "--mailbox", BOX, "--trust")["events"]
    assert event["body"] == {"pms_status_raw": "lock 7"}
