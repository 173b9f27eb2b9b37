"""INSERT statements, derived from the tables, and the two ways in which rows travel to them.

Measured for rows like trades, client and server on two cores: one JSON parameter, unpacked by
json_to_recordset, costs the client 2 µs a row and nothing to set up; VALUES lists cost 19 µs; COPY
into a temporary table is as cheap and, from some thousand rows on, up to twice as fast. So batches
travel as JSON, bulk loads by COPY (`ingest.bulk`).

Append-only tables say DO NOTHING. A table with `as_of` beside its key is upserted: never backwards,
and not at all where nothing but `as_of` changes; a closed candle beats an open one, and a gap loses
none of its range (`ingest.gap_rows`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    ColumnElement,
    FromClause,
    String,
    Table,
    bindparam,
    column,
    func,
    select,
    tuple_,
)
from sqlalchemy import table as table_of
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Insert, insert

from ingest import gap_rows
from ingest.tables import gaps, metadata

LINES = 500  # of a part of a COPY
OURS = "ingested_at"  # the database's own clock
_NEEDS_QUOTES = re.compile(r'[\x00-\x1f",\[\]\\]|^null$')
_encoder = msgspec.json.Encoder()


@cache
def from_json(table_name: str) -> str:
    """Statement whose parameter `rows` is a JSON array of objects with the table's columns."""
    table = metadata.tables[table_name]
    source = (
        func.json_to_recordset(bindparam("rows"))
        .table_valued(*(column(name, table.c[name].type) for name in columns(table)))
        .render_derived(name="fresh", with_types=True)
    )
    return _sql(_insertion(table, source))


@cache
def from_stage(table_name: str) -> str:
    """Statement that moves the rows of the staging table in."""
    table = metadata.tables[table_name]
    source = table_of(stage(table_name), *(column(name) for name in columns(table)))
    return _sql(_insertion(table, source))


@cache
def merge_stage(table_name: str) -> str:
    """As `from_stage`, of an upserted table, in less work: it locks no row that stays as it is.

    But it raises where somebody else inserts one of the keys at the same time. A row after the
    other looks for its key by the index: in their order, and whatever the planner knows of a
    temporary table.
    """
    table = metadata.tables[table_name]
    names, key, old, new = columns(table), _key(table), table_name, stage(table_name)
    fresh = table_of(new, *(column(name) for name in names))
    changes = ", ".join(f'"{name}" = {new}."{name}"' for name in names if name not in key)
    return f"""
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
MERGE INTO {old} USING {new}
ON {" AND ".join(f'{old}."{name}" = {new}."{name}"' for name in key)}
WHEN MATCHED AND {_sql(_supersedes(fresh.c, table))} THEN
    UPDATE SET {changes}, {OURS} = DEFAULT
WHEN NOT MATCHED THEN
    INSERT ({_quoted(table)}) VALUES ({", ".join(f'{new}."{name}"' for name in names)})
"""  # noqa: S608 - names of our own tables


@cache
def is_upserted(table_name: str) -> bool:
    """Whether a row may take the place of one with its key; else the first one stays."""
    table = metadata.tables[table_name]
    return "as_of" in columns(table) and "as_of" not in _key(table)


@cache
def telling(table_name: str) -> str:
    """As `from_json`, for `prices` and `coin_markets`: returns each row that it really stored.

    With the names by which the source calls coin and currency, None where it has listed none yet.
    """
    return f"WITH stored AS ({from_json(table_name)} RETURNING *) {_TOLD[table_name]}"


_TOLD = {
    "prices": """
SELECT stored.venue, stored.symbol, observed_at AS ts_event, stored.ingested_at, price,
       base_asset AS coin_id, quote_asset AS vs_currency
FROM stored LEFT JOIN instruments USING (venue, symbol)
""",
    "coin_markets": """
SELECT venue, symbol, ts_event, ingested_at, price, coin_id, vs_currency, name,
       market_cap, market_cap_rank, total_volume, price_change_percent_24h
FROM stored
""",
}


def stage(table_name: str) -> str:
    """Name of a table's temporary twin."""
    return f"stage_{table_name}"


@cache
def make_stage(table_name: str) -> str:
    """Statement that makes the twin; it is empty at the start of each transaction."""
    names = _quoted(metadata.tables[table_name])
    shape = f"SELECT {names} FROM {table_name} WITH NO DATA"  # noqa: S608 - names of our own tables
    return (
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage(table_name)} ON COMMIT DELETE ROWS AS {shape}"
    )


@cache
def copy_into(target: str, table_name: str) -> str:
    """COPY statement for `as_csv`, into the table or its twin: JSON's own quoting, read as CSV."""
    names = _quoted(metadata.tables[table_name])
    return (
        f"COPY {target} ({names}) FROM STDIN "
        "WITH (FORMAT csv, QUOTE '\"', ESCAPE '\\', NULL 'null')"
    )


def as_json(rows: Sequence[msgspec.Struct]) -> str:
    """The parameter of `from_json`; decimals are strings, times RFC 3339."""
    return _encoder.encode(rows).decode()


def as_csv(table_name: str, rows: Sequence[msgspec.Struct]) -> Iterator[bytes]:
    """Rows as lines for COPY, some hundreds at a time, so that the server reads while we write.

    A JSON array without its brackets is a line of CSV whose escape character is the backslash, as
    long as no text holds a control character (`ingest.admission`), and C code writes it. Where no
    value needs its quotes they stay away: a sixth of what the server would have to read.
    """
    table = metadata.tables[table_name]
    values_of = attrgetter(*columns(table))
    plain = _needs_no_quotes(table, rows)
    for start in range(0, len(rows), LINES):
        lines = _encoder.encode_lines([values_of(row) for row in rows[start : start + LINES]])
        if plain:
            yield lines.translate(None, b'["]')
        else:
            yield lines[1:-2].replace(b"]\n[", b"\n") + b"\n"


def _needs_no_quotes(table: Table, rows: Sequence[msgspec.Struct]) -> bool:
    """Whether quotes, brackets and commas are JSON's own, and no text says null."""
    kinds = {name: table.c[name].type for name in columns(table)}
    if any(isinstance(kind, JSON) for kind in kinds.values()):
        return False
    texts = [name for name, kind in kinds.items() if isinstance(kind, String)]
    different = {text for name in texts for text in set(map(attrgetter(name), rows))}
    return not any(map(_NEEDS_QUOTES.search, different))


def columns(table: Table) -> list[str]:
    """The columns that a row brings with it, in the table's order."""
    return [each.name for each in table.columns if each.name != OURS]


def _insertion(table: Table, source: FromClause) -> Insert:
    names, key = columns(table), _key(table)
    # in the order of the key, so that two writers of the same rows cannot deadlock
    rows = select(*(source.c[name] for name in names)).order_by(*(source.c[name] for name in key))
    statement = insert(table).from_select(names, rows, include_defaults=False)
    if not is_upserted(table.name):
        return statement.on_conflict_do_nothing(index_elements=key)
    new = statement.excluded
    replaced = [name for name in (*names, OURS) if name not in key]
    return statement.on_conflict_do_update(
        index_elements=key,
        set_={name: new[name] for name in replaced},
        where=_supersedes(new, table),
    )


def _supersedes(new: Any, table: Table) -> ColumnElement[bool]:
    """Whether a new row takes the place of the table's row with the same key."""
    names, key = columns(table), _key(table)
    said = [name for name in names if name not in {*key, "as_of"}]
    differs = _tuple(table.c, said).is_distinct_from(_tuple(new, said))
    if table is gaps:
        return gap_rows.replaces(table.c, new) & differs
    precedence = [name for name in ("is_closed", "as_of") if name in names]
    return (_tuple(new, precedence) >= _tuple(table.c, precedence)) & differs


def _key(table: Table) -> list[str]:
    return [each.name for each in table.primary_key]


def _tuple(columns_by_name: Any, names: Sequence[str]) -> ColumnElement[Any]:
    return tuple_(*(columns_by_name[name] for name in names))


def _sql(statement: Insert | ColumnElement[bool]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy gives it no types
    return str(statement.compile(dialect=dialect))


def _quoted(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in columns(table))
