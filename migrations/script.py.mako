"""${message}

Rules: keep rows; foreign keys are off while a migration runs; never re-create a table with large
texts (ALTER TABLE ADD/DROP COLUMN instead); views are dropped and made again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
