"""The routes' statements, prepared in Cassandra and checked against what we are going to send.

We pack values ourselves, so a column of another type would take our bytes for its own: the types
that Cassandra answers are compared before the first write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cassandra import InvalidRequest
from cassandra.cluster import Session

from cdc.errors import SchemaMismatch
from cdc.mapping import Route, Via
from cdc.routes import ROUTES
from cdc.sink import statements
from cdc.sink.packed_batch import prefix
from cdc.sink.router import Heads


@dataclass(frozen=True)
class Prepared:
    """{target table: heads} of every route.

    Hold on to `statements`: the driver knows them weakly, and only what it knows can it prepare
    again when Cassandra has forgotten it (after a change of the table, or of the node).
    """

    heads: dict[str, Heads]
    statements: list[Any]


def prepare(session: Session, keyspace: str) -> Prepared:
    """Prepare every route; SchemaMismatch names the first table that is unfit."""
    made = [(route, _statements(session, route, keyspace)) for route in ROUTES]
    return Prepared(
        heads={route.table: _heads(route, statements) for route, statements in made},
        statements=[each for _, statements in made for each in statements],
    )


def _statements(session: Session, route: Route, keyspace: str) -> list[Any]:
    """Insert, delete and, where a row is timed, the mark that it is visible."""
    timed = any(each.via is Via.SINK for each in route.columns)
    try:
        return [
            session.prepare(make(route, keyspace))
            for make in (statements.insert, statements.delete, statements.mark_visible)
            if timed or make is not statements.mark_visible
        ]
    except InvalidRequest as error:
        raise SchemaMismatch(f"{route.table}: {error}; run `tidemark migrate`") from error


def _heads(route: Route, made: list[Any]) -> Heads:
    types = {each.name: each.cql for each in route.columns}
    return Heads(*(_checked(route.table, each, types) for each in made))


def _checked(table: str, prepared: Any, types: dict[str, str]) -> bytes:
    """The statement's head, once its columns are of the types that we pack."""
    for column in prepared.column_metadata:
        expected = types.get(column.name, "bigint")  # the write timestamp is called [timestamp]
        actual = {"varchar": "text"}.get(column.type.typename, column.type.typename)
        if actual != expected:
            raise SchemaMismatch(
                f"{table}.{column.name} is {actual} in Cassandra, but {expected} in cdc/routes.py"
            )
    return prefix(prepared, len(prepared.column_metadata))
