"""Rules tried by the operator API: what ``gatepost parse`` and ``gatepost explain`` say, and nothing is stored."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.console.conftest import BOX, Ops
from tests.docs.schema import faults
from tests.rigs.gatepost import ROOT, Gatepost, demo_mail, run
from worker.console.ops.trying import RULE_CHARACTERS, TRY_BYTES
from worker.store.tables import metadata

SITELINK = (ROOT / "rules" / "sitelink.yaml").read_text("utf-8")
MOVE_IN = ROOT / "fixtures" / "demo" / "01-move-in.eml"
HARBOR = """pack: sitelink
senders: [sitelink.com]
rules:
  - id: all
    when: {subject: "."}
    ignore: Nothing is read.
"""


def tried(ops: Ops, **wish: Any) -> httpx.Response:
    """Try a mail, the first of the demo where none is given."""
    return ops.post("/rules/try", {"mail": demo_mail("01").decode(), "mailbox": BOX, **wish})


def contents(ops: Ops) -> dict[str, list[Any]]:
    """Return every row of the store by table."""
    with ops.runtime.db.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in metadata.sorted_tables
        }


def test_it_says_what_the_commands_say(tmp_path: Path) -> None:
    """The answer of a running program is that of ``parse --json``, with what ``explain --json`` adds."""
    words = (str(MOVE_IN), "--mailbox", "sitelink@demo.test", "--trust", "--json")
    parsed, explained = (json.loads(run(name, *words, cwd=tmp_path).stdout) for name in ("parse", "explain"))
    with Gatepost(tmp_path / "up") as gatepost:
        wish = {"mail": MOVE_IN.read_bytes().decode(), "mailbox": "sitelink@demo.test"}
        token = {"Authorization": f"Bearer {gatepost.ports['ops_token']}"}
        url = f"http://{gatepost.ports['web']}/ops/v1/rules/try"
        answer = httpx.post(url, json=wish, headers=token, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        assert gatepost.cli("mail", "list") == []
    told = answer.json()["data"]
    assert told == explained
    assert {name: value for name, value in told.items() if name not in ("trace", "calls")} == parsed
    assert (told["outcome"], told["rule"]) == ("events", "sitelink/move-in")
    assert faults(told, "explain.json") == []


def test_nothing_is_stored(ops: Ops) -> None:
    """Whatever is tried, with whatever outcome, no row of any table changes."""
    ops.keep(demo_mail("01"))
    before = contents(ops)
    assert before["mails"]
    assert tried(ops).json()["data"]["outcome"] == "events"
    assert tried(ops, mail="Subject: x\n\nx\n").json()["data"]["outcome"] == "untrusted"
    assert tried(ops, rules={"a.yaml": HARBOR}).json()["data"]["outcome"] == "ignored"
    assert tried(ops, rules={"a.yaml": "pack:"}).status_code == 422
    assert contents(ops) == before


def test_text_and_base64_are_one_mail(lite: Ops) -> None:
    """The same mail is read alike as text, as base64, and as base64 in lines."""
    raw = demo_mail("01")
    forms = [raw.decode(), base64.b64encode(raw).decode(), base64.encodebytes(raw).decode()]
    answers = [tried(lite, mail=form).json()["data"] for form in forms]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["events"]


def test_given_rules_are_the_whole_set(lite: Ops) -> None:
    """The live set counts only where no rules are given; a file that extends a pack needs that pack beside it."""
    own = "extends: sitelink\nlabels: {Unit: [Box]}\n"
    mail = demo_mail("01").decode().replace("Unit:", "Box:")
    assert tried(lite, mail=mail).json()["data"]["outcome"] == "incomplete"
    both = tried(lite, mail=mail, rules={"sitelink.yaml": SITELINK, "own.yaml": own}).json()["data"]
    assert (both["outcome"], both["rule"]) == ("events", "sitelink/move-in")
    alone = tried(lite, rules={"own.yaml": own})
    (detail,) = alone.json()["error"]["details"]
    assert detail["message"].startswith("own.yaml:1:10: no pack `sitelink` is loaded")
    assert lite.data("/rules", q="sitelink/move-in")[0]["rule_set"] != both["rule_set"]


def test_every_mistake_of_the_rules_is_told_with_its_place(lite: Ops) -> None:
    """Rules that do not load are 422, with file, line, column and the nearest word of each mistake."""
    broken = HARBOR.replace("senders", "sender").replace("ignore", "ignored")
    answer = tried(lite, rules={"harbor.yaml": broken})
    assert answer.status_code == 422
    told = answer.json()["error"]
    assert told["message"] == "The rules do not load."
    assert [detail["field"] for detail in told["details"]] == ["rules"] * len(told["details"])
    messages = [detail["message"] for detail in told["details"]]
    assert "harbor.yaml:2:1: unknown key `sender` in a pack (did you mean `senders`?)" in messages
    assert any(text.startswith("harbor.yaml:6:5: unknown key `ignored`") for text in messages)


def test_the_sender_is_proven_unless_told_otherwise(lite: Ops) -> None:
    """What ``--trust`` is to the command is the usual here; without it nothing proves the sender of a posted mail."""
    doubted = tried(lite, trust=False).json()["data"]
    assert (doubted["outcome"], doubted["events"]) == ("untrusted", [])
    assert "no trust entry of the mailbox holds" in doubted["reason"]
    assert tried(lite, trust=True).json()["data"]["outcome"] == "events"


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"mail": ""}, "mail"),
        ({"mail": 5}, "mail"),
        ({"mail": "abcde"}, "mail"),
        ({"mail": "Subject: \ud800\n\nx"}, "mail"),
        ({"mailbox": None}, "mailbox"),
        ({"rules": {}}, "rules"),
        ({"rules": ["x"]}, "rules"),
        ({"rules": {"a.yaml": 5}}, "rules"),
        ({"rules": {"../a.yaml": "x"}}, "rules"),
        ({"rules": {"a.txt": "x"}}, "rules"),
        ({"rules": {"a.yaml": "#" * (RULE_CHARACTERS + 1)}}, "rules"),
        ({"trust": "yes"}, "trust"),
        ({"rule": {}}, "rule"),
    ],
)
def test_a_field_that_does_not_fit_is_422(lite: Ops, wish: dict[str, Any], field: str) -> None:
    """Each wrong field is named."""
    answer = tried(lite, **wish)
    assert answer.status_code == 422, answer.text
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]


def test_its_size_is_bounded(lite: Ops) -> None:
    """A request over the limit is 413; one with a large mail within it is answered."""
    assert tried(lite, mail="x" * TRY_BYTES).status_code == 413
    large = demo_mail("01").decode() + "\r\n" * (TRY_BYTES // 8)
    assert tried(lite, mail=large).json()["data"]["outcome"] == "unreadable"


def test_a_mailbox_that_is_none_is_404(lite: Ops) -> None:
    """The nearest address is named."""
    answer = tried(lite, mailbox="sitelnk@demo.test")
    assert answer.status_code == 404
    assert f"did you mean `{BOX}`" in answer.json()["error"]["message"]


def test_rules_as_deep_as_they_can_be_are_refused_in_time(lite: Ops) -> None:
    """A file of nothing but nesting, and one of nothing but mistakes, end in a bounded answer."""
    deep = tried(lite, rules={"a.yaml": "[" * 50_000})
    assert "deeper than" in deep.json()["error"]["details"][0]["message"]
    keys = "".join(f"key{number}: 1\n" for number in range(3000))
    answer = tried(lite, rules={"a.yaml": keys})
    assert (deep.status_code, answer.status_code) == (422, 422)
    assert len(answer.json()["error"]["details"]) == 100
