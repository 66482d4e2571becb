"""A database of its own for every test of the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.store.database import Database
from worker.store.tables import metadata


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with all tables."""
    database = Database(f"sqlite:///{tmp_path}/store.db")
    metadata.create_all(database.engine)
    yield database
    database.close()
