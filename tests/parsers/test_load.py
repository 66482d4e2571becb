"""Rule files load whole or not at all, with the place of every fault."""

from pathlib import Path

import pytest

from parsers import RuleErrors, load_rules, load_rules_text

GOOD = """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y"]
rules:
  - id: move-in
    when: {subject: ^Move In}
    fields:
      unit: {label: Unit}
      tenant: {label: Tenant ID}
      day: {label: Date, type: date}
      locked: {label: Locked, type: flag, optional: true}
    events:
      - move_in: {unit: unit, pms_tenant_id: tenant, move_in_date: day}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(RuleErrors) as caught:
        load_rules_text({"demo.yaml": text})
    return [str(error) for error in caught.value.errors]


def test_a_good_file_loads() -> None:
    """The file that the faults below are made from loads."""
    assert list(load_rules_text({"demo.yaml": GOOD}).packs) == ["demo"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{label: Unit}",
            "{lable: Unit}",
            "demo.yaml:8:14: unknown key `lable` in the field `unit` (did you mean `label`?)",
        ),
        ("senders:", "sendrs:", "demo.yaml:2:1: unknown key `sendrs` in a pack (did you mean `senders`?)"),
        ("when: {subject", "when: {subjet", "demo.yaml:6:12: unknown key `subjet` in when (did you mean `subject`?)"),
        ("move_in_date: day", "move_in_date: dya", "demo.yaml:13:68: unknown field `dya` (did you mean `day`?)"),
        (
            "move_in_date: day",
            "move_in_date: unit",
            "demo.yaml:13:68: `move_in_date` takes a field of type date; `unit` is text",
        ),
        ("move_in: {", "move_inn: {", "demo.yaml:13:9: unknown key `move_inn` in an event (did you mean `move_in`?)"),
        (
            "type: date",
            "type: dat",
            (
                "demo.yaml:10:32: unknown type `dat`: one of text, date, datetime, money, integer, flag, list "
                "(did you mean `date`?)"
            ),
        ),
        ("^Move In", "^Move (In", "demo.yaml:6:21: bad pattern in subject: missing ): ^Move (In"),
        ("^Move In", "(?=x)", "demo.yaml:6:21: bad pattern in subject: invalid perl operator: (?="),
        ("%m/%d/%Y", "%q", "demo.yaml:3:9: unknown date directive `%q`"),
        ("id: move-in", "id: &a move-in", "demo.yaml:5:9: anchors are not allowed: write the value out"),
        ("id: move-in", "id: *a", "demo.yaml:5:9: aliases are not allowed: write the value out"),
        ("id: move-in", "id: !!python/object:os.system x", "demo.yaml:5:9: tags are not allowed: every scalar is text"),
        ("id: move-in", "id: move-in\n    id: other", "demo.yaml:6:5: the key `id` stands twice"),
        ("unit: unit,", 'unit: "{{ untit }}",', "demo.yaml:13:25: unknown name `untit` (did you mean `unit`?)"),
        ("unit: unit,", 'unit: "{{ unit.x }}",', "demo.yaml:13:25: `getattr` has no place in a template"),
        ("    when: {subject: ^Move In}\n", "", "demo.yaml:5:5: a rule needs the key `when`"),
        (
            "    when: {subject: ^Move In}",
            "    when: {}",
            "demo.yaml:6:11: `when` needs at least one condition, or the rule would claim every mail",
        ),
        (
            "{label: Unit}",
            "{optional: true}",
            "demo.yaml:8:13: the field `unit` needs exactly one of label, regex, subject, header, jsonld, const",
        ),
        ("pack: demo", "pack: [", "demo.yaml:3:1: not YAML: did not find expected ',' or ']'"),
        ("pack: demo", "pack: demo\n---", "demo.yaml:2:1: a rule file holds one document"),
    ],
)
def test_faults_name_their_place(old: str, new: str, expected: str) -> None:
    """A fault is told with file, line, column, the text and the nearest known word."""
    assert GOOD.count(old) >= 1
    assert any(fault.startswith(expected) for fault in faults(GOOD.replace(old, new, 1))), faults(
        GOOD.replace(old, new, 1)
    )


SIGN = "sign is one character, and no digit, letter"


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        ('{decimal: ".", group: "."}', "4:30: the decimal and the group sign are the same"),
        ('{decimal: "1"}', f"4:18: the decimal {SIGN}"),
        ("{decimal: x}", f"4:18: the decimal {SIGN}"),
        ('{decimal: " "}', f"4:18: the decimal {SIGN}"),
        ('{decimal: "-"}', f"4:18: the decimal {SIGN}"),
        ('{decimal: ".,"}', f"4:18: the decimal {SIGN}"),
        ('{group: "-"}', f"4:16: the group {SIGN}"),
        ('{group: "\u0660"}', f"4:16: the group {SIGN}"),
        ('{symbols: ["$", "0"]}', "4:24: a symbol has no digit"),
        ("{symbols: A1}", "4:18: a symbol has no digit"),
        ('{symbols: ["-"]}', "4:19: a symbol has no digit"),
        ('{symbols: [","]}', "4:19: a symbol has no digit"),
        ("{symbols: [cr]}", "4:19: a symbol has no digit"),
        ('{decimal: "$"}', "4:8: a sign is a symbol of the pack already: give `symbols`, too"),
    ],
)
def test_amounts_are_never_read_by_signs_that_mean_two_things(money: str, expected: str) -> None:
    """A sign or symbol that could be a part of the number, or another sign, is refused where it stands."""
    pack = GOOD.replace("rules:", f"money: {money}\nrules:")
    assert any(fault.startswith(f"demo.yaml:{expected}") for fault in faults(pack)), faults(pack)
    overlay = {"demo.yaml": GOOD, "own.yaml": f"extends: demo\n# ours\n\nmoney: {money}\n"}
    with pytest.raises(RuleErrors) as caught:
        load_rules_text(overlay)
    assert [str(error).startswith(f"own.yaml:{expected}") for error in caught.value.errors] == [True]


@pytest.mark.parametrize(
    ("base", "money", "signs"),
    [
        ("{}", '{decimal: ","}', ",."),
        ("{}", '{group: "."}', ",."),
        ("{}", '{decimal: ",", group: " "}', ", "),
        ("{}", '{group: "\'"}', ".'"),
        ('{decimal: ",", group: "."}', '{decimal: "."}', ".,"),
        ('{decimal: ",", group: "."}', '{group: ","}', ".,"),
        ('{decimal: ",", group: " "}', '{decimal: "."}', ". "),
    ],
)
def test_a_sign_alone_brings_its_counterpart(base: str, money: str, signs: str) -> None:
    """Of comma and point the sign that is not named is the other one; any other stays as it was."""
    pack = GOOD.replace("rules:", f"money: {base}\nrules:")
    own = load_rules_text({"demo.yaml": pack, "own.yaml": f"extends: demo\nmoney: {money}\n"}).packs["demo"].money
    assert own.decimal + own.group == signs
    if base == "{}":
        alone = load_rules_text({"demo.yaml": GOOD.replace("rules:", f"money: {money}\nrules:")}).packs["demo"].money
        assert alone == own


def test_a_sign_without_a_counterpart_is_not_guessed() -> None:
    """Where a sign is taken from the other one, and nothing tells what that is now, both are to be given."""
    pack = GOOD.replace("rules:", 'money: {decimal: ".", group: "\'"}\nrules:')
    with pytest.raises(RuleErrors, match=r"own\.yaml:2:18: this is the usual group sign: give `group`, too"):
        load_rules_text({"demo.yaml": pack, "own.yaml": 'extends: demo\nmoney: {decimal: "\'"}\n'})


MANY = "9" * 5000
SHIFT = "demo.yaml:7:59: shift_days is a whole number from -31 to 31"
EACH = "each: {attachment: {name: a.csv, header_row: HERE}, fields: {u: {column: U}}, events: [{patch: {unit: u}}]}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        *((f"occurred: {{label: D, type: date, at: end, shift_days: '{text}'}}", SHIFT)
          for text in ("--5", "-", "5-", "1.5", "32", "-32", "\u0665", MANY, f"-{MANY}")),
        *((f"fields: {{x: {{label: X, nth: '{text}'}}}}", "demo.yaml:7:33: nth is a whole number from 1 to 50")
          for text in ("0", "51", "-1", "\u00b2", MANY)),
        *((f"limits: {{flips: '{text}'}}", "demo.yaml:7:21: flips is a share of all units, from 0% to 100%")
          for text in ("20", "-5%", "101%", "%", f"{MANY}%")),
        *((EACH.replace("HERE", f"'{text}'"), "demo.yaml:7:50: header_row is `auto`, `none` or the number of a row")
          for text in ("0", "-1", "1000", MANY)),
    ],
)  # fmt: skip
def test_numbers_of_a_rule_are_bounded(written: str, expected: str) -> None:
    """What is no whole number, or beyond its bounds, is a fault with its place."""
    head = GOOD.partition("    fields:")[0]
    pack = f"{head}    {written}\n" + ("" if "events" in written else "    events: [{patch: {unit: x}}]\n")
    assert expected in [fault.partition(":  ")[0] for fault in faults(pack)], faults(pack)


def test_all_faults_of_a_set_are_told_at_once() -> None:
    """One run shows every fault, and nothing is loaded."""
    with pytest.raises(RuleErrors) as caught:
        load_rules_text(
            {"a.yaml": GOOD.replace("label: Unit", "lable: Unit"), "b.yaml": GOOD.replace("%m/%d/%Y", "%q")}
        )
    assert {"a.yaml", "b.yaml"} == {error.file for error in caught.value.errors}


@pytest.mark.parametrize(
    "bomb",
    [
        "",
        "[" * 10_000,
        "{a: " * 10_000,
        "a: &a [x]\nb: [*a, *a]",
        "x" * 300_000,
        "\x00",
        "pack: " + "[" * 30 + "]" * 30,
        "- a",
    ],
)
def test_yaml_bombs_are_refused(bomb: str) -> None:
    """Nested, aliased, oversized or empty YAML is refused with a place."""
    assert all(fault.startswith("demo.yaml:") for fault in faults(bomb))


def test_every_scalar_is_text() -> None:
    """YAML's own types never change what a rule says."""
    rules = load_rules_text({"demo.yaml": GOOD.replace("label: Unit", "const: 012").replace("Tenant ID", "no")})
    fields = {field.name: field for field in rules.packs["demo"].rules[0].fields}
    assert (fields["unit"].sources[0].words, fields["tenant"].sources[0].words) == (("012",), ("no",))


def test_the_id_names_content_not_place(tmp_path: Path) -> None:
    """The same rules in another folder, order or spacing have the same id; other rules have another."""
    other = GOOD.replace("pack: demo", "pack: other")
    one = load_rules_text({"a.yaml": GOOD, "b.yaml": other})
    (tmp_path / "y.yaml").write_text(other + "# a remark\n")
    (tmp_path / "z.yaml").write_text(GOOD)
    assert one.id == load_rules([tmp_path]).id != load_rules_text({"a.yaml": GOOD}).id


def test_one_pack_stands_once() -> None:
    """Two files of one pack are refused."""
    with pytest.raises(RuleErrors, match=r"stands in a\.yaml, too"):
        load_rules_text({"a.yaml": GOOD, "b.yaml": GOOD})


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A path that is not there is a fault of the set."""
    with pytest.raises(RuleErrors, match="No such file"):
        load_rules([tmp_path / "gone.yaml"])


def test_senders_choose_packs() -> None:
    """A pack speaks for its exact domains, for subdomains where it says so, and `any` for one plain sender."""
    texts = {
        "a.yaml": GOOD.replace("pack: demo", "pack: exact"),
        "b.yaml": GOOD.replace("pack: demo", "pack: below").replace("[example.com]", '["*.example.com"]'),
        "c.yaml": (
            GOOD.replace("pack: demo", "pack: open")
            .replace("[example.com]", "[any]")
            .replace("{subject: ^Move In}", '{jsonld: {"@type": X}}')
        ),
    }
    rules = load_rules_text(texts)
    assert rules.packs_for("example.com") == ("exact", "open")
    assert rules.packs_for("mail.example.com") == ("below", "open")
    assert rules.packs_for("notexample.com") == ("open",)
    assert rules.packs_for(None) == ()
    assert rules.packs_for("example.com", ["exact", "gone"]) == ("exact",)


SILENT = """\
pack: demo
senders: [example.com]
rules:
  - id: lock
    when: {subject: ^Lock}
    fields:
      unit: {label: Unit}
      by: {label: By, optional: true}
    events: [{patch: {unit: unit, pms_lockout: true, pms_status_raw: by}}]
"""
ONE_TEXT = "takes one text; for others give the field a list of sources: "
EMPTY = "an empty list says nothing: fill it, or leave the key out"
NO_DOMAIN = "is no domain: write one such as example.com, or *.example.com for all below it"
STRANGERS = "would let strangers speak for the pack: name the domain of the sender, as in *.example.com"
AN_ID = "is of letters a-z, digits, `-`, `_` and `.`"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("label: By", "const: [a, b]", f"8:19: `const` {ONE_TEXT}[{{const: …}}, …]"),
        ("label: By", "header: [X-A, X-B]", f"8:20: `header` {ONE_TEXT}[{{header: …}}, …]"),
        ("label: By", "jsonld: [a, b]", f"8:20: `jsonld` {ONE_TEXT}[{{jsonld: …}}, …]"),
        ("label: By", "json: []", f"8:18: `json` {ONE_TEXT}[{{json: …}}, …]"),
        ("label: By", "regex: [a, b]", f"8:19: `regex` {ONE_TEXT}[{{regex: …}}, …]"),
        ("label: By", "label: []", f"8:19: {EMPTY}"),
        ("{label: By, optional: true}", "[]", f"8:11: {EMPTY}"),
        ("label: By", "label: By, after: []", f"8:30: {EMPTY}"),
        ("subject: ^Lock", "subject: ^Lock, not: []", f"5:33: {EMPTY}"),
        ("[{patch: {unit: unit, pms_lockout: true, pms_status_raw: by}}]", "[]", f"9:13: {EMPTY}"),
        ("[example.com]", "[]", f"2:10: {EMPTY}"),
        (
            "subject: ^Lock",
            "header: {}",
            "5:20: an empty `header` holds for every mail: name what it looks at, or leave",
        ),
        (
            "label: By",
            "subject: by (?P<name>x)",
            (
                "8:21: the pattern names the group `name`, and `subject` takes the one that is named `value`: name "
                "that one so, and the others not at all"
            ),
        ),
        (
            "label: By",
            "regex: (?P<value>x)(?P<other>y)",
            "8:19: the pattern names the group `other`, and `regex` takes the one",
        ),
        ("^Lock", "'x{,3}'", "5:21: bad pattern in subject: RE2 takes `{,3}` as plain text: write {0,3}"),
        ("id: lock", "id: a/b", f"4:9: a rule's id {AN_ID}; `a/b` is not"),
        ("id: lock", "id: a b", f"4:9: a rule's id {AN_ID}; `a b` is not"),
        ("pack: demo", "pack: demo/lock", f"1:7: a pack's name {AN_ID}; `demo/lock` is not"),
        ("    when", "    occurrence: a/b\n    when", f"5:17: an occurrence {AN_ID}; `a/b` is not"),
        ("[example.com]", "[x.test, '*.com']", f"2:19: `*.com` {STRANGERS}"),
        ("[example.com]", "['*.co.uk']", f"2:11: `*.co.uk` {STRANGERS}"),
        ("[example.com]", "'*'", f"2:10: `*` {NO_DOMAIN}"),
        ("[example.com]", "office@example.com", f"2:10: `office@example.com` {NO_DOMAIN}"),
        (
            "[example.com]",
            "any",
            (
                "2:10: `any` is for packs whose rules all have `jsonld` in `when`, and `lock` has none: name the "
                "domains that may speak for the pack"
            ),
        ),
    ],
)
def test_what_can_never_hold_or_means_too_much_is_refused(old: str, new: str, expected: str) -> None:
    """What would be passed over without a word is told with its place and what to write."""
    assert load_rules_text({"demo.yaml": SILENT})
    assert old in SILENT
    assert any(fault.startswith(f"demo.yaml:{expected}") for fault in faults(SILENT.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("^Lock", r"'x\{,3} [{,3}] \Qx{,3}\E'"),
        ("label: By", "regex: (by) (?P<value>x)(y)"),
        ("label: By", "label: [By, From]"),
        ("{label: By, optional: true}", "[{header: X-A, optional: true}, {header: X-B}]"),
        ("[example.com]", "['*.example.co.uk', localhost, '*.xn--mller-kva.example']"),
        ("id: lock", "id: Lock_2.b-c"),
    ],
)
def test_what_means_something_still_loads(old: str, new: str) -> None:
    """The neighbours of what is refused are taken."""
    assert old in SILENT
    load_rules_text({"demo.yaml": SILENT.replace(old, new, 1)})


def test_a_file_that_extends_a_pack_of_any_sender_adds_no_prose() -> None:
    """A rule on text may not join structured data that any sender may send, whichever file it stands in."""
    pack = SILENT.replace("[example.com]", "any").replace("{subject: ^Lock}", '{jsonld: {"@type": X}}')
    more = "extends: demo\nrules: [{id: note, when: {subject: x}, ignore: nothing}]\n"
    load_rules_text({"demo.yaml": pack})
    with pytest.raises(RuleErrors) as caught:
        load_rules_text({"demo.yaml": pack, "own.yaml": more})
    assert str(caught.value).startswith("own.yaml:2:8: `any` is for packs whose rules all have `jsonld`")
