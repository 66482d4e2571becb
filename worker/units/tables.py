"""The tables of the local units, on the store's own metadata.

Money is kept in cents: SQLite has no exact decimals. Everything is a company's own, so two companies may use one
unit id or one idempotency key.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from worker.store.tables import BigId, metadata
from worker.store.types import Instant, Json

local_units = Table(
    "local_units",
    metadata,
    Column("company", String(64), primary_key=True),
    Column("crm_unit_id", String(255), primary_key=True),
    Column("unit_id", String(26), nullable=False, unique=True),
    Column("unit_name", String(255), nullable=False),
    Column("pms_location_code", String(255), nullable=False),
    Column("occupied", Boolean, nullable=False),
    Column("pms_tenant_id", String(255)),
    Column("ledger_id", String(255)),
    Column("move_in_date", String(10)),
    Column("balance_due_cents", BigInteger, nullable=False),
    Column("paid_through_date", String(10)),
    Column("pms_lockout", Boolean, nullable=False),
    Column("pms_lock_exempt", Boolean, nullable=False),
    Column("pms_auction", Boolean, nullable=False),
    Column("pms_unrentable", Boolean, nullable=False),
    Column("pms_status_raw", String(255)),
    Column("lock_ids", Json, nullable=False),
    Column("last_accessed_at", Instant),
    Column("pull_mode", Boolean, nullable=False),  # managed by a pull-mode integration: writes get 409
    Column("updated_at", Instant, nullable=False),
    Index(None, "company", "pms_location_code"),
)

local_locations = Table(
    "local_locations",
    metadata,
    Column("company", String(64), primary_key=True),
    Column("code", String(255), primary_key=True),
    Column("timezone", String(64), nullable=False),
    Column("threshold_cents", BigInteger),  # null: a balance alone denies nobody
    Column("pull_mode", Boolean, nullable=False),
)

local_keys = Table(
    "local_keys",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("company", String(64), nullable=False),
    Column("key", String(255), nullable=False),
    Column("digest", String(64), nullable=False),  # of method, path and body
    Column("status", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    UniqueConstraint("company", "key"),
)
"""What was answered under each idempotency key, for 24 hours."""
