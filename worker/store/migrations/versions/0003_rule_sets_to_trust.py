"""Rule sets that are tested, rolled back and put on probation; drift of rules, flow of mails."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rule_sets", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("rule_sets", sa.Column("restores", sa.BigInteger(), nullable=True))
    op.create_table(
        "rule_versions",
        sa.Column("rule", sa.String(length=160), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_rule_versions")),
    )
    op.create_table(
        "rule_profiles",
        sa.Column("rule", sa.String(length=160), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_rule_profiles")),
    )
    op.create_table(
        "flow_days",
        sa.Column("mailbox", sa.String(length=320), nullable=False),
        sa.Column("rule", sa.String(length=160), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("mails", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", "rule", "day", name=op.f("pk_flow_days")),
    )
    op.create_table(
        "watermarks",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("mail_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watermarks")),
    )
    op.create_index(op.f("ix_mails_parsed_at"), "mails", ["parsed_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_mails_parsed_at"), table_name="mails")
    op.drop_table("watermarks")
    op.drop_table("flow_days")
    op.drop_table("rule_profiles")
    op.drop_table("rule_versions")
    op.drop_column("rule_sets", "restores")
    op.drop_column("rule_sets", "note")
