"""What the survey has counted a mail as, so that one that is read again counts once."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mails", sa.Column("surveyed", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("mails", "surveyed")
