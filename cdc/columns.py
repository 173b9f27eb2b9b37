"""Kinds of columns of PostgreSQL, of which `cdc.routes` declares its tables."""

from __future__ import annotations

from cdc.mapping import Field, Kind


def text(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.TEXT) for name in names)


def amounts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.DECIMAL) for name in names)


def counts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.BIGINT) for name in names)


def time(name: str) -> Field:
    return Field(name, Kind.TIMESTAMP)


def key_time(name: str) -> Field:
    """A time of the key, which PostgreSQL floors to milliseconds."""
    return Field(name, Kind.TIMESTAMP, whole_ms=True)
