"""Grafana's transformations, as far as panels use them: what happens to rows in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, MatcherConfig


def merge() -> DataTransformerConfig:
    """The rows of all queries as one table.

    Rows that agree in every column that all queries have become one: two pages of a tape are put
    one below the other, tables that share nothing but `symbol` side by side. Grafana's own join
    compares each row with each other one, and adds the frame's name to each column's.
    """
    return DataTransformerConfig("merge", options={})


def sort(field: str, *, descending: bool = False) -> DataTransformerConfig:
    """The rows in the order of a column."""
    return DataTransformerConfig(
        "sortBy", options={"fields": {}, "sort": [{"field": field, "desc": descending}]}
    )


def limit(rows: int) -> DataTransformerConfig:
    """The first rows."""
    return DataTransformerConfig("limit", options={"limitField": rows})


def keep(field: str, matcher: str, value: object, *, of: str = "") -> DataTransformerConfig:
    """Rows whose value matches: equal, greater, lower …; `of` is the letter of one query."""
    return DataTransformerConfig(
        "filterByValue",
        filter_val=MatcherConfig("byRefId", of) if of else None,
        options={
            "filters": [{"fieldName": field, "config": _matcher(matcher, value)}],
            "match": "all",
            "type": "include",
        },
    )


def _matcher(matcher: str, value: object) -> dict[str, object]:
    return {"id": matcher, "options": {"value": value}}


def columns(
    order: Sequence[str] = (),
    *,
    without: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> DataTransformerConfig:
    """Which columns are shown, in which order, under which names."""
    return DataTransformerConfig(
        "organize",
        options={
            "excludeByName": dict.fromkeys(without, True),
            "indexByName": {name: place for place, name in enumerate(order)},
            "renameByName": dict(names or {}),
        },
    )


def moving_average(field: str, rows: int, alias: str, *, of: str) -> DataTransformerConfig:
    """A new column of one query, by its letter: the mean of a column's last rows."""
    return DataTransformerConfig(
        "calculateField",
        filter_val=MatcherConfig("byRefId", of),
        options={
            "mode": "windowFunctions",
            "timeSeries": False,  # else all queries become one frame first
            "window": {
                "field": field,
                "reducer": "mean",
                "windowAlignment": "trailing",
                "windowSize": rows,
                "windowSizeMode": "fixed",
            },
            "alias": alias,
        },
    )


def combined(left: str, operator: str, right: str, alias: str, *, of: str) -> DataTransformerConfig:
    """A new column of one query, by its letter: two columns by one of + - * /, row by row."""
    return DataTransformerConfig(
        "calculateField",
        filter_val=MatcherConfig("byRefId", of),
        options={
            "mode": "binary",
            "timeSeries": False,
            "binary": {"left": _column(left), "operator": operator, "right": _column(right)},
            "alias": alias,
        },
    )


def _column(name: str) -> dict[str, object]:
    return {"matcher": {"id": "byName", "options": name}}


def extract(field: str, paths: Mapping[str, str]) -> DataTransformerConfig:
    """New columns out of a JSON text: {path: name}; they replace the others."""
    return DataTransformerConfig(
        "extractFields",
        options={
            "source": field,
            "format": "json",
            "jsonPaths": [{"path": path, "alias": name} for path, name in paths.items()],
            "keepTime": False,
            "replace": False,
        },
    )


def numbers(fields: Sequence[str]) -> DataTransformerConfig:
    """Texts that are numbers, as numbers."""
    return DataTransformerConfig(
        "convertFieldType",
        options={
            "fields": {},
            "conversions": [
                {"targetField": field, "destinationType": "number"} for field in fields
            ],
        },
    )
