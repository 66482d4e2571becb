"""What a mail costs when many packs are in force: 500 against 15, measured side by side in one process.

The packs are those that ship and copies of them under other names and senders; the mails are a notice that a rule
claims, and one that none claims.
"""

import re
import sys
from itertools import cycle, islice
from pathlib import Path

from bench.parse import cpu_s, styled_notice
from bench.table import Figure, at_most, print_figures, print_head
from parsers import Mailbox, RuleSet, load_rules_text, parse_mail

FEW, MANY = 15, 500
BAR = 1.1
_RULES = Path(__file__).resolve().parents[1] / "rules"
_NAME = re.compile(r"^pack: (\S+)$", re.MULTILINE)
_SENDERS = re.compile(r"^senders: \[[^\]]*\]$", re.MULTILINE)


def packs(count: int) -> RuleSet:
    """Return a set of so many packs: the shipped ones, then copies of them that others may speak for."""
    shipped = {path.name: path.read_text("utf-8") for path in sorted(_RULES.glob("*.yaml"))}
    texts = dict(shipped)
    for number, (name, text) in enumerate(islice(cycle(shipped.items()), count - len(shipped))):
        pack = f"{Path(name).stem}{number}"
        renamed = _NAME.sub(f"pack: {pack}", text)
        texts[f"{pack}.yaml"] = _SENDERS.sub(f"senders: [{pack}.example.com]", renamed)
    return load_rules_text(texts)


def bench_rules() -> list[Figure]:
    """Measure a parse under both sets in turn; both must say the same of the mail."""
    mailbox = Mailbox(address="sitelink@demo.test", company="default", location="SITELINK")
    few, many = packs(FEW), packs(MANY)
    figures: list[Figure] = []
    claimed = styled_notice()
    unclaimed = claimed.replace(b"Subject: Move In Notification", b"Subject: Monthly Statement")
    for what, raw, outcome in (("claimed", claimed, "events"), ("unmatched", unclaimed, "unmatched")):

        def read(rules: RuleSet, raw: bytes = raw) -> str:
            return parse_mail(raw, rules, mailbox=mailbox).outcome

        if (read(few), read(many)) != (outcome, outcome):
            raise AssertionError(f"{what}: {read(few)} and {read(many)} instead of {outcome}")
        few_s, many_s = cpu_s((lambda read=read: read(few), lambda read=read: read(many)))
        figures.append(
            at_most(
                BAR,
                what=f"CPU of a parse, {len(many.packs)} packs to {len(few.packs)}: {what}",
                value=many_s / few_s,
                detail=f"{many_s * 1e3:.2f} ms to {few_s * 1e3:.2f} ms, {len(many.rules_of(many.packs)):,} rules",
            )
        )
    return figures


if __name__ == "__main__":
    print_head()
    found = bench_rules()
    print_figures(found)
    sys.exit(not all(figure.is_met for figure in found))
