"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "bodies",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bodies")),
    )
    op.create_table(
        "body_chunks",
        sa.Column("body_id", sa.String(length=32), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("body_id", "n", name=op.f("pk_body_chunks")),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("crm_unit_id", sa.String(length=255), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("writes", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("base", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("key", name=op.f("uq_calls_key")),
    )
    op.create_index(op.f("ix_calls_base"), "calls", ["base"], unique=False)
    op.create_index(
        op.f("ix_calls_destination_crm_unit_id_state"), "calls", ["destination", "crm_unit_id", "state"], unique=False
    )
    op.create_table(
        "lanes",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("crm_unit_id", sa.String(length=255), nullable=False),
        sa.Column("company", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=255), nullable=False),
        sa.Column("location", sa.String(length=255), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("rung_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_by", sa.String(length=128), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "crm_unit_id", name=op.f("pk_lanes")),
    )
    op.create_index(op.f("ix_lanes_due_at"), "lanes", ["due_at"], unique=False)
    op.create_table(
        "local_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("company", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_keys")),
        sa.UniqueConstraint("company", "key", name=op.f("uq_local_keys_company_key")),
    )
    op.create_index(op.f("ix_local_keys_expires_at"), "local_keys", ["expires_at"], unique=False)
    op.create_table(
        "local_locations",
        sa.Column("company", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("threshold_cents", sa.BigInteger(), nullable=True),
        sa.Column("pull_mode", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("company", "code", name=op.f("pk_local_locations")),
    )
    op.create_table(
        "local_units",
        sa.Column("company", sa.String(length=64), nullable=False),
        sa.Column("crm_unit_id", sa.String(length=255), nullable=False),
        sa.Column("unit_id", sa.String(length=26), nullable=False),
        sa.Column("unit_name", sa.String(length=255), nullable=False),
        sa.Column("pms_location_code", sa.String(length=255), nullable=False),
        sa.Column("occupied", sa.Boolean(), nullable=False),
        sa.Column("pms_tenant_id", sa.String(length=255), nullable=True),
        sa.Column("ledger_id", sa.String(length=255), nullable=True),
        sa.Column("move_in_date", sa.String(length=10), nullable=True),
        sa.Column("balance_due_cents", sa.BigInteger(), nullable=False),
        sa.Column("paid_through_date", sa.String(length=10), nullable=True),
        sa.Column("pms_lockout", sa.Boolean(), nullable=False),
        sa.Column("pms_lock_exempt", sa.Boolean(), nullable=False),
        sa.Column("pms_auction", sa.Boolean(), nullable=False),
        sa.Column("pms_unrentable", sa.Boolean(), nullable=False),
        sa.Column("pms_status_raw", sa.String(length=255), nullable=True),
        sa.Column("lock_ids", sa.Text(), nullable=False),
        sa.Column("last_accessed_at", sa.BigInteger(), nullable=True),
        sa.Column("pull_mode", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("company", "crm_unit_id", name=op.f("pk_local_units")),
        sa.UniqueConstraint("unit_id", name=op.f("uq_local_units_unit_id")),
    )
    op.create_index(
        op.f("ix_local_units_company_pms_location_code"), "local_units", ["company", "pms_location_code"], unique=False
    )
    op.create_table(
        "pauses",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_pauses")),
    )
    op.create_table(
        "rule_sets",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rule_sets")),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_attempts_call_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_call_id"), "attempts", ["call_id"], unique=False)
    op.create_table(
        "mails",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("body_id", sa.String(length=32), nullable=False),
        sa.Column("mailbox", sa.String(length=320), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("pack", sa.String(length=64), nullable=True),
        sa.Column("rule", sa.String(length=160), nullable=True),
        sa.Column("rule_set", sa.String(length=32), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("from_address", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("mailed_at", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("parsed_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("rung_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["body_id"], ["bodies.id"], name=op.f("fk_mails_body_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
    )
    op.create_index(op.f("ix_mails_body_id"), "mails", ["body_id"], unique=False)
    op.create_index(op.f("ix_mails_digest"), "mails", ["digest"], unique=False)
    op.create_index(op.f("ix_mails_due_at"), "mails", ["due_at"], unique=False)
    op.create_index(op.f("ix_mails_received_at"), "mails", ["received_at"], unique=False)
    op.create_index(op.f("ix_mails_state"), "mails", ["state"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("mail_id", sa.String(length=40), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("company", sa.String(length=64), nullable=False),
        sa.Column("mailbox", sa.String(length=320), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("crm_unit_id", sa.String(length=255), nullable=False),
        sa.Column("unit", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("mailed_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("expect", sa.Text(), nullable=False),
        sa.Column("on_date", sa.String(length=10), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=160), nullable=False),
        sa.Column("rule_set", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["mail_id"], ["mails.id"], name=op.f("fk_events_mail_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("company", "identity", "fingerprint", name=op.f("uq_events_company_identity_fingerprint")),
    )
    op.create_index(op.f("ix_events_destination_crm_unit_id"), "events", ["destination", "crm_unit_id"], unique=False)
    op.create_index(op.f("ix_events_mail_id"), "events", ["mail_id"], unique=False)
    op.create_index(op.f("ix_events_state"), "events", ["state"], unique=False)
    op.create_table(
        "readings",
        sa.Column("mail_id", sa.String(length=40), nullable=False),
        sa.Column("reading", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mail_id"], ["mails.id"], name=op.f("fk_readings_mail_id")),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_readings")),
    )


def downgrade() -> None:
    op.drop_table("readings")
    op.drop_index(op.f("ix_events_state"), table_name="events")
    op.drop_index(op.f("ix_events_mail_id"), table_name="events")
    op.drop_index(op.f("ix_events_destination_crm_unit_id"), table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_mails_state"), table_name="mails")
    op.drop_index(op.f("ix_mails_received_at"), table_name="mails")
    op.drop_index(op.f("ix_mails_due_at"), table_name="mails")
    op.drop_index(op.f("ix_mails_digest"), table_name="mails")
    op.drop_index(op.f("ix_mails_body_id"), table_name="mails")
    op.drop_table("mails")
    op.drop_index(op.f("ix_attempts_call_id"), table_name="attempts")
    op.drop_table("attempts")
    op.drop_table("rule_sets")
    op.drop_table("pauses")
    op.drop_index(op.f("ix_local_units_company_pms_location_code"), table_name="local_units")
    op.drop_table("local_units")
    op.drop_table("local_locations")
    op.drop_index(op.f("ix_local_keys_expires_at"), table_name="local_keys")
    op.drop_table("local_keys")
    op.drop_index(op.f("ix_lanes_due_at"), table_name="lanes")
    op.drop_table("lanes")
    op.drop_index(op.f("ix_calls_destination_crm_unit_id_state"), table_name="calls")
    op.drop_index(op.f("ix_calls_base"), table_name="calls")
    op.drop_table("calls")
    op.drop_table("body_chunks")
    op.drop_table("bodies")
    op.drop_table("audit")
