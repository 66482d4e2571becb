"""The labels of a mail's readable text, and what stands for the value of each: beside it, or below."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TypeAlias

from parsers.errors import nearest
from parsers.text import CELL, Line, label_key, label_keys

_MAX_LABEL = 60
_MAX_NEAREST = 200


class Sighting(NamedTuple):
    """One label seen in the readable text, with what stands for its value."""

    line: int
    label: str
    value: str
    start: int
    below: str
    """The line below, where the label stands alone and that line may be its value."""


_Seen: TypeAlias = tuple[int, str, str, int, str]
"""What a Sighting holds: most of what is seen is never looked at."""
key_of_word = lru_cache(maxsize=4096)(label_key)
"""The key of a label that a rule names: there are few."""


class Labels:
    """Every label of one mail's readable text, by its key."""

    def __init__(self, lines: tuple[Line, ...]) -> None:
        self._seen: defaultdict[str, list[_Seen]] = defaultdict(list)
        self._found: dict[tuple[str, ...], list[Sighting]] = {}
        self.several: dict[int, tuple[str, ...]] = {}
        """The lines beside a label, by its line, where they are several, so that its value cannot be told."""
        keys = label_keys([line.cells[0] for line in lines])
        for number, (line, key) in enumerate(zip(lines, keys, strict=True), 1):
            text, cells, _, is_header, _, _, beside = line
            if is_header:
                continue
            if beside and text.partition(":")[2] == "":
                self._note_several(number, key, text, lines[number : number + beside])
            if ":" in text:
                self._index(number, line, lines[number] if number < len(lines) else None)
            elif len(cells) == 2:
                self._seen[key].append((number, cells[0], cells[1], len(cells[0]) + 1, ""))  # 1: the length of CELL

    def _note_several(self, number: int, key: str, label: str, beside: tuple[Line, ...]) -> None:
        """Note a label beside which several lines stand, unless these hold labels of their own."""
        texts = tuple([line.text for line in beside])
        if not any(map(opens_label, texts)):
            self.several[number] = texts
            if ":" not in label:
                self._seen[key].append((number, label, "", 0, ""))

    def of(self, labels: tuple[str, ...]) -> list[Sighting]:
        """Return every sighting of some labels; rules ask for the same ones again and again."""
        found = self._found.get(labels)
        if found is None:
            found = self._found[labels] = self._look_up(labels)
        return found

    def _look_up(self, labels: tuple[str, ...]) -> list[Sighting]:
        found: list[Sighting] = []
        for label in labels:
            key = key_of_word(label)
            if _is_label(key) and (seen := self._seen.get(key)):
                found += [
                    Sighting(number, head.strip(), value, start, below) for number, head, value, start, below in seen
                ]
        return found

    def nearest(self, labels: Iterable[str], known_lines: Collection[int]) -> str | None:
        """Return the label seen that is nearest to one of `labels`, outside the lines that are accounted for."""
        seen = {
            key: free[0][1].strip()
            for key, sightings in self._seen.items()
            if _is_label(key) and (free := [one for one in sightings if one[0] not in known_lines])
        }
        for label in labels:
            near = nearest(label_key(label), islice(seen, _MAX_NEAREST))
            if near is not None:
                return seen[near]
        return None

    def _index(self, number: int, line: Line, below: Line | None) -> None:
        """Note the labels of a line."""
        cells = line.cells
        offset = 0
        for place, cell in enumerate(cells):
            head, colon, rest = cell.partition(":")
            beside = cells[place + 1] if place + 1 < len(cells) else ""
            value = rest.strip()
            start = offset + len(cell) - len(value)
            if not value and beside and (colon or (place == 0 and len(cells) == 2)):
                value, start = beside, offset + len(cell) + len(CELL)
            if colon or value:
                stands_alone = bool(colon) and len(cells) == 1 and not value
                under = _value_below(line, below) if stands_alone else ""
                self._seen[label_key(head)].append((number, head, value, start, under))
            offset += len(cell) + len(CELL)


def _is_label(key: str) -> bool:
    return key[:1].isalpha() and len(key) <= _MAX_LABEL


def _value_below(line: Line, below: Line | None) -> str:
    if below is None or below.gap or line.apart or len(below.cells) != 1 or opens_label(below.text):
        return ""
    return below.text


def opens_label(text: str) -> bool:
    head, colon, _ = text.partition(":")
    return bool(colon) and _is_label(label_key(head))
