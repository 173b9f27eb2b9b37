"""The upsert that peers are given: it means what the product's own does, in their usual forms.

Trades: DO NOTHING. Candles: never backwards, and no write where nothing changes.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from ingest.tables import metadata
from ingest.upserts import OURS, columns, stage


def names(table: str) -> list[str]:
    """The columns that a row brings with it."""
    return columns(metadata.tables[table])


def values(table: str, source: str) -> str:
    """INSERT of a source: VALUES with marks, or SELECT."""
    return f"INSERT INTO {table} ({_list(names(table))}) {source} {_conflict(table)}"


def merge(table: str) -> str:
    """INSERT of the rows of the temporary table, in the order of the key."""
    key = _list(_key(table))
    return values(table, f"SELECT {_list(names(table))} FROM {stage(table)} ORDER BY {key}")


def numbered(table: str) -> str:
    """INSERT of one row, its values numbered from $1 on."""
    marks = ", ".join(f"${place}" for place in range(1, len(names(table)) + 1))
    return values(table, f"VALUES ({marks})")


def core(table: str) -> Any:
    """The same as a statement of SQLAlchemy, for rows as dictionaries."""
    target = metadata.tables[table]
    statement = insert(target)
    if not _upserted(table):
        return statement.on_conflict_do_nothing(index_elements=_key(table))
    return statement.on_conflict_do_update(
        index_elements=_key(table),
        set_={name: statement.excluded[name] for name in _replaced(table)},
        where=sa.text(_newer(table)),
    )


def _conflict(table: str) -> str:
    target = f"ON CONFLICT ({_list(_key(table))})"
    if not _upserted(table):
        return f"{target} DO NOTHING"
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in _replaced(table))
    return f"{target} DO UPDATE SET {changes} WHERE {_newer(table)}"


def _newer(table: str) -> str:
    said = [name for name in _replaced(table) if name not in {"as_of", OURS}]
    rank = ("is_closed", "as_of")
    return (
        f"({_list(rank, 'excluded.')}) >= ({_list(rank, f'{table}.')}) AND "
        f"({_list(said, f'{table}.')}) IS DISTINCT FROM ({_list(said, 'excluded.')})"
    )


def _upserted(table: str) -> bool:
    return "as_of" in names(table)


def _key(table: str) -> list[str]:
    return [each.name for each in metadata.tables[table].primary_key]


def _replaced(table: str) -> list[str]:
    return [name for name in (*names(table), OURS) if name not in _key(table)]


def _list(those: Any, before: str = "") -> str:
    return ", ".join(f'{before}"{name}"' for name in those)
