"""Many mutants: which ones a number of them are, and the table of how they were read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from random import Random

from parsers import load_rules
from tests.mutants.cases import Case, load_cases
from tests.mutants.mutate import HARMFUL_KINDS, HARMLESS_KINDS, KINDS, Trial, run
from tests.mutants.truth import Verdict

ROOT = Path(__file__).resolve().parents[2]
BAR_PARSED = 0.99
"""How many of the harmless changes must be parsed as before, of 1."""
_SLICE = 500
_MOST_FAILURES = 20


@dataclass(slots=True)
class Count:
    """How mutants were read, by kind."""

    verdicts: dict[str, Counter[Verdict]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What went wrong, at most 20 times, to be read and replayed."""

    def add(self, trial: Trial) -> None:
        self.verdicts.setdefault(trial.kind, Counter())[trial.verdict] += 1
        if trial.verdict.is_failure and len(self.failures) < _MOST_FAILURES:
            self.failures.append(trial.told())

    def join(self, other: "Count") -> None:
        for kind, verdicts in other.verdicts.items():
            self.verdicts.setdefault(kind, Counter()).update(verdicts)
        self.failures = (self.failures + other.failures)[:_MOST_FAILURES]

    def total(self, *verdicts: Verdict, kinds: Iterable[str] = KINDS) -> int:
        """Return how many mutants of some kinds had one of some verdicts; any, without one."""
        found = [self.verdicts.get(kind, Counter()) for kind in kinds]
        return sum(one[verdict] for one in found for verdict in (verdicts or tuple(Verdict)))

    @property
    def misread(self) -> int:
        return self.total(Verdict.MISREAD)

    @property
    def share_parsed(self) -> float:
        """Return how many of the harmless changes were parsed as before, of 1."""
        every = self.total(kinds=HARMLESS_KINDS)
        return self.total(Verdict.PARSED, kinds=HARMLESS_KINDS) / every if every else 0.0

    def table(self) -> Iterator[str]:
        """Yield the figures as the lines of a table in Markdown."""
        yield "| kind of change | mutants | read the same | less what was left out | held | wrong reason | misread |"
        yield "|---|---|---|---|---|---|---|"
        groups: Sequence[tuple[str, Mapping[str, object]]] = (("harmless", HARMLESS_KINDS), ("harmful", HARMFUL_KINDS))
        for name, kinds in groups:
            for kind in (kind for kind in kinds if kind in self.verdicts):
                yield self._line(f"{name}: {kind.replace('_', ' ')}", [kind])
            yield self._line(f"**all that are {name}**", kinds)

    def _line(self, name: str, kinds: Iterable[str]) -> str:
        counts = [
            self.total(kinds=kinds),
            *(
                self.total(verdict, kinds=kinds)
                for verdict in (Verdict.PARSED, Verdict.LESS, Verdict.HELD, Verdict.WRONG_REASON, Verdict.MISREAD)
            ),
        ]
        return f"| {name} | {' | '.join(f'{count:,}' for count in counts)} |"


def count_mutants(cases: Sequence[Case], numbers: Iterable[int], kinds: Sequence[str] = tuple(KINDS)) -> Count:
    """Return how the mutants of some numbers were read: the number says which fixture and kind, and is the seed."""
    count = Count()
    for number in numbers:
        chance = Random(f"mutant {number}")
        kind = chance.choice(kinds)
        for case in chance.sample(cases, len(cases)):
            trial = run(case, kind, number)
            if trial is not None:
                count.add(trial)
                break
    return count


@cache
def cases_of_this_tree() -> tuple[Case, ...]:
    """Return a case for each fixture of the project, made once a process."""
    cases, left_out = load_cases(load_rules([ROOT / "rules"]), ROOT / "fixtures")
    if left_out or not cases:
        raise SystemExit(f"fixtures that do not read as expected once they are put together again: {left_out}")
    return tuple(cases)


def _count_slice(numbers: range) -> Count:
    return count_mutants(cases_of_this_tree(), numbers)


def count_over_processes(mutants: int, processes: int) -> Count:
    """Return how so many mutants were read; which process reads which of them makes no difference."""
    slices = [range(start, min(start + _SLICE, mutants)) for start in range(0, mutants, _SLICE)]
    count = Count()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for part in pool.map(_count_slice, slices):
            count.join(part)
    return count
