"""What rules make and a destination does not take is refused with the configuration, or dropped on request."""

from pathlib import Path
from typing import Any

import pytest

from parsers import RuleSet, load_rules
from parsers.errors import RuleErrors
from tests.rigs.described import Clock
from tests.rigs.gatepost import Gatepost, run
from tests.rigs.services import Postgres, wait_until
from worker.calls import Manners, Verb
from worker.capabilities import COLUMNS, abilities, unsupported
from worker.catalogue import (
    check_capabilities,
    complaints,
    drops,
    http_destination,
    load_api,
    manners_of,
    missing_columns,
    requests_per_minute,
)
from worker.configuration import SHIPPED_RULES
from worker.destinations.profiles import PROFILES
from worker.destinations.spec import needed_columns
from worker.settings import ConfigError, Destination, Settings
from worker.store import schema
from worker.store.database import Database

FAR: dict[str, Any] = {"kind": "http", "api": "propexo", "base_url": "http://far.example", "token_env": "FAR_TOKEN"}


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([SHIPPED_RULES])


def settings(**destination: Any) -> Settings:
    """Return a configuration with one mailbox of SiteLink."""
    mailbox = {"address": "main@in.example.com", "location": "MAIN", "pms": ["sitelink"], "destination": "far"}
    return Settings.model_validate({"mailbox": [mailbox], "destination": {"far": {**FAR, **destination}}})


def test_what_a_rule_makes(rules: RuleSet) -> None:
    """A rule's abilities are the verbs and facts of its events; one that ignores makes nothing."""
    by_id = {rule.id: rule for rule in rules.packs["sitelink"].rules}
    assert abilities(by_id["move-in"]) == ("move_in", "paid_through_date")
    assert abilities(by_id["move-out"]) == ("move_out",)
    assert abilities(by_id["overlock"]) == ("pms_lockout", "pms_status_raw")
    assert [abilities(rule) for rule in by_id.values() if rule.ignore] == [()] * sum(
        bool(rule.ignore) for rule in by_id.values()
    )


def test_kiss_takes_everything(rules: RuleSet) -> None:
    """Every generation of KISS takes what every shipped pack makes."""
    for profile in PROFILES.values():
        assert unsupported(rules, rules.packs, profile.manners) == []


def test_what_is_not_taken_is_named_by_rule(rules: RuleSet) -> None:
    """Each verb or fact that a destination does not take is told with pack and rule, for the packs that are read."""
    manners = Manners(verbs=frozenset((Verb.MOVE_IN, Verb.PATCH)), facts=("pms_lockout",))
    found = {(lack.pack, lack.rule, lack.name) for lack in unsupported(rules, ["sitelink"], manners)}
    assert ("sitelink", "move-out", "move_out") in found
    assert ("sitelink", "overlock", "pms_status_raw") in found
    assert not {lack for lack in found if lack[2] in ("move_in", "pms_lockout") or lack[0] != "sitelink"}
    assert unsupported(rules, [], manners) == []


def test_without_patch_no_fact_is_taken(rules: RuleSet) -> None:
    """A destination that knows no patch takes no facts, whatever it lists."""
    manners = Manners(verbs=frozenset((Verb.MOVE_IN, Verb.MOVE_OUT)))
    assert {lack.name for lack in unsupported(rules, ["sitelink"], manners)} == set(COLUMNS[2:]) & {
        name for rule in rules.packs["sitelink"].rules for name in abilities(rule)
    }


def test_a_configuration_that_would_lose_facts_is_refused(rules: RuleSet) -> None:
    """The refusal names mailbox, rule, fact, destination and the key that drops it instead."""
    with pytest.raises(ConfigError) as caught:
        check_capabilities(settings(), rules)
    lines = str(caught.value).splitlines()
    (line,) = [line for line in lines if "sitelink/overlock makes `pms_lockout`" in line]
    for part in ("mailbox main@in.example.com", "`far`", "[destination.far] ignore_unknown_fields = true"):
        assert part in line
    assert not [line for line in lines if "`pms_status_raw`" in line or "`balance_due`" in line]


def test_what_is_ignored_is_told_as_dropped(rules: RuleSet) -> None:
    """With ignore_unknown_fields nothing is refused, and what is dropped is listed."""
    asked = settings(ignore_unknown_fields=True)
    check_capabilities(asked, rules)
    assert complaints(asked, rules) == []
    assert len(drops(asked, rules)) == len(complaints(settings(), rules)) > 0
    assert "makes `pms_lockout`, which the destination `far` drops" in "\n".join(drops(asked, rules))


def test_local_and_kiss_need_no_file() -> None:
    """What a destination takes comes from its kind; how often it may be asked from the settings, then the file."""
    far = Destination.model_validate(FAR)
    assert manners_of(Destination(kind="local")).facts == COLUMNS[2:]
    assert manners_of(far).facts == ("balance_due", "pms_status_raw")
    assert requests_per_minute(far) == 150
    assert requests_per_minute(Destination.model_validate({**FAR, "requests_per_minute": 0})) == 0
    assert requests_per_minute(Destination.model_validate({**FAR, "requests_per_minute": 9})) == 9
    assert requests_per_minute(Destination(kind="local")) == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"api": ""}, "needs api"),
        ({"base_url": ""}, "needs base_url"),
        ({"base_url": "far.example"}, "needs base_url"),
        ({"token_env": None}, "needs one of token_env"),
        ({"token_file": "t"}, "needs one of token_env"),
        ({"client_id_env": "I"}, "needs one of token_env"),
        ({"token_env": None, "client_id_env": "I"}, "client_secret_env"),
        ({"token_env": None, "client_id_env": "I", "client_secret_env": "S", "client_secret_file": "s"}, "one of"),
    ],
)
def test_a_destination_is_whole(change: dict[str, Any], word: str) -> None:
    """An http destination names its API, its address, and one kind of credentials."""
    with pytest.raises(ValueError, match=word):
        Destination.model_validate({**FAR, **change})


def test_credentials_are_of_the_kind_that_the_api_needs() -> None:
    """A token for an API with OAuth2, or client credentials for one with a token, is refused with what it needs."""
    for api, change, word in (
        ("resharmonics", {}, "client_id_env"),
        ("propexo", {"token_env": None, "client_id_env": "I", "client_secret_env": "S"}, "token_env or token_file"),
    ):
        chosen = Destination.model_validate({**FAR, "api": api, **change})
        with pytest.raises(ConfigError, match=word):
            http_destination("far", chosen, clock=Clock())


def test_secrets_are_read_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret comes from the environment or a file, anew each time, so a new one needs no restart."""
    file = tmp_path / "token"
    chosen = Destination.model_validate({**FAR, "token_env": None, "token_file": file})
    for token in ("one", "two"):
        file.write_text(f"{token}\n", "utf-8")
        assert http_destination("far", chosen, clock=Clock())._token() == token
    monkeypatch.setenv("FAR_TOKEN", "three")
    chosen = Destination.model_validate(FAR)
    assert http_destination("far", chosen, clock=Clock())._token() == "three"
    monkeypatch.delenv("FAR_TOKEN")
    assert http_destination("far", chosen, clock=Clock())._token() == ""


def test_columns_that_a_map_lacks_are_told(tmp_path: Path) -> None:
    """What an API cannot do without is told for each mailbox whose map lacks it, with the verbs that need it."""
    file = tmp_path / "units.csv"
    for columns, expected in (
        ("lease_id,resident_id", []),
        ("leases_id", ["`lease_id` (did you mean `leases_id`?), which propexo needs for move_in, move_out"]),
    ):
        file.write_text(
            f"unit,crm_unit_id,from,until,{columns}\nB204,B204,,{',x' * (columns.count(',') + 1)}\n", "utf-8"
        )
        mailbox = {"address": "main@in.example.com", "location": "MAIN", "destination": "far", "unit_map": file}
        asked = Settings.model_validate({"mailbox": [mailbox], "destination": {"far": FAR}})
        found = "\n".join(missing_columns(asked))
        assert all(part in found for part in expected)
        assert ("`resident_id`" in found) == bool(expected)
    assert len(missing_columns(settings())) == 2


@pytest.mark.parametrize(
    ("api", "verb", "columns"),
    [
        ("propexo", Verb.MOVE_IN, ("lease_id",)),
        ("propexo", Verb.PATCH, ("resident_id",)),
        ("propertysaas", Verb.MOVE_OUT, ("organization_id", "property_id", "unit_id")),
        ("resharmonics", Verb.MOVE_IN, ("room_stay_id",)),
        ("resharmonics", Verb.MOVE_OUT, ("unit_id",)),
    ],
)
def test_columns_that_a_call_needs(api: str, verb: Verb, columns: tuple[str, ...]) -> None:
    """Optional columns, and those that a look-up stands in for, are not needed."""
    assert needed_columns(load_api(api), verb) == columns


CONFIG = """\
[[mailbox]]
address = "main@in.example.com"
location = "MAIN"
pms = ["sitelink"]
destination = "far"
[destination.far]
kind = "http"
api = "{api}"
base_url = "http://127.0.0.1:9"
token_env = "FAR_TOKEN"
ignore_unknown_fields = {ignores}
"""


PORTS = """\
[smtp]
listen = ["127.0.0.1:0"]
[web]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{folder}/gatepost.db"
"""


@pytest.mark.parametrize("command", [("config", "check"), ("rules", "check")])
def test_both_checks_report_it(command: tuple[str, str], tmp_path: Path) -> None:
    """`config check` and `rules check` refuse what would be lost, and warn of what is dropped."""
    file = tmp_path / "gatepost.toml"
    for ignores, code in (("false", 2), ("true", 0)):
        file.write_text(CONFIG.format(api="propexo", ignores=ignores), "utf-8")
        done = run("--config", str(file), *command, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "sitelink/overlock makes `pms_lockout`" in done.stderr.decode()


def test_a_start_refuses_it(tmp_path: Path) -> None:
    """`up` does not begin with a configuration that would lose facts, and says what to do; nothing listens."""
    ready = tmp_path / "ready.json"
    file = tmp_path / "gatepost.toml"
    file.write_text(CONFIG.format(api="propexo", ignores="false") + PORTS.format(folder=tmp_path), "utf-8")
    done = run("--config", str(file), "up", "--ready-file", str(ready), cwd=tmp_path)
    told = done.stderr.decode()
    assert (done.returncode, ready.exists()) == (2, False), told
    assert "mailbox main@in.example.com: rule sitelink/overlock makes `pms_lockout`" in told
    assert "[destination.far] ignore_unknown_fields = true" in told
    assert "Traceback" not in told


def test_what_is_dropped_on_request_starts_and_stays(tmp_path: Path) -> None:
    """With `ignore_unknown_fields` it starts; a configuration without it that is read later is refused."""
    dropping, losing = (CONFIG.format(api="propexo", ignores=word) for word in ("true", "false"))
    with Gatepost(tmp_path, dropping + PORTS.format(folder=tmp_path), FAR_TOKEN="x") as gatepost:
        gatepost.config.write_text(losing + PORTS.format(folder=tmp_path), "utf-8")
        gatepost.hang_up()
        wait_until(lambda: "configuration_refused" in gatepost.log(), what="the configuration refused")
        assert "sitelink/overlock makes `pms_lockout`" in gatepost.log()
        assert gatepost.get("/healthz").status_code == 200
        assert gatepost.terminate() == 0


@pytest.mark.service
def test_a_worker_refuses_it(tmp_path: Path, postgres_server: Postgres) -> None:
    """`work` does not begin either: it is the one that would send. It asks no broker before."""
    url = postgres_server.database("capabilities")
    db = Database(url)
    schema.upgrade(db)
    db.close()
    file = tmp_path / "gatepost.toml"
    rest = f'[store]\nurl = "{url}"\n[queue]\nbroker = "redis://127.0.0.1:9/0"\n'
    file.write_text(CONFIG.format(api="propexo", ignores="false") + rest, "utf-8")
    done = run("--config", str(file), "work", cwd=tmp_path)
    assert done.returncode == 2, done.stderr.decode()
    assert "sitelink/overlock makes `pms_lockout`" in done.stderr.decode()


def test_a_broken_file_of_ones_own_is_told_with_its_place(tmp_path: Path) -> None:
    """A configuration whose API file is broken is refused with file, line, column and the nearest word."""
    (tmp_path / "harbor.yaml").write_text("api: harbor\nanswer: {}\ncalls: {}\n", "utf-8")
    file = tmp_path / "gatepost.toml"
    file.write_text(CONFIG.format(api="./harbor.yaml", ignores="false"), "utf-8")
    done = run("--config", str(file), "config", "check", cwd=tmp_path)
    assert done.returncode == 2
    assert "harbor.yaml:2:1: unknown key `answer` in a destination (did you mean `answers`?)" in done.stderr.decode()


def test_destination_files_are_no_packs() -> None:
    """What lies in rules/destinations is never read as a pack."""
    assert load_api("propexo").name not in load_rules([SHIPPED_RULES]).packs
    with pytest.raises(RuleErrors):
        load_rules([SHIPPED_RULES / "destinations"])
