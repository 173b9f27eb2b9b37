"""The routes' statements, prepared in Cassandra and checked against what we are going to send.

We pack values ourselves, so a column of another type would take our bytes for its own: the types
that Cassandra answers are compared before the first write.
"""

from __future__ import annotations

from typing import Any

from cassandra import InvalidRequest
from cassandra.cluster import Session

from cdc import statements
from cdc.errors import SchemaMismatch
from cdc.mapping import Route, Via
from cdc.packed_batch import prefix
from cdc.router import Heads
from cdc.routes import ROUTES


def prepare(session: Session, keyspace: str) -> dict[str, Heads]:
    """{target table: heads} of every route; SchemaMismatch names the first table that is unfit."""
    return {route.table: _heads(session, route, keyspace) for route in ROUTES}


def _heads(session: Session, route: Route, keyspace: str) -> Heads:
    timed = any(each.via is Via.SINK for each in route.columns)
    types = {each.name: each.cql for each in route.columns}
    try:
        made = [
            session.prepare(make(route, keyspace))
            for make in (statements.insert, statements.delete, statements.mark_visible)
            if timed or make is not statements.mark_visible
        ]
    except InvalidRequest as error:
        raise SchemaMismatch(f"{route.table}: {error}; run `tidemark migrate`") from error
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
