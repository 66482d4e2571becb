"""Rule files with tables, lists, regions and overlays: every fault with its place and the nearest known word."""

import pytest

from parsers import RuleErrors, load_rules_text

GOOD = """\
pack: demo
senders: [example.com]
dates: ["%m/%d/%Y"]
rules:
  - id: receipt
    when: {subject: ^Receipt}
    fields:
      units: {label: Units, type: list, split: [",", "&", " and "]}
      count: {label: Count, type: integer, optional: true}
      due:   {label: Due, type: money, nth: 2, after: [Account], before: [Notes]}
      state: {label: State}
    each: {list: units, as: unit}
    events:
      - patch:
          unit: unit
          balance_due: {value: due, if: single}
          pms_lockout: {from: state, true: [On], false: [Off]}
          pms_status_raw: "{{ count }}"
  - id: digest
    when: {subject: ^Digest}
    fields: {site: {label: Site}}
    each:
      - table: {heading: [Locked, Locked Out]}
        empty: [None]
        skip: ["^Total"]
        fields: {row: {column: [Unit, Space]}, state: {column: State}}
        events:
          - snapshot: {unit: row, occupied: {from: state, true: [Let], false: [Free]}}
    limits: {flips: 20%}
"""


def faults(**texts: str) -> list[str]:
    with pytest.raises(RuleErrors) as caught:
        load_rules_text({f"{name}.yaml": text for name, text in texts.items()})
    return [str(error) for error in caught.value.errors]


def test_the_good_file_loads_and_keeps_its_limit() -> None:
    """The file that the faults below are made from loads; the share of its limit is carried."""
    receipt, digest = load_rules_text({"demo.yaml": GOOD}).packs["demo"].rules
    assert (receipt.flips, digest.flips) == (None, 0.2)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "type: list",
            "type: lists",
            (
                "8:35: unknown type `lists`: one of text, date, datetime, money, integer, flag, list "
                "(did you mean `list`?)"
            ),
        ),
        ('" and "]', '"and"]', "8:48: write the separator `and` as ` and `"),
        ("type: integer", "split: [x]", "9:36: only a field of type list has `split`"),
        ("nth: 2", "nth: 0", "10:45: nth is a whole number from 1 to 50"),
        ("nth: 2", "nth: second", "10:45: nth is a whole number from 1 to 50"),
        ("nth: 2", "nht: 2", "10:40: unknown key `nht` in the field `due` (did you mean `nth`?)"),
        (
            "{label: Due, type: money, nth: 2, after: [Account], before: [Notes]}",
            "[{label: Due, type: money, nth: 2}, {regex: x}]",
            "10:46: nth counts the finds of one source, and the field has several",
        ),
        (
            "{label: State}\n    each",
            "{subject: State, after: [X]}\n    each",
            "11:38: only a field with `label` or `regex` has `after`",
        ),
        (
            "{label: State}\n    each",
            "{column: State}\n    each",
            "11:14: the field `state` needs exactly one of label, regex, subject, header, jsonld, const, json",
        ),
        (
            "list: units",
            "list: unitz",
            "12:18: unknown field `unitz`: one of units, count, due, state (did you mean `units`?)",
        ),
        ("list: units", "list: state", "12:18: `each` goes through a field of type list; `state` is text"),
        (", as: unit", "", "12:11: a list needs `as`: what one item is called"),
        ("as: unit", "as: state", "12:29: `state` cannot name the items of a list"),
        ("as: unit", "as: mailbox", "12:29: `mailbox` cannot name the items of a list"),
        ("as: unit", "as: unit, skip: [x]", "12:41: `skip` is for a table, and this `each` goes through a list"),
        (
            "{list: units, as: unit}",
            "[{list: units, as: unit}, {list: units, as: other}]",
            "12:12: `each` goes through one list, or through tables",
        ),
        (
            "{label: Units,",
            "{label: Units, optional: true,",
            "12:18: `units` may not be optional: without it the mail would say nothing",
        ),
        ("if: single", "if: many", "16:41: unknown if `many`: one of single"),
        ("if: single", "unless: x", "16:37: unknown key `unless` in the value of `balance_due`"),
        ("value: due, if", "if", "16:24: the value of `balance_due` needs the key `value` or `from`"),
        ("value: due", 'value: "{{ due }}"', "16:32: `if: single` is for a field, not for a template"),
        ("{value: due, if: single}", "count", "16:24: `balance_due` takes a field of type money; `count` is integer"),
        (
            "true: [On], false: [Off]",
            "true: [On]",
            "17:24: `pms_lockout` needs the words of both `true` and `false` beside `from`, and nothing else",
        ),
        ("false: [Off]", "false: [on]", "17:44: the word `On` stands for true and for false"),
        ("from: state, true: [On]", "from: stat, true: [On]", "17:31: unknown field `stat` (did you mean `state`?)"),
        (
            "from: state, true: [On]",
            "from: due, true: [On]",
            "17:31: `from` names a field of type text; `due` is money",
        ),
        (
            "pms_lockout: {from",
            "paid_through_date: {from",
            (
                "17:30: `from` tells a flag by its words: one of occupied, pms_lockout, pms_lock_exempt, pms_auction, "
                "pms_unrentable"
            ),
        ),
        ("{{ count }}", "{{ units }}", "18:27: `units` is a list: a template takes one item, which `each` names"),
        ('"{{ count }}"', "units", "18:27: `pms_status_raw` takes a field of type text; `units` is list"),
        ("[Locked, Locked Out]", "[]", "23:16: a table is found either by its `heading` or by its `columns`"),
        (
            "{heading: [Locked, Locked Out]}",
            "{heading: Locked, columns: Unit}",
            "23:16: a table is found either by its `heading` or by its `columns`",
        ),
        ("heading:", "headnig:", "23:17: unknown key `headnig` in table (did you mean `heading`?)"),
        ("empty:", "emty:", "24:9: unknown key `emty` in each (did you mean `empty`?)"),
        ("^Total", "^Total(", "25:16: bad pattern in skip: missing ): ^Total("),
        (
            "{column: [Unit, Space]}",
            "{label: Unit}",
            "26:23: the field `row` needs exactly one of column, const",
        ),
        (
            "{column: [Unit, Space]}",
            "{column: Unit, type: list}",
            "26:17: `row` is a list, which a row does not go through",
        ),
        ("state: {column", "site: {column", "26:17: `site` names a field of the mail already"),
        (
            ", occupied: {from: state, true: [Let], false: [Free]}",
            "",
            (
                "28:23: `snapshot` names at least one of occupied, balance_due, paid_through_date, pms_lockout, "
                "pms_lock_exempt, pms_auction, pms_unrentable, pms_status_raw"
            ),
        ),
        (
            "false: [Free]}}",
            "false: [Free]}, pms_tenant_id: row}",
            "28:23: a `snapshot` that names a tenancy names occupied, pms_tenant_id, move_in_date",
        ),
        ("20%", "20", "29:21: flips is a share of all units, from 0% to 100%"),
        ("20%", "120%", "29:21: flips is a share of all units, from 0% to 100%"),
        ("flips:", "flip:", "29:14: unknown key `flip` in limits (did you mean `flips`?)"),
        ("limits: {flips: 20%}", "ignore: no", "29:13: a rule whose `each` has tables has no `ignore` beside it"),
        ("dates:", "locale: xx_XX\ndates:", "3:9: unknown locale `xx`: one of en, de, fr, es, nl, it, pt"),
        (
            "unit: unit\n",
            "unit: {tenancy: {tenant: unit}}\n",
            "15:28: unknown key `tenant` in tenancy (did you mean `pms_tenant_id`?)",
        ),
        (
            "unit: unit\n",
            "unit: {tenancy: {}}\n",
            "15:27: `tenancy` names at least one of pms_tenant_id, ledger_id",
        ),
        (
            "limits:",
            "occurred: {label: Day, type: date}\n    limits:",
            "29:15: a date without an hour needs `at: start` or `at: end`; a datetime takes none",
        ),
        (
            "limits:",
            "occurred: {label: Day, shift_days: 99}\n    limits:",
            "29:40: shift_days is a whole number from -31 to 31",
        ),
    ],
)
def test_faults_name_their_place(old: str, new: str, expected: str) -> None:
    """A fault is told with file, line, column, the text and the nearest known word."""
    assert old in GOOD
    assert f"demo.yaml:{expected}" in faults(demo=GOOD.replace(old, new, 1))


OTHER = """\
  - id: receipt-by-post
    when: {subject: ^Posted}
    occurrence: receipt
    fields: {unit: {label: Unit}}
    events: [{patch: {unit: unit, pms_lockout: true}}]
"""


def test_rules_of_one_occurrence_have_one_identity() -> None:
    """Two rules that would tell one happening as two are refused, naming both."""
    assert faults(demo=GOOD + OTHER) == [
        (
            "demo.yaml:30:5: `receipt` (demo.yaml:5) and `receipt-by-post` (demo.yaml:30) share an occurrence: both "
            "name the same fields as `identity`, in the same order"
        )
    ]
    same = (GOOD + OTHER).replace("    when:", "    identity: [unit]\n    when:").replace("[unit]", "[row]", 2)
    assert load_rules_text({"demo.yaml": same.replace("[row]", "[unit]", 1)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("extends: demo\nlables: {Due: Owed}\n", "own.yaml:2:1: unknown key `lables` in a file that extends a pack "),
        ("extends: dmeo\n", "own.yaml:1:10: no pack `dmeo` is loaded: `demo` in demo.yaml (did you mean `demo`?)"),
        (
            "extends: own\n",
            (
                "own.yaml:1:10: no pack `own` is loaded: `demo` in demo.yaml: a file of the same name takes the "
                "place of the pack's, so give this one another name"
            ),
        ),
        (
            "extends: demo\nlabels: {Dues: Owed}\n",
            "own.yaml:2:10: `Dues` is no label of the pack `demo` in demo.yaml (did you mean `Due`?)",
        ),
        ("extends: demo\nlabels: {Due: [Owed, Units]}\n", "own.yaml:2:22: `Units` is a label of demo.yaml already"),
        ("extends: demo\nlabels: [Due]\n", "own.yaml:2:9: labels is a mapping: a label of the pack, and its further"),
        ("extends: demo\ndates: ['%q']\n", "own.yaml:2:9: unknown date directive `%q`"),
        ("extends: demo\nrules: [{id: a}]\n", "own.yaml:2:9: a rule needs the key `when`"),
        ("pack: own\nextends: demo\n", "own.yaml:1:1: unknown key `pack` in a file that extends a pack"),
        ("extends: [demo]\n", "own.yaml:1:10: the pack to extend is a text"),
    ],
)
def test_a_broken_overlay_is_refused_whole(text: str, expected: str) -> None:
    """A fault of an operator's own file is told with its place in that file, and nothing loads."""
    assert any(fault.startswith(expected) for fault in faults(demo=GOOD, own=text)), faults(demo=GOOD, own=text)


def test_a_pack_is_extended_by_one_file() -> None:
    """Two files that extend one pack are refused: which of them holds would depend on their names."""
    text = "extends: demo\n"
    assert faults(demo=GOOD, one=text, two=text) == [
        "two.yaml:1:10: the pack `demo` of demo.yaml is extended in one.yaml, too"
    ]
