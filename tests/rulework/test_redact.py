"""Mails redacted: the same reading, nobody in it, and a refusal where that cannot be had."""

import base64
import json
import re
from email import message_from_bytes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import Mailbox, Outcome, Reading, RuleSet, load_rules, load_rules_text, parse_mail, read_mail
from parsers.rule import Type
from tests.rigs.gatepost import FIXTURES, ROOT, run
from tests.rulework.contents import contents, says
from worker.fixtures import fixture_mailbox, mailbox_pack
from worker.redact import NotRedacted, Redacted, redact

MAILS = sorted(FIXTURES.glob("*/*.eml"))
RULES = load_rules([ROOT / "rules"])
BOX = fixture_mailbox("sitelink", {})
PEOPLE = ("Jane", "Ann Lee", "Bo Ray", "Cy Poe", "Di Fox")
REFUSED = {"02-from-list", "03-from-nested", "07-utf7"}
"""Mails of the folder `hostile` that say something else once their headers are put in order, or are lossy."""


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RULES


@pytest.mark.parametrize("path", MAILS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_fixture_is_redacted_or_refused(path: Path, rules: RuleSet) -> None:
    """Text, HTML, charsets, encodings, structured data: read as before, or refused with a reason."""
    mailbox = fixture_mailbox(mailbox_pack(path.parent, rules), {})
    if path.parent.name == "hostile" and path.stem in REFUSED:
        with pytest.raises(NotRedacted):
            redact(path.read_bytes(), rules, mailbox)
        return
    raw = path.read_bytes()
    made = redact(raw, rules, mailbox)
    before, after = parse_mail(raw, rules, mailbox=mailbox), parse_mail(made.raw, rules, mailbox=mailbox)
    assert (before.outcome, before.rule) == (after.outcome, after.rule)
    assert [event.kind for event in before.events] == [event.kind for event in after.events]
    assert made == redact(raw, rules, mailbox)
    names = {name.lower() for name, _ in message_from_bytes(made.raw).raw_items()}
    assert not names & {"received", "dkim-signature", "return-path", "list-id"}
    for name in PEOPLE:
        assert not says(made.raw, name)
    for event in before.events:
        if len(event.unit) > 3:
            assert event.unit not in read_mail(made.raw).text
    assert [
        text for text in _captured(before, rules) if any(_holds(text, octets) for octets in contents(made.raw))
    ] == []


def _captured(reading: Reading, rules: RuleSet) -> list[str]:
    """Return the texts with digits that a rule took, except dates, which stay, and what may stand by chance."""
    pack, _, rule_id = (reading.rule or "").partition("/")
    claiming = [rule for rule in rules.packs[pack].rules if rule.id == rule_id] if pack else []
    fields = [
        one for rule in claiming for one in (*rule.all_fields, *(one for table in rule.tables for one in table.fields))
    ]
    dates = {one.name for one in fields if one.type in (Type.DATE, Type.DATETIME)}
    texts = [one["text"] for one in reading.trace.get("captures", ()) if one["field"] not in dates]
    return [text for text in texts if len(text) > 3 and sum(map(str.isdigit, text)) > 2 and text.strip("$0.,")]


def _holds(text: str, octets: bytes) -> bool:
    """Return whether a text stands by itself in octets, in one of the charsets of the fixtures."""
    return any(
        re.search(rb"(?<![\w.#])" + re.escape(text.encode(codec, "replace")) + rb"(?![\w])", octets) is not None
        for codec in ("utf-8", "cp1252", "utf-16-le")
    )


NAMES = st.sampled_from(["Harold Finch", "ZOË MÜLLER", "Ana-María O’Neil", "Smith, Walter", "Xu Li", "Jean de Vries"])
IDS = st.from_regex(r"\A[A-Z]{0,2}-?0{0,2}[1-9][0-9]{3,6}\Z")
UNITS = st.from_regex(r"\A[A-Z]?[1-9][0-9]{0,3}[A-Z]?\Z")
AMOUNTS = st.decimals(min_value=0, max_value=9999, places=2).map(lambda amount: f"${amount:,.2f}")


def _mail(values: dict[str, str], *, as_html: bool, encoding: str) -> bytes:
    lines = {
        "Tenant": values["name"],
        "Tenant ID": values["tenant"],
        "Unit": values["unit"],
        "Move-In Date": "05/01/2026",
        "Paid Thru": "05/31/2026",
        "Rent": values["rent"],
        "E-mail": "someone@private.example",
    }
    if as_html:
        body = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in lines.items())
        text = f"<p>Dear {values['name']},</p><table>{body}</table><p>Unit {values['unit']} is let.</p>"
    else:
        text = f"Dear {values['name']},\n" + "".join(f"{name}: {value}\n" for name, value in lines.items())
        text += f"Unit {values['unit']} is let.\n"
    octets = text.encode()
    if encoding == "base64":
        octets = base64.encodebytes(octets)
    head = (
        "From: noreply@sitelink.com\nTo: boss@site.example\nSubject: Move In Notification\n"
        "Date: Fri, 01 May 2026 09:30:00 -0500\nReceived: from x (y [192.0.2.1])\nMIME-Version: 1.0\n"
        f"Content-Type: text/{'html' if as_html else 'plain'}; charset=utf-8\n"
        f"Content-Transfer-Encoding: {encoding}\n\n"
    )
    return head.encode() + octets


@pytest.mark.law
@given(
    name=NAMES,
    tenant=IDS,
    unit=UNITS,
    rent=AMOUNTS,
    as_html=st.booleans(),
    encoding=st.sampled_from(["8bit", "base64"]),
)
def test_nobody_is_left_and_the_reading_stays(
    name: str, tenant: str, unit: str, rent: str, as_html: bool, encoding: str
) -> None:
    """Whoever and whatever a mail names: none of it is left, shapes are kept, and the events are the same up to it."""
    raw = _mail({"name": name, "tenant": tenant, "unit": unit, "rent": rent}, as_html=as_html, encoding=encoding)
    before = parse_mail(raw, RULES, mailbox=BOX)
    assert before.outcome is Outcome.EVENTS
    made = redact(raw, RULES, BOX, seed="law")
    after = parse_mail(made.raw, RULES, mailbox=BOX)
    shown = read_mail(made.raw)
    for word in [word for word in re.findall(r"[^\W\d_]+", name) if len(word) > 2]:
        assert word.casefold() not in {found.casefold() for found in re.findall(r"[^\W\d_]+", shown.text)}
    assert tenant not in shown.text
    assert "private" not in shown.text
    assert b"boss" not in made.raw
    assert [event.kind for event in after.events] == [event.kind for event in before.events]
    for old, new in zip(before.events, after.events, strict=True):
        assert new.unit != old.unit
        assert re.sub(r"\d", "9", new.unit) == re.sub(r"\d", "9", old.unit)
        assert (old.effective_at, old.on) == (new.effective_at, new.on)
    assert f"Unit {after.events[0].unit} is let." in shown.text
    tenants = [str(one.events[0].body["pms_tenant_id"]) for one in (before, after)]
    assert re.match(r"[A-Z-]*0*", tenants[0])[0] == re.match(r"[A-Z-]*0*", tenants[1])[0]  # pyright: ignore[reportOptionalSubscript]


def _redacted(text: str, **how: int) -> Redacted:
    head = "From: noreply@sitelink.com\nSubject: Move In Notification\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n"
    return redact((head + text).encode(), RULES, BOX, **how)  # pyright: ignore[reportArgumentType]


def test_lines_that_nothing_accounts_for_are_named() -> None:
    """A line of known words is not named; one that may tell of somebody is, as it is now."""
    made = _redacted(
        "Unit: B204\nTenant ID: T-5001\nMove-In Date: 05/01/2026\n"
        "Thank you for your payment.\nAsk for Walter at desk 4711.\n"
    )
    assert [number for number, _ in made.unsure] == [5]
    assert "Walter" not in made.unsure[0][1]
    assert "4711" not in made.unsure[0][1]


def test_words_of_ignored_lines_are_nobody_s() -> None:
    """A line that the rule names as noise stays as it is, so that it is noise in the fixture, too."""
    rules = load_rules_text(
        {
            "harbor.yaml": """
pack: harbor
senders: [harbor.example.com]
rules:
  - id: move-out
    when: {subject: ^Rental over}
    fields: {unit: {label: Unit}}
    ignore_lines: ["^Harbor Storage Software Ltd", "^Tenant\\b"]
    events: [{move_out: {unit: unit}}]
"""
        }
    )
    box = Mailbox(address="harbor@demo.test", company="demo", location="HARBOR")
    made = redact(
        b"From: notices@harbor.example.com\nSubject: Rental over\nDate: Fri, 01 May 2026 09:30:00 -0500\n\n"
        b"Tenant: Walter Specimen\nUnit: B204\nHarbor Storage Software Ltd\n",
        rules,
        box,
    )
    assert b"\nHarbor Storage Software Ltd\r\n" in made.raw
    assert b"Walter" not in made.raw


def test_dates_move_where_it_is_asked_for() -> None:
    """The Date of the mail and the dates that it states move alike."""
    made = _redacted("Unit: B204\nTenant ID: T-5001\nMove-In Date: 05/28/2026\n", shift_days=7)
    event = parse_mail(made.raw, RULES, mailbox=BOX).events[0]
    assert (str(event.on), event.mailed_at.isoformat()) == ("2026-06-04", "2026-05-08T09:30:00-05:00")


def test_what_would_be_read_otherwise_is_refused() -> None:
    """A value that is parted by markup cannot be found whole: the field is named, its value is not."""
    raw = (
        b"From: noreply@sitelink.com\r\nSubject: Overlock: Unit B2045\r\nDate: Fri, 01 May 2026 09:30:00 -0500\r\n"
        b"Content-Type: text/html\r\n\r\n<table><tr><td>Unit</td><td>B<b>20</b>45</td></tr></table>\r\n"
    )
    with pytest.raises(NotRedacted) as refused:
        redact(raw, RULES, BOX)
    assert "unit" in str(refused.value)
    assert "2045" not in str(refused.value)


PAGE = """<table summary="Jane Smith"><tr><td>Unit</td><td data-u="B204" data-n='Jane Smith'>B204</td></tr>
<tr><td>Tenant</td><td>Jane Smith</td></tr><tr><td>Tenant ID</td><td>T-5001</td></tr>
<tr><td>Move-In Date</td><td>05/01/2026</td></tr></table>
<!-- for Jane Smith --><style>#Jane { width: 90% } .T-5001 { color: red }</style><script>var n = "Jane Smith"</script>
<i id="Jane" class="T-5001">x</i><a name="Jane Smith" href=/tenants/Smith>j</a><input type=hidden value="Jane Smith">
<img alt='Jane &gt; Smith' src="cid:jane.smith@pms" title=Smith><p title="5 > 4 Jane">y</p>
"""


def _page(page: str, text: str = "") -> bytes:
    plain = f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n" if text else ""
    return (
        "From: noreply@sitelink.com\r\nSubject: Move In Notification\r\nMIME-Version: 1.0\r\n"
        "Date: Fri, 01 May 2026 09:30:00 -0500 (Jane)\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        f"For Jane Smith\r\n{plain}--b\r\nContent-Type: text/html\r\nContent-ID: <jane.smith@pms>\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{base64.encodebytes(page.encode()).decode()}--b--\r\nSmith\r\n"
    ).encode()


def test_markup_holds_nothing_that_the_text_does_not() -> None:
    """What is replaced in the text is left in no attribute, however it is quoted, in no comment, style, script."""
    made = redact(_page(PAGE), RULES, BOX)
    for held in ("Jane", "Smith", "B204", "T-5001"):
        assert not any(held.casefold().encode() in octets.lower() for octets in contents(made.raw)), held
    page = read_mail(made.raw).parts[-1].octets.decode()
    tenant = parse_mail(made.raw, RULES, mailbox=BOX).events[0].body["pms_tenant_id"]
    assert f'class="{tenant}"' in page
    assert f".{tenant} {{ color: red }}" in page
    assert "width: 90%" in page
    content_id = re.search(r"cid:([^\"]+)", page)
    assert content_id is not None
    assert f"<{content_id[1]}>".encode() in made.raw


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("<i id", "<smith>s</smith><i id", "part 1, in its markup: 1 names or values"),
        ("<i id", '<i class="x" jane=1 id', ""),
        (">T-5001<", ">T-<b>5001</b><", "part 1: markup parts a value"),
    ],
)
def test_what_cannot_be_taken_out_of_markup_is_refused(before: str, after: str, says: str) -> None:
    """The part is named, and what is left there is not; an attribute that nobody needs is no reason to refuse."""
    raw = _page(PAGE.replace(before, after))
    if not says:
        assert b"jane" not in redact(raw, RULES, BOX).raw.lower()
        return
    with pytest.raises(NotRedacted) as refused:
        redact(raw, RULES, BOX)
    assert says in str(refused.value)
    assert "smith" not in str(refused.value).lower()


def test_one_value_does_not_become_two() -> None:
    """A page that is not read, where markup parts a value of the text that is, is a reason to refuse."""
    text = "Unit: B204\nTenant: Jane Smith\nTenant ID: T-5001\nMove-In Date: 05/01/2026\n"
    assert redact(_page(PAGE, text), RULES, BOX).raw
    with pytest.raises(NotRedacted, match="part 2: markup parts a value"):
        redact(_page(PAGE.replace(">T-5001<", ">T-<b>5001</b><"), text), RULES, BOX)


def test_a_header_that_stays_is_searched() -> None:
    """A boundary, or a parameter that is written in pieces, which names somebody is told with its header."""
    with pytest.raises(NotRedacted, match=r"part 1, the header Content-Type: 1 names or values"):
        redact(_page(PAGE).replace(b"text/html", b'text/html; x-for="Smith"'), RULES, BOX)


def test_an_attached_file_is_redacted_or_emptied() -> None:
    """A table goes on with other values; a file that is no text loses its content, and is named."""
    raw = (
        b"From: noreply@sitelink.com\r\nSubject: Rent Roll\r\nDate: Fri, 01 May 2026 09:30:00 -0500\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b4711"\r\n\r\n--b4711\r\n'
        b"Content-Type: text/plain\r\n\r\nTenant: Walter White\r\n--b4711\r\n"
        b'Content-Type: text/csv; name="White 4711.csv"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + base64.encodebytes(b"Unit,Tenant\r\n1001,Walter White\r\n")
        + b'--b4711\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="lease.pdf"\r\n\r\n'
        b"%PDF Walter\r\n--b4711--\r\n"
    )
    made = redact(raw, RULES, BOX)
    table, lease = read_mail(made.raw).parts[1:]
    assert re.fullmatch(rb"Unit,Tenant\r\n\d{4},[A-Z][a-z]+ [A-Z][a-z]+\r\n", table.octets)
    assert b"1001" not in table.octets
    assert b"Walter" not in made.raw + table.octets + lease.octets
    assert "White" not in table.parameters["name"]
    assert made.removed == ("lease.pdf",)


def test_the_command_writes_a_fixture_that_is_green(tmp_path: Path) -> None:
    """A file becomes a fixture with its expectation; it is written once, and the lines to look at are named."""
    (tmp_path / "real.eml").write_bytes(
        (FIXTURES / "sitelink" / "01-move-in-text.eml").read_bytes().replace(b"Thank you", b"Call Walter")
    )
    command = ("mail", "to-fixture", "real.eml", "--out", "own/sitelink/01-in.eml")
    done = run(*command, "--redact", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"look at line 9" in done.stdout
    assert b"Jane" not in (tmp_path / "own" / "sitelink" / "01-in.eml").read_bytes()
    assert run("rules", "test", "--fixtures", "own", cwd=tmp_path).returncode == 0
    again = run(*command, "--redact", cwd=tmp_path)
    assert (again.returncode, b"is there already" in again.stderr) == (2, True)
    shown = run("mail", "to-fixture", "real.eml", "--out", "02.eml", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["redacted"] is False
    assert (tmp_path / "02.eml").read_bytes() == (tmp_path / "real.eml").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("no-such-id", "--out", "a.eml"), 1, "no mail no-such-id"),
        (("hostile.eml", "--out", "a.eml", "--redact"), 1, "part 1: holds octets"),
        (("hostile.eml", "--out", "a.txt"), 2, "NN-name.eml"),
        (("hostile.eml", "--out", "a.eml", "--shift-days", "3"), 2, "--redact"),
    ],
)
def test_what_cannot_be_done_is_told(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    """A refusal says why, and nothing is written."""
    (tmp_path / "hostile.eml").write_bytes((FIXTURES / "hostile" / "07-utf7.eml").read_bytes())
    done = run("mail", "to-fixture", *arguments, cwd=tmp_path)
    assert (done.returncode, words in done.stderr.decode()) == (code, True), done.stderr
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("charset", ["utf-8", "idna", "none-such"])
def test_a_file_of_eight_bits_is_redacted_whatever_charset_it_declares(charset: str) -> None:
    """A charset that is no charset of texts is no reason to fail."""
    raw = (
        "From: noreply@sitelink.com\nTo: sitelink@demo.test\nSubject: Note\nDate: Fri, 01 May 2026 09:30:00 -0500\n"
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nHello\n--b\n"
        f"Content-Type: text/csv; charset={charset}; name=a.csv\nContent-Transfer-Encoding: 8bit\n\n"
        "Unit,Größe\nA1,ü\n--b--\n"
    )
    made = redact(raw.encode(), RULES, BOX)
    assert any("Größe".encode() in octets for octets in contents(made.raw))
