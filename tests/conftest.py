"""Fixtures that all suites share: databases of both kinds, Redis, and the laws' number of examples."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.rigs import services
from worker.store import schema
from worker.store.database import Database

IN_CI = os.environ.get("CI") == "true"
_numbers = itertools.count()

settings.register_profile(
    "gatepost",
    max_examples=int(os.environ.get("GATEPOST_TEST_EXAMPLES", "100")),
    deadline=None,
    derandomize=IN_CI,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("gatepost")


@pytest.fixture(autouse=True)
def _log_to_here() -> Iterator[None]:
    """A command that runs in this process sends the log to its own streams: not beyond its test."""
    yield
    structlog.reset_defaults()


def _missing(error: services.Missing) -> None:
    if IN_CI:
        pytest.fail(f"{error} is missing: `make deps` installs it")
    pytest.skip(f"{error} is missing: `make deps` installs it")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[services.Postgres]:
    """A PostgreSQL cluster for this session."""
    try:
        with services.postgres() as server:
            yield server
    except services.Missing as error:
        _missing(error)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: SQLite in a file, then PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: services.Postgres = request.getfixturevalue("postgres_server")
    return server.database(f"t{os.getpid()}_{next(_numbers)}")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database with all tables, on SQLite and on PostgreSQL."""
    opened = Database(database_url)
    schema.upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def redis_server() -> Iterator[services.Redis]:
    """A Redis of this test's own."""
    try:
        with services.redis() as server:
            yield server
    except services.Missing as error:
        _missing(error)
