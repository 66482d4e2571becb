"""The schema's version: bring a database up to date, or say plainly that it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from worker.store.database import Database, OldSchema

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(db: Database) -> str:
    """Bring the tables up to the version of this code; return that version."""
    with db.write() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return newest()


def check(db: Database) -> str:
    """Return the version of the tables.

    Raises:
        OldSchema: when it is not the version of this code, saying which command mends it.
    """
    with db.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != newest():
        raise OldSchema(
            f"the database is at version {found or 'none'}, this code needs {newest()}: gatepost db upgrade"
        )
    return newest()


def newest() -> str:
    """Return the version that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
