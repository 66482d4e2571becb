"""Packs as templates: an event written as the mail of its pack, and read again, is the same event.

Names, numbers of tenants and units are of any script; amounts and dates are written as the pack's system writes them.
"""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutants.draft import Form, Raw, Setting
from tests.rules.templates import TEMPLATES
from tests.rules.written import RULES, Template, dates, draft, ids, move_in, told, units

pytestmark = pytest.mark.law


def test_every_rule_of_prose_and_labels_has_a_template() -> None:
    """No rule that makes events of what stands in prose or beside labels is left out."""
    every = [rule for pack in RULES.packs.values() for rule in pack.rules if rule.events]
    named = {rule.name for rule in every if not rule.when.jsonld and not rule.reads_files_only}
    assert named == {template.rule for template in TEMPLATES}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
@given(
    data=st.data(),
    form=st.sampled_from(Form),
    setting=st.sampled_from((Setting.LINES, Setting.ROWS, Setting.ITEMS)),
    chance=st.randoms(use_true_random=False),
)
def test_what_is_written_is_read(template: Template, data: Any, form: Form, setting: Setting, chance: Any) -> None:
    """Whatever stands for the values, in text or HTML and in any order, the events are those that were written."""
    values = data.draw(template.values)
    style = data.draw(st.sampled_from(template.styles))
    rule, events = told(template.write(values, style=style, setting=setting, form=form, chance=chance))
    assert rule == template.rule
    expected = template.tells(values)
    assert [(kind, unit) for kind, unit, _ in events] == [(kind, unit) for kind, unit, _ in expected]
    for (_, _, found), (_, _, body) in zip(events, expected, strict=True):
        assert {name: found.get(name) for name in body} == body
        assert set(found) - set(body) <= {"pms_status_raw"}


@given(unit=units, tenant=ids, ledger=ids, on=dates)
def test_structured_data_that_is_written_is_read(unit: str, tenant: str, ledger: str, on: dt.date) -> None:
    """A block of structured data gives the move-in that it states."""
    block = {
        "@type": "PmsEvent", "event": "move_in", "unit": unit, "pms_tenant_id": tenant, "ledger_id": ledger,
        "move_in_date": on.isoformat(),
    }  # fmt: skip
    script = Raw(html=f'<script type="application/ld+json">{json.dumps(block)}</script><p>Notice</p>')
    _, events = told(draft("sitelink.com", "Notice", script, form=Form.HTML))
    assert events == [move_in({"unit": unit, "tenant": tenant, "ledger": ledger, "on": on})]
