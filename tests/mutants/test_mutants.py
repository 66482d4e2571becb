"""No changed mail is misread: a slice of the mutants, and the proof that a broken parser would be seen."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from parsers import Mail, html, sheets, tables
from parsers import mail as mail_module
from parsers.extract import Extraction
from parsers.forward import Head
from parsers.labels import Labels
from parsers.text import label_key
from tests.mutants.cases import Case
from tests.mutants.count import BAR_PARSED, Count, cases_of_this_tree, count_mutants
from tests.mutants.mutate import HARMFUL_KINDS, KINDS, mutate

pytestmark = pytest.mark.xdist_group("mutants")

SLICE = int(os.environ.get("GATEPOST_TEST_EXAMPLES", "100")) * 30
RED = 60
"""So many mutants of a few kinds show a broken parser."""


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return cases_of_this_tree()


@pytest.fixture(scope="module")
def count(cases: tuple[Case, ...]) -> Count:
    return count_mutants(cases, range(SLICE))


def test_nothing_is_misread(count: Count) -> None:
    """No mutant gives other events than its fixture, and what is held says why."""
    assert count.total() > 0.9 * SLICE
    assert not count.failures, "\n\n".join(count.failures)


def test_harmless_changes_are_parsed(count: Count) -> None:
    """Of the changes that leave what a mail says as it is, 99 % give the same events with the same identities."""
    assert count.share_parsed >= BAR_PARSED, "\n".join(count.table())


def test_every_kind_of_change_is_met(cases: tuple[Case, ...]) -> None:
    """Each kind finds a fixture to change, and each fixture whose text tells events can be broken in some way."""
    for kind in KINDS:
        assert any(mutate(case, kind, seed) for case in cases for seed in range(3)), kind
    told = [case for case in cases if case.is_told and not (case.is_forward or case.is_structured)]
    assert len(told) > 80
    for case in told:
        assert any(mutate(case, kind, seed) for kind in HARMFUL_KINDS for seed in range(3)), case.name


def test_a_seed_names_a_mutant(cases: tuple[Case, ...]) -> None:
    """Fixture, kind and seed give the same mail each time, and seeds give different ones."""
    case = next(case for case in cases if case.name == "sitelink/01-move-in-text")
    assert mutate(case, "other_lines", 7) == mutate(case, "other_lines", 7)
    assert len({str(mutate(case, "other_lines", seed)) for seed in range(10)}) > 5


def misread_with(cases: Sequence[Case], *kinds: str) -> int:
    return count_mutants(cases, range(RED), kinds).misread


def test_red_when_the_first_of_two_values_wins(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that takes the first of two different values is seen."""
    assert misread_with(cases, "value_said_otherwise", "two_notices") == 0
    monkeypatch.setattr(Extraction, "_agreed", lambda self, field, captures: captures[0].raw)
    assert misread_with(cases, "value_said_otherwise", "two_notices") > 0


def test_red_when_labels_match_by_their_beginning(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that takes a longer label for the one that it begins with is seen."""
    whole = Labels._look_up

    def by_beginning(self: Labels, labels: tuple[str, ...]) -> list[Any]:
        keys = [label_key(label) for label in labels]
        longer = tuple(seen for seen in self._seen for key in keys if seen != key and seen.startswith(key))
        return whole(self, (*labels, *longer))

    monkeypatch.setattr(Labels, "_look_up", by_beginning)
    assert misread_with(cases, "label_misspelt") > 0


def test_red_when_an_empty_value_is_filled_from_the_next_line(
    cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that looks for the value of an empty cell in the row below is seen."""
    index = Labels.__init__

    def with_values_below(self: Labels, lines: tuple[Any, ...]) -> None:
        filled = (
            [
                line._replace(cells=(line.cells[0], below.cells[-1]))
                if len(line.cells) == 2 and not line.cells[1]
                else line
                for line, below in zip(lines, (*lines[1:], lines[-1]), strict=True)
            ]
            if lines
            else []
        )
        index(self, tuple(filled))

    monkeypatch.setattr(Labels, "__init__", with_values_below)
    assert misread_with(cases, "value_emptied") > 0


def test_red_when_hidden_text_is_read(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads what HTML hides is seen."""
    monkeypatch.setattr(html, "find_hidden", lambda tree, **_: [])
    assert misread_with(cases, "hidden_whole", "line_hidden") > 0


def test_red_when_an_odd_row_is_skipped(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that leaves out a row with another number of cells is seen."""
    row = tables._Reader._rows

    def without_odd_rows(self: Any, header: int, columns: tuple[Any, ...], empty: int) -> Any:
        self._noise = {*self._noise, *(n for n in self._below if len(self._cells(n)) != len(columns))}
        return row(self, header, columns, empty)

    monkeypatch.setattr(tables._Reader, "_rows", without_odd_rows)
    assert misread_with(cases, "cell_dropped", "row_torn") > 0


def test_red_when_history_is_read(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads what a reply quotes is seen."""
    monkeypatch.setattr("parsers.text.without_history", lambda lines: lines)
    monkeypatch.setattr("parsers.html.without_history", lambda lines: lines)
    monkeypatch.setattr(html, "QUOTED", ".none-such")
    assert misread_with(cases, "quoted_whole") > 0


def test_red_when_a_heading_is_not_needed(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads a table's rows as those of the table above is seen."""
    read = tables.read_tables

    def of_the_first(lines: Any, rule: Any, noise: Any) -> Any:
        try:
            yield from read(lines, rule, noise)
        except tables.Incomplete:
            yield from read(lines, replace(rule, tables=rule.tables[:1]), noise)

    monkeypatch.setattr("parsers.rows.read_tables", of_the_first)
    assert misread_with(cases, "heading_dropped", "heading_renamed") > 0


def test_red_when_a_subject_takes_nothing_back(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads a subject by its beginning is seen, in a mail and in a forwarded one."""
    kinds = ("subject_taken_back", "forwarded_subject_taken_back")
    assert misread_with(cases, *kinds) == 0
    monkeypatch.setattr("parsers.match.find_doubts", lambda subject: ())
    assert all(misread_with(cases, kind) > 0 for kind in kinds)


def test_red_when_a_short_row_of_a_file_is_filled_up(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that takes a row of CSV with too few or too many cells is seen."""
    check = sheets._Reader._check_width
    monkeypatch.setattr(
        sheets._Reader, "_check_width", lambda *args, is_sheet, by_place: check(*args, is_sheet=True, by_place=False)
    )
    assert misread_with(cases, "attached_cells_shifted") > 0


def test_red_when_the_first_heading_wins(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that reads the first of two columns of one heading is seen."""
    monkeypatch.setattr(sheets._Reader, "check_columns", lambda self, titles, where: None)
    assert misread_with(cases, "attached_column_said_twice") > 0


def test_red_when_the_last_name_wins(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that takes the last of two values of one name in JSON is seen."""
    monkeypatch.setattr("parsers.files.strict_json", json.loads)
    assert misread_with(cases, "attached_json_name_twice") > 0


def test_red_when_the_date_of_the_forward_counts(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that dates a forwarded mail by the forward, where its own date is lost, is seen."""
    below = mail_module._below

    def dated(mail: Mail, head: Head) -> Mail:
        inside = below(mail, head)
        return replace(inside, date=inside.date or mail.date)

    monkeypatch.setattr(mail_module, "_below", dated)
    assert misread_with(cases, "forwarded_date_lost") > 0
