"""The tables that can be exported: those of the routes, by the names that Cassandra has."""

from __future__ import annotations

from types import MappingProxyType

from cdc.mapping import Column, Route, Via
from cdc.routes import ROUTES

TARGETS = MappingProxyType({route.table: route for route in ROUTES})


def choosable(route: Route) -> tuple[str, ...]:
    """Columns of the key that hold text: those by which rows can be picked."""
    return tuple(each.name for each in route.columns if each.name in route.key and _text(each))


def _text(column: Column) -> bool:
    return column.cql == "text" and column.via is Via.VALUE
