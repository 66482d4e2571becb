"""``gatepost rules fix``: a renamed label is proposed, shown with what it changes, and written where it belongs."""

import json
from pathlib import Path

import pytest

from parsers import RuleErrors, load_rules_text
from tests.rigs.gatepost import FIXTURES, ROOT, run
from worker.mendrule import NotMended, overlay, with_label, with_overlaid

PACK = """\
# Ours.
pack: pier
senders: [sitelink.com]
dates: ["%m/%d/%Y"]
rules:
  - id: move-in   # as of May
    when: {subject: ^Move In}
    fields:
      unit:      {label: Unit}   # the unit
      tenant_id: {label: [Tenant ID, "Tenant #"]}
      moved_in:
        label:
          - Move-In Date   # old
        type: date
    identity: [unit, tenant_id, moved_in]
    events:
      - move_in: {unit: unit, pms_tenant_id: tenant_id, move_in_date: moved_in}
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("unit", '      unit:      {label: [Unit, "New #"]}   # the unit\n'),
        ("tenant_id", '      tenant_id: {label: ["New #", Tenant ID, "Tenant #"]}\n'),
        ("moved_in", '          - "New #"\n'),
    ],
)
def test_a_label_goes_into_the_text_and_all_else_stays(field: str, line: str) -> None:
    """One line changes, or one comes in; comments and layout stay, and the pack loads with the label."""
    text = with_label(PACK, "pier.yaml", "move-in", field, "New #")
    assert line in text
    before, after = PACK.splitlines(), text.splitlines()
    assert len([one for one in after if one not in before]) == 1
    assert "# as of May" in text
    rule = load_rules_text({"pier.yaml": text}).packs["pier"].rules[0]
    assert "New #" in next(one for one in rule.fields if one.name == field).sources[0].words


def test_a_place_that_is_not_there_is_told() -> None:
    """A field without a label, or a rule that is not there, is refused."""
    for rule, field in (("move-in", "balance"), ("move-out", "unit")):
        with pytest.raises(NotMended, match=field):
            with_label(PACK, "pier.yaml", rule, field, "New #")


def test_a_pack_is_extended_by_a_file() -> None:
    """A new file, or one that is there, brings the further spelling; what it has already is left to a person."""
    first = overlay("pier", {"Unit": "Space"})
    second = with_overlaid(first, "o.yaml", {"Tenant ID": "Customer"})
    third = with_overlaid("extends: pier\nsenders: more.test\n", "o.yaml", {"Unit": "Space"})
    for text, words in ((first, ["Space"]), (second, ["Space", "Customer"]), (third, ["Space"])):
        pack = load_rules_text({"pier.yaml": PACK, "o.yaml": text}).packs["pier"]
        known = {word for one in pack.rules[0].fields for source in one.sources for word in source.words}
        assert set(words) <= known
    with pytest.raises(NotMended, match="by hand"):
        with_overlaid(first, "o.yaml", {"Unit": "Locker"})
    with pytest.raises(RuleErrors):
        load_rules_text({"o.yaml": first})


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with the shipped packs, a folder of its own, and a mail whose label was renamed."""
    (tmp_path / "own").mkdir()
    (tmp_path / "gatepost.toml").write_text(
        f'[rules]\npaths = ["{ROOT / "rules"}", "own"]\n'
        '[[mailbox]]\naddress = "a@in.test"\nlocation = "MAIN"\npms = ["sitelink"]\n',
        "utf-8",
    )
    raw = (FIXTURES / "sitelink" / "01-move-in-text.eml").read_bytes()
    (tmp_path / "held.eml").write_bytes(raw.replace(b"Tenant ID:", b"Tenants IDs:"))
    (tmp_path / "good.eml").write_bytes(raw)
    return tmp_path


def test_a_shipped_pack_is_extended_in_a_folder_of_ones_own(site: Path) -> None:
    """Dry it shows the lines and the effect and writes nothing; with --go the mail is read."""
    dry = run("rules", "fix", "held.eml", "--json", cwd=site)
    assert dry.returncode == 0, dry.stderr
    told = json.loads(dry.stdout)
    assert (told["labels"], told["outcome"], told["fixtures"]) == ({"tenant_id": "Tenants IDs"}, "events", [])
    assert not list((site / "own").iterdir())
    done = run("rules", "fix", "held.eml", "--go", cwd=site)
    assert done.returncode == 0, done.stderr
    assert b"this mail: incomplete, then events" in done.stdout
    assert (site / "own" / "sitelink-labels.yaml").is_file()
    again = run("rules", "fix", "held.eml", cwd=site)
    assert (again.returncode, b"not incomplete" in again.stderr) == (1, True)


def test_ones_own_rule_is_edited(site: Path) -> None:
    """A pack of one's own gets the label in its own text; a label that is not near is named by hand."""
    _own_pier(site)
    raw = (site / "good.eml").read_bytes().replace(b"Unit:", b"Storage Space:")
    (site / "far.eml").write_bytes(raw)
    lost = run("rules", "fix", "far.eml", cwd=site)
    assert (lost.returncode, b"--label FIELD=LABEL" in lost.stderr) == (1, True), lost.stderr
    done = run("rules", "fix", "far.eml", "--label", "unit=Storage Space", "--go", cwd=site)
    assert done.returncode == 0, done.stderr
    assert '{label: [Unit, "Storage Space"]}   # the unit' in (site / "own" / "pier.yaml").read_text("utf-8")


def _own_pier(site: Path) -> None:
    (site / "own" / "pier.yaml").write_text(PACK, "utf-8")
    config = (site / "gatepost.toml").read_text("utf-8")
    (site / "gatepost.toml").write_text(
        config.replace(f'"{ROOT / "rules"}", ', "").replace("sitelink", "pier"), "utf-8"
    )


def test_a_label_of_another_wording_is_proposed_by_its_value(site: Path) -> None:
    """The one unread label with a date is proposed for a missing date, and said to be; of two neither is."""
    _own_pier(site)
    raw = (
        b"From: noreply@sitelink.com\r\nSubject: Move In\r\nDate: Fri, 01 May 2026 09:30:00 -0500\r\n\r\n"
        b"Unit: B204\r\nTenant ID: 5001\r\nRental begins: 05/01/2026\r\nManager: Ann\r\n"
    )
    (site / "far.eml").write_bytes(raw)
    done = run("rules", "fix", "far.eml", cwd=site)
    assert done.returncode == 0, done.stderr
    assert b"`Rental begins` is proposed for `moved_in` by its value, not its wording" in done.stdout
    told = json.loads(run("rules", "fix", "far.eml", "--json", cwd=site).stdout)
    assert (told["labels"], told["by_value"]) == ({"moved_in": "Rental begins"}, ["moved_in"])
    (site / "two.eml").write_bytes(raw + b"Paid until: 05/31/2026\r\n")
    lost = run("rules", "fix", "two.eml", cwd=site)
    assert (lost.returncode, b"nor is there just one" in lost.stderr) == (1, True), lost.stderr
    named = run("rules", "fix", "two.eml", "--label", "moved_in=Rental begins", cwd=site)
    assert (named.returncode, b"by its value" in named.stdout) == (0, False), named.stderr


def test_without_a_folder_of_ones_own_it_says_so(site: Path) -> None:
    """A shipped file is never written to."""
    config = (site / "gatepost.toml").read_text("utf-8")
    (site / "gatepost.toml").write_text(config.replace(', "own"', ""), "utf-8")
    done = run("rules", "fix", "held.eml", "--go", cwd=site)
    assert (done.returncode, b"folder of your own" in done.stderr) == (1, True)
