"""Guards, undo, replay, reconciling, issues, webhooks: what applying in depth needs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gates",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("next_slot_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("shut_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_gates")),
    )
    op.create_table(
        "hook_deliveries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook_deliveries")),
    )
    op.create_index(op.f("ix_hook_deliveries_due_at"), "hook_deliveries", ["due_at"], unique=False)
    op.create_table(
        "issues",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=160), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issues")),
        sa.UniqueConstraint("key", name=op.f("uq_issues_key")),
    )
    op.create_index(op.f("ix_issues_state"), "issues", ["state"], unique=False)
    op.create_table(
        "reconciles",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("mailbox", sa.String(length=320), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciles")),
    )
    op.create_table(
        "replays",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("layer", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )
    op.create_index(op.f("ix_replays_due_at"), "replays", ["due_at"], unique=False)
    op.create_table(
        "bulk_items",
        sa.Column("call_id", sa.BigInteger(), nullable=False),
        sa.Column("crm_unit_id", sa.String(length=255), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("writes", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_bulk_items_call_id")),
        sa.PrimaryKeyConstraint("call_id", "crm_unit_id", name=op.f("pk_bulk_items")),
    )
    op.create_index(
        op.f("ix_bulk_items_destination_crm_unit_id"), "bulk_items", ["destination", "crm_unit_id"], unique=False
    )
    op.create_table(
        "replay_items",
        sa.Column("replay_id", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("mail_id", sa.String(length=40), nullable=True),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["replay_id"], ["replays.id"], name=op.f("fk_replay_items_replay_id")),
        sa.PrimaryKeyConstraint("replay_id", "n", name=op.f("pk_replay_items")),
    )
    op.create_table(
        "past_readings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("mail_id", sa.String(length=40), nullable=False),
        sa.Column("replaced_at", sa.BigInteger(), nullable=False),
        sa.Column("reading", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mail_id"], ["mails.id"], name=op.f("fk_past_readings_mail_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_readings")),
    )
    op.create_index(op.f("ix_past_readings_mail_id"), "past_readings", ["mail_id"], unique=False)
    op.create_table(
        "event_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("was", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("was_reason", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_event_log_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
    )
    op.create_index(op.f("ix_event_log_event_id"), "event_log", ["event_id"], unique=False)
    op.add_column("attempts", sa.Column("asked", sa.Text(), nullable=True))
    op.add_column("calls", sa.Column("job", sa.String(length=255), nullable=True))
    op.add_column("calls", sa.Column("created", sa.Integer(), server_default="0", nullable=False))
    op.add_column("events", sa.Column("tenant_id", sa.String(length=255), nullable=True))
    op.add_column("events", sa.Column("ledger_id", sa.String(length=255), nullable=True))
    op.add_column("events", sa.Column("after_id", sa.BigInteger(), nullable=True))
    op.add_column("events", sa.Column("author", sa.String(length=128), nullable=True))
    op.add_column("events", sa.Column("released_by", sa.Text(), nullable=True))
    op.add_column("events", sa.Column("columns", sa.Text(), server_default="{}", nullable=False))
    op.add_column("events", sa.Column("issue_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_events_after_id"), "events", ["after_id"], unique=False)
    op.create_index(op.f("ix_events_company_ledger_id"), "events", ["company", "ledger_id"], unique=False)
    op.create_index(op.f("ix_events_company_tenant_id"), "events", ["company", "tenant_id"], unique=False)
    op.create_index(op.f("ix_events_issue_id"), "events", ["issue_id"], unique=False)
    op.create_index(op.f("ix_events_mailbox_created_at"), "events", ["mailbox", "created_at"], unique=False)
    op.add_column("lanes", sa.Column("origin", sa.Text(), server_default="{}", nullable=False))
    op.add_column("lanes", sa.Column("priority", sa.Integer(), server_default="2", nullable=False))
    op.add_column("lanes", sa.Column("columns", sa.Text(), server_default="{}", nullable=False))
    op.create_index(
        op.f("ix_lanes_destination_priority_due_at"), "lanes", ["destination", "priority", "due_at"], unique=False
    )
    op.add_column("mails", sa.Column("purged_at", sa.BigInteger(), nullable=True))
    op.add_column("mails", sa.Column("issue_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_mails_issue_id"), "mails", ["issue_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_mails_issue_id"), table_name="mails")
    op.drop_column("mails", "issue_id")
    op.drop_column("mails", "purged_at")
    op.drop_index(op.f("ix_lanes_destination_priority_due_at"), table_name="lanes")
    op.drop_column("lanes", "columns")
    op.drop_column("lanes", "priority")
    op.drop_column("lanes", "origin")
    op.drop_index(op.f("ix_events_mailbox_created_at"), table_name="events")
    op.drop_index(op.f("ix_events_issue_id"), table_name="events")
    op.drop_index(op.f("ix_events_company_tenant_id"), table_name="events")
    op.drop_index(op.f("ix_events_company_ledger_id"), table_name="events")
    op.drop_index(op.f("ix_events_after_id"), table_name="events")
    op.drop_column("events", "issue_id")
    op.drop_column("events", "columns")
    op.drop_column("events", "released_by")
    op.drop_column("events", "author")
    op.drop_column("events", "after_id")
    op.drop_column("events", "ledger_id")
    op.drop_column("events", "tenant_id")
    op.drop_column("calls", "created")
    op.drop_column("calls", "job")
    op.drop_column("attempts", "asked")
    op.drop_index(op.f("ix_event_log_event_id"), table_name="event_log")
    op.drop_table("event_log")
    op.drop_index(op.f("ix_past_readings_mail_id"), table_name="past_readings")
    op.drop_table("past_readings")
    op.drop_table("replay_items")
    op.drop_index(op.f("ix_bulk_items_destination_crm_unit_id"), table_name="bulk_items")
    op.drop_table("bulk_items")
    op.drop_index(op.f("ix_replays_due_at"), table_name="replays")
    op.drop_table("replays")
    op.drop_table("reconciles")
    op.drop_index(op.f("ix_issues_state"), table_name="issues")
    op.drop_table("issues")
    op.drop_index(op.f("ix_hook_deliveries_due_at"), table_name="hook_deliveries")
    op.drop_table("hook_deliveries")
    op.drop_table("gates")
