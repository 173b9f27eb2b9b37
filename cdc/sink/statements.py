"""The CQL text of a route: how its rows are written and removed. Pure."""

from __future__ import annotations

from cdc.mapping import Route

VISIBLE = "visible_us"


def insert(route: Route, keyspace: str) -> str:
    """INSERT of all columns in the route's order, then the write timestamp.

    A column that is written later (`visible_us`) is left out.
    """
    names = [each.name for each in route.columns if each.name != VISIBLE]
    marks = ", ".join("?" * len(names))
    return (
        f"INSERT INTO {keyspace}.{route.table} ({', '.join(names)}) "  # noqa: S608 - names of cdc.routes
        f"VALUES ({marks}) USING TIMESTAMP ?"
    )


def delete(route: Route, keyspace: str) -> str:
    """DELETE of one row: the write timestamp, then the key."""
    where = " AND ".join(f"{name} = ?" for name in route.key)
    return f"DELETE FROM {keyspace}.{route.table} USING TIMESTAMP ? WHERE {where}"  # noqa: S608 - names of cdc.routes


def mark_visible(route: Route, keyspace: str) -> str:
    """The key, `visible_us`, then the write timestamp of the row that became visible."""
    names = (*route.key, VISIBLE)
    marks = ", ".join("?" * len(names))
    return (
        f"INSERT INTO {keyspace}.{route.table} ({', '.join(names)}) "  # noqa: S608 - names of cdc.routes
        f"VALUES ({marks}) USING TIMESTAMP ?"
    )
