"""The Procfile's processes on real Redis and PostgreSQL: a mail reaches its unit, whatever is killed on the way."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client
import sqlalchemy as sa

from tests.rigs import procfile, services
from tests.rigs.gatepost import demo_mail, run
from tests.rigs.kiss import TOKEN, served
from tests.rigs.services import wait_until
from worker.runtime import utc_now
from worker.standins.faults import Faults
from worker.store.database import Database
from worker.store.tables import mails

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("processes")]
UNIT = "SITELINK-B204"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[procfile.Processes, services.Redis]]:
    """The Procfile under honcho, once for this module."""
    if os.environ.get("CI") != "true":
        try:
            services.Postgres().remove()
        except services.Missing as error:
            pytest.skip(f"{error} is missing: `make deps` installs it")
    with procfile.running(tmp_path_factory.mktemp("procfile")) as found:
        yield found


def mail_for(number: int) -> bytes:
    """Return a move-in of its own unit and tenant."""
    return demo_mail("01").replace(b"B204", b"P%03d" % number).replace(b"T-5001", b"T-%d" % number)


def arrived(processes: procfile.Processes, *numbers: int) -> bool:
    """Say whether the units of these mails are occupied by their tenants."""
    units = [processes.unit(f"SITELINK-P{number:03}") for number in numbers]
    return all(unit and unit["pms_tenant_id"] == f"T-{number}" for unit, number in zip(units, numbers, strict=True))


def test_a_mail_reaches_its_unit(running: tuple[procfile.Processes, services.Redis]) -> None:
    """Receiver, Redis, prefork worker, PostgreSQL and web: a mail becomes a tenancy."""
    processes, _ = running
    processes.send(mail_for(1))
    wait_until(lambda: arrived(processes, 1), what="the unit being occupied")
    assert processes.get("/readyz").json()["ready"] is True
    assert "Traceback" not in processes.log()


def test_a_flushed_queue_loses_nothing(running: tuple[procfile.Processes, services.Redis]) -> None:
    """FLUSHALL while mails are under way: the sweeper rings again."""
    processes, redis = running
    client = redis_client.Redis.from_url(redis.url)
    for number in range(10, 20):
        processes.send(mail_for(number))
        client.flushall()
    client.close()
    wait_until(lambda: arrived(processes, *range(10, 20)), what="all units being occupied")


def test_mail_is_taken_while_redis_is_down(running: tuple[procfile.Processes, services.Redis]) -> None:
    """Redis is killed: mail is still answered 250, `readyz` says so, and all is applied once Redis is back."""
    processes, redis = running
    redis.kill()
    for number in range(30, 35):
        processes.send(mail_for(number))
    ready = processes.get("/readyz")
    assert (ready.status_code, ready.json()["broker"]) == (503, "cannot be reached")
    redis.start()
    wait_until(lambda: arrived(processes, *range(30, 35)), seconds=60, what="all units being occupied")


def test_a_killed_pool_child_loses_nothing(running: tuple[procfile.Processes, services.Redis]) -> None:
    """SIGKILL of the worker's children in the middle of their work: every event takes effect once."""
    processes, _ = running
    for number in range(40, 60):
        processes.send(mail_for(number))
        if number % 5 == 0:
            for pid in _pool_children(processes):
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: arrived(processes, *range(40, 60)), seconds=90, what="all units being occupied")
    processes.settle()
    for number in range(40, 60):
        (unit,) = processes.cli("why", f"SITELINK-P{number:03}")
        done = [call for fact in unit["facts"] if (call := fact["from"]["call"])]
        assert {call["generation"] for call in done} == {0}
    assert processes.cli("db", "check")["faults"] == []


def test_a_pause_holds_for_every_process_at_once(running: tuple[procfile.Processes, services.Redis]) -> None:
    """What comes after a destination was paused is read and not sent, by any process, until it is resumed."""
    processes, _ = running
    numbers = range(60, 68)
    processes.cli("pause", "destination", "local", "--reason", "a look first", "--go")
    sent = [processes.send(mail_for(number)) for number in numbers]
    wait_until(lambda: states_of(processes.store, sent) == {"parsed"}, what="the mails being read")
    waiting = processes.cli("events", "list", "state:waiting")
    assert {event["mail"] for event in waiting} == set(sent)
    assert not any(arrived(processes, number) for number in numbers)
    (paused,) = processes.cli("pause")
    assert (paused["kind"], paused["name"], paused["reason"], paused["until"]) == (
        *("destination", "local"),
        *("a look first", None),
    )
    processes.cli("resume", "destination", "local", "--go")
    wait_until(lambda: arrived(processes, *numbers), what="all units being occupied")
    assert processes.cli("pause") == []


def test_children_end_with_their_parent(tmp_path: Path, postgres_server: services.Postgres) -> None:
    """A worker whose parent is killed leaves no child behind."""
    with services.redis() as redis:
        url = postgres_server.database(f"orphans{os.getpid()}")
        with procfile.Processes(tmp_path, store=url, broker=redis.url) as processes:
            wait_until(lambda: len(_pool_children(processes)) == 2, what="the pool")
            children = _pool_children(processes)
            os.kill(_worker(processes), signal.SIGKILL)
            wait_until(lambda: not any(_alive(pid) for pid in children), what="the children ending")


MAILBOX = """
[[mailbox]]
address = "{}@in.test"
location = "SITELINK"
pms = ["sitelink"]
trust = [{{network = "127.0.0.0/8"}}]
"""


def test_every_process_reads_the_configuration_again(tmp_path: Path, postgres_server: services.Postgres) -> None:
    """SIGHUP: mail for a new mailbox is read by children that had work before; a bad file changes nothing."""
    with services.redis() as redis:
        url = postgres_server.database(f"again{os.getpid()}")
        with procfile.Processes(tmp_path, store=url, broker=redis.url, more=MAILBOX.format("one")) as processes:
            good = processes.config.read_text("utf-8")

            def read(*numbers: int, to: str) -> set[str]:
                sent = [processes.send(mail_for(number), to=f"{to}@in.test") for number in numbers]
                wait_until(lambda: "new" not in states_of(url, sent), what="the mails being read")
                return states_of(url, sent)

            wait_until(lambda: processes.log().count('"child"') == 2, what="the pool having begun")
            children = _pool_children(processes)
            assert read(*range(6), to="one") == {"parsed"}
            processes.config.write_text(good + MAILBOX.format("two"), "utf-8")
            for pid in _parents(processes):
                os.kill(pid, signal.SIGHUP)
            wait_until(lambda: processes.log().count('"reloaded": true') == 4 + 2, what="all six reading it again")
            assert read(*range(10, 16), to="two") == {"parsed"}
            processes.config.write_text(good + "[nonsense]\n", "utf-8")
            os.kill(_worker(processes), signal.SIGHUP)
            wait_until(lambda: "configuration_refused" in processes.log(), what="the refusal")
            assert read(*range(20, 26), to="two") == {"parsed"}
            for pid in children:
                os.kill(pid, signal.SIGHUP)
            assert read(30, to="two") == {"parsed"}
            assert _pool_children(processes) == children, "no child was ended by it"
            assert "Traceback" not in processes.log()


def test_a_worker_whose_children_take_nothing_begins_anew(tmp_path: Path) -> None:
    """Every child stands still before a mail comes: the worker says so, ends them, and goes on as the same process."""
    with services.redis() as redis, services.postgres() as postgres:
        processes = procfile.Processes(tmp_path, store=postgres.database("gatepost"), broker=redis.url)
        text = processes.config.read_text("utf-8")
        processes.config.write_text(text.replace("[queue]\n", "[queue]\nstalled_s = 15\n"), "utf-8")
        with processes:
            processes.send(mail_for(1))
            wait_until(lambda: arrived(processes, 1), what="the unit being occupied")
            processes.settle()
            time.sleep(2)  # until the last task has ended: a child at work is not waited for by this watch
            worker, children = _worker(processes), _pool_children(processes)
            for pid in children:
                os.kill(pid, signal.SIGSTOP)
            processes.send(mail_for(2))
            wait_until(lambda: arrived(processes, 2), seconds=90, what="the unit being occupied")
            assert '"event": "stalled"' in processes.log()
            assert _worker(processes) == worker
            assert not set(children) & set(_pool_children(processes))
            assert not any(_alive(pid) for pid in children)


SLOW = """
[[mailbox]]
address = "far@in.test"
location = "SITELINK"
pms = ["sitelink"]
trust = [{{network = "127.0.0.0/8"}}]
destination = "far"
[destination.far]
kind = "kiss"
base_url = "{url}"
token_file = "{token}"
"""


def test_a_worker_whose_tasks_end_while_redis_is_away_goes_on(
    tmp_path: Path, postgres_server: services.Postgres
) -> None:
    """All that the worker may hold ends while Redis is killed: it takes further messages once Redis is back."""
    token = tmp_path / "token"
    token.write_text(TOKEN, "utf-8")
    slow = served("kiss-v2", *(f"SITELINK-P{number:03}" for number in (1, 2)), clock=utc_now, faults=Faults(delay_s=3))
    with services.redis() as redis, slow as far:
        url = postgres_server.database(f"away{os.getpid()}")
        processes = procfile.Processes(
            tmp_path / "line", store=url, broker=redis.url, more=SLOW.format(url=far.base_url, token=token)
        )
        text = processes.config.read_text("utf-8")
        processes.config.write_text(text.replace("[queue]\n", "[queue]\nconcurrency = 1\n"), "utf-8")
        with processes:
            processes.send(mail_for(1), to="far@in.test")
            wait_until(lambda: far.asked() != [], what="the call being on its way")
            redis.kill()
            wait_until(lambda: "Couldn't ack" in processes.log(), what="the task ending")
            redis.start()
            processes.send(mail_for(2), to="far@in.test")
            wait_until(lambda: far.units()["SITELINK-P002"]["occupied"], seconds=60, what="the next mail being applied")
            assert '"event": "stalled"' not in processes.log()


def test_a_child_that_is_killed_before_the_first_message_is_replaced(
    tmp_path: Path, postgres_server: services.Postgres
) -> None:
    """Redis is down when the worker starts, and one of its children is killed: it works with another one then."""
    redis = services.Redis()
    with procfile.Processes(
        tmp_path, store=postgres_server.database(f"early{os.getpid()}"), broker=redis.url
    ) as processes:
        wait_until(lambda: len(_pool_children(processes)) == 2, what="the pool")
        killed = _pool_children(processes)[0]
        os.kill(killed, signal.SIGKILL)
        redis.start()
        try:
            processes.send(mail_for(1))
            wait_until(lambda: arrived(processes, 1), seconds=60, what="the unit being occupied")
            wait_until(lambda: len(set(_pool_children(processes)) - {killed}) == 2, what="another child")
        finally:
            redis.kill()


def test_sqlite_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Processes that share nothing but a file refuse SQLite and memory://, and say what to do."""
    for command in ("receive", "work", "sweep", "serve"):
        done = run(command, cwd=tmp_path)
        assert done.returncode == 2
        assert b"PostgreSQL" in done.stderr
        assert b"gatepost up" in done.stderr


def _worker(processes: procfile.Processes) -> int:
    return next(pid for pid in processes.children() if _words(pid)[-1:] == ["work"])


def states_of(url: str, mail_ids: list[str]) -> set[str]:
    """Return the states that some mails are in."""
    database = Database(url)
    try:
        with database.read() as connection:
            return set(connection.execute(sa.select(mails.c.state).where(mails.c.id.in_(mail_ids))).scalars())
    finally:
        database.close()


def _parents(processes: procfile.Processes) -> list[int]:
    """Return the processes that the Procfile names."""
    names = ("receive", "work", "sweep", "serve")
    return [pid for pid in processes.children() if _words(pid)[-1:] and _words(pid)[-1] in names]


def _pool_children(processes: procfile.Processes) -> list[int]:
    """Return the spawned children of the worker: those that can be given tasks."""
    return [pid for pid in processes.children() if any("--billiard-fork" in word for word in _words(pid))]


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
