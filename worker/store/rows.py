"""Insert many rows as few statements, the same on SQLite and PostgreSQL.

SQLAlchemy's executemany makes SQLite take a step a row, and at each step the interpreter's lock changes hands: under
load a batch then waits for the lock far longer than for the disk.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

ROWS_AT_ONCE = 32
"""The most rows of one statement. Each number is a text of its own: few enough that the drivers keep all prepared."""


class RowInsert:
    """``INSERT`` into some columns of one table."""

    def __init__(self, table: sa.Table, columns: Sequence[str], dialect: Dialect) -> None:
        quote = dialect.identifier_preparer.quote
        mark = "?" if dialect.paramstyle == "qmark" else "%s"
        self._head = f"INSERT INTO {quote(table.name)} ({', '.join(quote(column) for column in columns)}) VALUES "
        self._row = f"({', '.join(mark for _ in columns)})"
        bind = [table.c[column].type.dialect_impl(dialect).bind_processor(dialect) for column in columns]
        self._bind = [(place, process) for place, process in enumerate(bind) if process is not None]

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose values are in the order of the columns."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            values = [value for row in some for value in self._bound(row)]
            connection.exec_driver_sql(self._head + ", ".join([self._row] * len(some)), tuple(values))

    def _bound(self, row: tuple[Any, ...]) -> list[Any]:
        values = list(row)
        for place, process in self._bind:
            values[place] = process(values[place])
        return values
