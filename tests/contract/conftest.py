"""The units under test, and a real server before them."""

import os
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from tests.contract.ways import TOKEN, ByDestination, ByHttp, Clock, Switch, Units, serve
from worker.destinations.kiss import KissDestination
from worker.destinations.local import LocalDestination
from worker.store.database import Database
from worker.store.tables import metadata
from worker.units.store import LocalUnits
from worker.units.tables import local_keys, local_locations, local_units

TABLES = [local_units, local_locations, local_keys]


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Switch, str]]:
    """A real server on a free loopback port, and its base URL."""
    switch = Switch()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = uvicorn.Config(switch, log_config=None, lifespan="off", ws="none", access_log=False)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield switch, f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2"
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The database, with the tables of the units: SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('units')}/units.db"
    else:
        url = request.getfixturevalue("postgres_server").database(f"contract{os.getpid()}")
    database = Database(url)
    metadata.drop_all(database.engine, tables=TABLES)
    metadata.create_all(database.engine, tables=TABLES)
    yield database
    metadata.drop_all(database.engine, tables=TABLES)
    database.close()


@pytest.fixture(autouse=True)
def _on_both_databases(opened: Database) -> None:
    """Every test of the contract runs on both databases, whichever way it asks."""


@pytest.fixture
def db(opened: Database) -> Iterator[Database]:
    """The database, empty again after the test."""
    yield opened
    with opened.write() as connection:
        for table in TABLES:
            connection.execute(table.delete())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(db: Database, clock: Clock) -> LocalUnits:
    return LocalUnits(db, clock=clock)


@pytest.fixture
def listening(server: tuple[Switch, str], store: LocalUnits, clock: Clock) -> str:
    """The base URL of a server that serves ``store`` without a rate limit."""
    serve(server, store, clock)
    return server[1]


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def by_http(client: httpx.Client, listening: str) -> ByHttp:
    return ByHttp(client, listening)


@pytest.fixture
def by_kiss(listening: str, clock: Clock) -> Iterator[ByDestination]:
    destination = KissDestination(name="kiss", base_url=listening, token=TOKEN, clock=clock, timeout_s=30)
    yield ByDestination(destination)
    destination.close()


@pytest.fixture
def in_process(store: LocalUnits, clock: Clock) -> ByDestination:
    return ByDestination(LocalDestination(name="local", units=store, clock=clock))


@pytest.fixture(params=["in_process", "by_http", "by_kiss"])
def units(request: pytest.FixtureRequest) -> Units:
    return Units(request.getfixturevalue(request.param))
