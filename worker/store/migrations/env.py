"""Run migrations on the connection that ``worker/store/schema.py`` hands in."""

from alembic import context

import worker.units.tables  # noqa: F401  its tables are part of the schema
from worker.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
