"""Many mutants of all fixtures over several processes, or one of them again: ``python -m tests.mutants --help``."""

import argparse
import os
import sys

from tests.mutants.count import BAR_PARSED, cases_of_this_tree, count_over_processes
from tests.mutants.mutate import KINDS, run


def _replay(name: str, kind: str, seed: str) -> int:
    case = next((case for case in cases_of_this_tree() if case.name == name), None)
    if case is None or kind not in KINDS:
        raise SystemExit(f"no fixture `{name}` or no kind `{kind}`; kinds: {', '.join(KINDS)}")
    trial = run(case, kind, int(seed))
    print("this fixture has nothing of the kind to change" if trial is None else trial.told())
    return int(trial is not None and trial.verdict.is_failure)


def main() -> int:
    """Count or replay; return 0 when nothing was misread and enough of the harmless changes were parsed."""
    asked = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    asked.add_argument("--mutants", type=int, default=int(os.environ.get("GATEPOST_TEST_MUTANTS", "100000")))
    asked.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--replay", nargs=3, metavar=("FIXTURE", "KIND", "SEED"))
    args = asked.parse_args()
    if args.replay:
        return _replay(*args.replay)
    count = count_over_processes(args.mutants, args.processes)
    print(*count.table(), *count.failures, sep="\n")
    print(f"harmless changes parsed: {count.share_parsed:.2%} (bar: >= {BAR_PARSED:.0%})")
    return int(bool(count.failures) or count.share_parsed < BAR_PARSED)


if __name__ == "__main__":
    sys.exit(main())
