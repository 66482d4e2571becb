"""Destination files: each fault is told with its place and the nearest word, and a file loads whole or not at all."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from parsers.errors import RuleErrors
from parsers.events import FACTS
from worker.calls import Outcome, Verb
from worker.catalogue import SHIPPED, load_api, shipped_apis
from worker.destinations.spec import ApiSpec
from worker.destinations.specfile import read_spec
from worker.settings import ConfigError

GOOD = """\
api: harbor
columns: [site_id, door_id]
requests_per_minute: 60
auth: bearer
headers: {X-Site: "{{ site_id }}"}
idempotency: {header: Idempotency-Key, remembered_s: 3600}
answers:
  success: {status: [200], needs: [id]}
  message: [error]
  statuses: {423: limited}
calls:
  move_in:
    clears: [pms_lockout]
    look_ups:
      - name: guest_id
        get: /guests?ref={{ pms_tenant_id }}
        find: items
        where: {ref: "{{ pms_tenant_id }}"}
        take: id
    either:
      - {when: {ledger_id: given}, post: "/doors/{{ door_id }}/stays", body: {guest: "{{ guest_id }}"}}
      - {put: "/doors/{{ door_id }}", body: {since: "{{ move_in_date }}"}}
  move_out:
    clears: [balance_due, pms_auction]
    resets: [pms_lockout]
    delete: /doors/{{ door_id }}
  patch:
    patch: /doors/{{ door_id }}
    body: {locked: "{{ pms_lockout }}", due: {value: "{{ balance_due }}", as: cents}, list: ["{{ unit }}", {value: x}]}
"""


def faults(text: str) -> tuple[str, ...]:
    """Return the faults of a file, in the order of the file."""
    with pytest.raises(RuleErrors) as caught:
        read_spec(text, "harbor.yaml")
    return tuple(str(error) for error in caught.value.errors)


def broken(old: str, new: str) -> str:
    """Return the good file with one thing changed."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_a_good_file_says_what_it_says() -> None:
    """What a file says is what the spec holds, manners included."""
    spec = read_spec(GOOD, "harbor.yaml")
    manners = spec.manners
    assert (spec.name, spec.title, spec.requests_per_minute) == ("harbor", "harbor", 60)
    assert spec.columns == ("site_id", "door_id")
    assert manners.verbs == {Verb.MOVE_IN, Verb.MOVE_OUT, Verb.PATCH}
    assert manners.facts == ("balance_due", "pms_lockout")
    assert manners.move_in_clears == {"pms_lockout": False}
    assert manners.move_out_resets == {"pms_lockout": False}
    assert manners.move_out_clears == {"balance_due": 0, "pms_lockout": False}
    assert manners.remembered_s == 3600
    assert spec.answers.statuses == {423: Outcome.LIMITED}
    assert [write.method for write in spec.calls[Verb.MOVE_IN].writes] == ["POST", "PUT"]


def test_by_default_nothing_is_reset_and_no_key_remembered() -> None:
    """What a file does not say is not assumed."""
    text = "api: a\nanswers: {success: {needs: [id]}, message: m}\ncalls: {move_out: {delete: /x}}\n"
    manners = read_spec(text, "a.yaml").manners
    assert (manners.verbs, manners.facts, manners.remembered_s) == ({Verb.MOVE_OUT}, (), 0)
    assert (manners.move_in_clears, manners.move_out_clears, manners.move_out_resets) == ({}, {}, {})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("columns:", "§colums:", ["unknown key `colums` in a destination", "`columns`"]),
        ("  success:", "  §sucess:", ["unknown key `sucess` in answers", "`success`"]),
        ("{status: [200], needs: [id]}", "§{status: [200]}", ["`success` needs `needs` or `where`"]),
        ("{status: [200], needs: [id]}", "{status: [§20], needs: [id]}", ["`20` is not a status"]),
        ("423: limited", "423: §limitted", ["unknown outcome `limitted`", "`limited`"]),
        ("423: limited", "423: §applied", ["unknown outcome `applied`"]),
        ("423: limited", "1423: §limited", ["`1423` is not a status"]),
        ("  statuses:", "  fields: §{name: f}\n  statuses:", ["fields needs the key `find`"]),
        ("  statuses:", "  fields: {find: e, §nmae: f}\n  statuses:", ["unknown key `nmae` in fields", "`name`"]),
        ("  statuses:", "  fields: {find: e, message: §w}\n  statuses:", ["`message` stands beside `name`"]),
        ("  move_out:\n", "  §move_uot:\n", ["unknown key `move_uot` in calls", "`move_out`"]),
        ("/doors/{{ door_id }}\n  patch", "§doors/{{ door_id }}\n  patch", ["a path starts with a slash"]),
        ("/doors/{{ door_id }}\n  patch", "§/doors/{{ dor_id }}\n  patch", ["unknown name `dor_id`", "`door_id`"]),
        ("/doors/{{ door_id }}\n  patch", "§/d/{{ unit | upper }}\n  patch", ["a path starts with a slash"]),
        ("/doors/{{ door_id }}\n  patch", "§/{{ pms_lockout }}\n  patch", ["unknown name `pms_lockout`"]),
        ("/doors/{{ door_id }}\n  patch", "/d\n    body: §{a: b}\n  patch", ["`delete` takes no body"]),
        ("    resets: [pms_lockout]\n", "    §gets: /d\n", ["unknown key `gets` in move_out"]),
        ("  move_out:\n    clears", "  move_out:\n    §put: /d\n    clears", ["a write has exactly one of post, put"]),
        ("as: cents", "as: §cent", ["unknown as `cent`", "`cents`"]),
        ('"{{ pms_lockout }}"', '§"{{ pms_lokout }}"', ["unknown name `pms_lokout`", "`pms_lockout`"]),
        ('"{{ pms_lockout }}"', '§"{{ pms_lockout | uper }}"', ["unknown filter `uper`", "`upper`"]),
        ('"{{ pms_lockout }}"', '§"{{ pms_lockout + 1 }}"', ["`add` has no place in a template"]),
        ("[site_id, door_id]", "[site_id, door_id, §unit]", ["the column `unit` is a name that every call has"]),
        ("[site_id, door_id]", "[site_id, door_id, §Door]", ["the column `Door` is not one of small letters"]),
        ('"{{ site_id }}"', '§"{{ unit_name }}"', ["unknown name `unit_name`"]),
        ('X-Site: "', 'Authorization: §"', ["`Authorization` is no header that may be set here"]),
        ("auth: bearer", "auth: §basic", ["unknown auth `basic`"]),
        ("auth: bearer", "auth: {oauth2: §token}", ["the address of the token is a path below base_url"]),
        ("remembered_s: 3600", "remembered_s: §1h", ["remembered_s is a whole number"]),
        ("requests_per_minute: 60", "requests_per_minute: §many", ["requests_per_minute is a whole number"]),
        ("[pms_lockout]\n    look", "[§pms_lokout]\n    look", ["unknown fact `pms_lokout`", "`pms_lockout`"]),
        ("    patch: /d", "    resets: §[balance_due]\n    patch: /d", ["`resets` has no place in `patch`"]),
        ("        find: items\n        where: ", "        where: §", ["`where` chooses from a list"]),
        ("      - name: guest_id\n", "      - §when: {unit: x}\n", ["a look-up needs the key `name`"]),
        ("name: guest_id", "name: §ledger_id", ["`ledger_id` cannot name a look-up"]),
        ('guest: "{{ guest_id }}"', 'guest: §"g {{ guest_id }}"', ["`guest_id` is looked up while sending"]),
        ("{ledger_id: given}", "§{leger_id: given}", ["unknown name `leger_id`", "`ledger_id`"]),
        ("    either:\n", "    put: §/x\n    either:\n", ["`put` stands inside `either`"]),
        ("api: harbor\n", "§title: Harbor\n", ["a destination needs the key `api`"]),
        ("idempotency:", "§api: again\nidempotency:", ["the key `api` stands twice"]),
        ("bearer", "§&a bearer", ["anchors are not allowed"]),
    ],
)
def test_a_broken_file_is_refused_with_place_and_nearest_word(old: str, new: str, expected: Iterable[str]) -> None:
    """Each fault names file, line and column (where the mark § stands), and the nearest known word."""
    text = broken(old, new)
    before = text[: text.index("§")]
    place = f"harbor.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    found = [fault for fault in faults(text.replace("§", "")) if fault.startswith(place)]
    assert any(all(part in fault for part in expected) for fault in found), faults(text.replace("§", ""))


def test_every_fault_is_told_at_once() -> None:
    """One run shows all faults, in the order of the file."""
    text = GOOD.replace("as: cents", "as: cent").replace("{{ pms_lockout }}", "{{ lockout }}").replace("bearer", "none")
    lines = [int(fault.split(":")[1]) for fault in faults(text)]
    assert lines == [4, text.count("\n"), text.count("\n")]


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "api: a\n---\napi: b\n", "api: [a]\nanswers: x\ncalls: y\n"])
def test_what_is_no_file_of_ours_is_refused(text: str) -> None:
    """Text that is no such file is refused with a place, never with a crash."""
    assert all(fault.startswith("harbor.yaml:") for fault in faults(text))


def test_writes_of_a_patch_carry_the_same_facts() -> None:
    """Two writes of one patch with different facts would lose one: they are refused."""
    first = '{when: {unit: x}, put: /a, body: {l: "{{ pms_lockout }}"}}'
    other = '{put: /b, body: {b: "{{ balance_due }}"}}'
    head, _, _ = GOOD.partition("  patch:\n")
    found = faults(f"{head}  patch: {{either: [{first}, {other}]}}\n")
    assert "every write of a patch carries the same facts" in "\n".join(found)


def test_a_patch_carries_a_fact() -> None:
    """A patch that writes no fact is refused."""
    head, _, _ = GOOD.partition("  patch:\n")
    assert "`patch` carries at least one of" in "\n".join(faults(head + "  patch: {put: /a, body: {a: b}}\n"))


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("{id: id, get: /j, status: s, done: [D], failed: [F], pending: [P]}", "names it: {{ job }}"),
        ('{id: id, get: "/j/{{ jobb }}", status: s, done: [D], failed: [F], pending: [P]}', "did you mean `job`?"),
        ('{id: id, get: "/j/{{ job }}", status: s, done: [D], failed: [D], pending: [P]}', "`D` means two things"),
        ('{id: id, get: "/j/{{ job }}", status: s, done: [D]}', "job needs the key `failed`"),
    ],
)
def test_a_job_is_whole(job: str, expected: str) -> None:
    """A job says where it is asked for, and each word of its status means one thing."""
    assert expected in "\n".join(faults(GOOD + f"job: {job}\n"))


# -- what ships -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=shipped_apis())
def shipped(request: pytest.FixtureRequest) -> ApiSpec:
    return load_api(request.param)


def test_three_apis_ship() -> None:
    """A walk that finds nothing fails."""
    assert shipped_apis() == ("propertysaas", "propexo", "resharmonics")


def test_each_shipped_file_is_named_as_its_api(shipped: ApiSpec) -> None:
    """A file's name is its API's, and its first line says that it is a model."""
    path = SHIPPED / f"{shipped.name}.yaml"
    assert shipped.file == str(path)
    assert "a model of" in path.read_text("utf-8").splitlines()[0]


def test_no_shipped_file_promises_what_it_does_not_say(shipped: ApiSpec) -> None:
    """Nothing is reset by itself, no key is remembered, and facts are those of the patch."""
    assert (shipped.manners.move_out_resets, shipped.manners.remembered_s) == ({}, 0)
    assert set(shipped.manners.facts) <= set(FACTS)
    assert (Verb.PATCH in shipped.manners.verbs) == bool(shipped.manners.facts)
    assert Verb.CREATE not in shipped.manners.verbs


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    """A name that does not ship is refused with the nearest, a path that is not there with the path."""
    with pytest.raises(ConfigError, match="did you mean `propexo`"):
        load_api("propexxo")
    with pytest.raises(ConfigError, match=r"nowhere/a\.yaml: cannot be read"):
        load_api("nowhere/a.yaml")


def test_a_file_of_ones_own_is_named_by_its_path(tmp_path: Path) -> None:
    """A path is read as it is, and read anew when it has changed."""
    path = tmp_path / "harbor.yaml"
    path.write_text(GOOD, "utf-8")
    assert load_api(str(path)).name == "harbor"
    path.write_text(GOOD.replace("api: harbor", "api: marina"), "utf-8")
    assert load_api(str(path)).name == "marina"
    path.write_bytes(b"api: \xff")
    with pytest.raises(RuleErrors, match="not UTF-8"):
        load_api(str(path))
