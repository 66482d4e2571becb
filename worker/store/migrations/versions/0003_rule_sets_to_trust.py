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


def downgrade() -> None:
    op.drop_table("rule_versions")
    op.drop_column("rule_sets", "restores")
    op.drop_column("rule_sets", "note")
