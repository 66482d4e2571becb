"""``gatepost rules schema``: what the loader takes, and nothing else."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from parsers import RuleErrors, load_rules_text
from parsers.nodes import NodeReader
from parsers.ruleschema import rule_schema
from parsers.yamltree import Node, plain, read_yaml
from tests.docs.pages import blocks
from tests.docs.schema import faults_by
from tests.rigs.gatepost import ROOT, run

PACKS = sorted((ROOT / "rules").glob("*.yaml"))

ALL = """\
pack: all
title: All
senders: [all.example]
dates: [iso]
locale: en_US
money: {decimal: ".", group: ",", symbols: $}
location: {label: Site}
rules:
  - id: list
    when: {subject: x, body: [a], not: b, from: c, header: {X-A: d}}
    occurred: {label: At, type: date, at: end, shift_days: -1, optional: true, pattern: .}
    fields:
      units: {label: Units, type: list, split: [",", " and "], after: A, before: [B], nth: 1}
      due: {label: Due, type: money, credit: zero, optional: true, default: 1}
      on: [{label: Open, type: flag, true: [y], false: n}, {regex: z}]
    each: {list: units, as: unit}
    identity: [unit]
    occurrence: o
    ignore_lines: ^Thanks
    events:
      - patch: {unit: unit, balance_due: {value: due, if: single}, pms_lockout: on, expect: {ledger_id: unit}}
  - id: rows
    when: {jsonld: {"@type": X}}
    limits: {flips: 20%}
    each:
      - table: {heading: [H]}
        empty: [None]
        skip: ^Total
        fields: {unit: {column: Unit}, status: {column: Status}}
        events: [{snapshot: {unit: unit, occupied: {from: status, true: [In], false: [Out]}}}]
  - id: file
    when: {attachment: ["*.csv", "*.xlsx"], json: {data.kind: x}}
    fields: {site: {json: data.site, optional: true}}
    each:
      - attachment:
          {name: "*.csv", encoding: [utf-8, utf-16], delimiter: [";", tab], header_row: 7, sheet: Units,
           fill_down: [Site], skip: [^Total], group_rows: true, may_be_empty: "true"}
        account: tenant
        needs: [tenant]
        fields: {unit: {column: Unit}, type: {column: Type}, tenant: {column: Tenant, optional: true}}
        cases:
          - {where: {type: [In]}, events: [{move_out: {unit: unit, expect: {pms_tenant_id: tenant}}}]}
          - {where: {type: Rate}, ignore: no fact}
  - id: places
    when: {attachment: a.csv}
    each:
      attachment: {name: a.csv, header_row: none, columns: [Unit]}
      fields: {unit: {column: Unit}}
      events: [{patch: {unit: unit, pms_lockout: true}}]
  - id: ledger
    when: {subject: l}
    fields: {ledger: {label: L}}
    events: {patch: {unit: {tenancy: {ledger_id: ledger}}, pms_lockout: true}}
  - id: out
    when: {subject: o}
    ignore: no event
"""
OVERLAY = "extends: all\nlabels: {Site: [Place]}\nsenders: more.example\n"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schema as the command prints it."""
    folder = tmp_path_factory.mktemp("schema")
    done = run("rules", "schema", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "rules.schema.json").write_bytes(done.stdout)
    return folder / "rules.schema.json"


def test_every_pack_and_example_is_valid(schema: Path) -> None:
    """Packs that ship, those on pages, and one that uses every key are valid."""
    assert len(PACKS) >= 2
    load_rules_text({"all.yaml": ALL, "more.yaml": OVERLAY})
    texts = [path.read_text("utf-8") for path in PACKS] + [block.text for block in blocks("yaml")] + [ALL, OVERLAY]
    for text in texts:
        assert faults_by(plain(read_yaml(text, "pack.yaml")), schema) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("senders:", "sendrs:"),
        ("locale: en_US", "locale: tlh"),
        ("{label: Site}", "{label: Site, regex: x}"),
        ("when: {subject: x,", "when: {subjct: x,"),
        ("when: {subject: l}", "when: {}"),
        ("type: money", "type: cash"),
        ("credit: zero", "credit: null0"),
        ("at: end", "at: noon"),
        ("if: single", "if: many"),
        ("{regex: z}", "{regex: z, type: text}"),
        ("as: unit", "called: unit"),
        ("heading: [H]", "headings: [H]"),
        ("{name: a.csv,", "{file: a.csv,"),
        ("{name: a.csv,", "{sheet: a,"),
        ("      attachment: {name: a.csv", "      empty: None\n      attachment: {name: a.csv"),
        ("delimiter: [", "delimiter: ['#', "),
        ("header_row: 7", "header_row: first"),
        ("group_rows: true", "group_rows: maybe"),
        ("needs: [tenant]", "needs: {tenant: x}"),
        ("where: {type: Rate}", "where: {type: Rate, unit: x}"),
        ("where: {type: Rate}, ignore", "where: {type: Rate}, events: [], ignore"),
        ("where: {type: Rate}", "when: {type: Rate}"),
        ("json: {data.kind: x}", "json: [data.kind]"),
        ("attachment: a.csv}", "attachment: {name: a.csv}}"),
        ("- patch:", "- pach:"),
        ("expect: {ledger_id: unit}", "expect: {ledger: unit}"),
        ("flips: 20%", "flips: many"),
        ("ignore: no event", "occurrence: x"),
        ("tenancy: {ledger_id", "tenancy: {unit_id"),
        ("occupied: {from: status, true: [In], false: [Out]}", "occupied: {from: status, true: [In]}"),
        ("pack: all", "pack: all/in"),
        ("id: ledger", "id: the ledger"),
        ("senders: [all.example]", "senders: []"),
        ("senders: [all.example]", "senders: ['*.com']"),
        ("senders: [all.example]", "senders: ['*.co.uk']"),
        ("senders: [all.example]", "senders: ['*']"),
        ("senders: [all.example]", "senders: [office@all.example]"),
        ("{label: L}", "{label: []}"),
        ("{label: L}", "[]"),
        ("{label: L}", "{header: [X-A, X-B]}"),
        ("{label: L}", "{const: [a, b]}"),
        ("{label: L}", "{regex: [a, b]}"),
        ("header: {X-A: d}", "header: {}"),
        ('jsonld: {"@type": X}', "jsonld: {}"),
        ("body: [a]", "body: []"),
        ("identity: [unit]", "identity: []"),
    ],
)
def test_what_the_loader_refuses_is_not_valid(schema: Path, right: str, wrong: str) -> None:
    """A wrong key or word is refused by the loader and by the schema alike."""
    assert right in ALL
    text = ALL.replace(right, wrong, 1)
    with pytest.raises(RuleErrors):
        load_rules_text({"all.yaml": text})
    assert faults_by(plain(read_yaml(text, "pack.yaml")), schema)


def test_the_schema_has_the_keys_that_the_loader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the loader reads a mapping, the schema has one with the same keys: none more, none less."""
    read: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    table = NodeReader.table

    def recording(self: NodeReader, node: Node | None, known: Iterable[str] | None, what: str) -> dict[str, Node]:
        if node is not None and known is not None:
            read[what.partition(" of `")[0].partition(" `")[0]].add(frozenset(map(str, known)))
        return table(self, node, known, what)

    monkeypatch.setattr(NodeReader, "table", recording)
    load_rules_text({"all.yaml": ALL, "more.yaml": OVERLAY, **{path.name: path.read_text("utf-8") for path in PACKS}})
    assert len(read) > 12
    objects = set(_objects(rule_schema()))
    together = {"each", "the value"}  # read with the keys of either kind, and told apart afterwards
    for what, every in read.items():
        for keys in every:
            if what in together:
                parts = [one for one in objects if one < keys]
                assert frozenset().union(*parts) == keys, what
            else:
                assert keys in objects, f"{what}: {sorted(keys)}"


def _objects(value: Any) -> Iterable[frozenset[str]]:
    if isinstance(value, dict):
        if value.get("additionalProperties") is False:
            yield frozenset(value["properties"])
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def test_it_is_json_that_names_its_dialect(schema: Path) -> None:
    """The command prints the schema alone."""
    assert json.loads(schema.read_text("utf-8"))["$schema"].startswith("https://json-schema.org/")
