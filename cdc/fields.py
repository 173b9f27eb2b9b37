"""Short forms in which `cdc.routes` names a source's fields by kind."""

from __future__ import annotations

from cdc.mapping import Field, Kind


def texts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.TEXT) for name in names)


def amounts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.DECIMAL) for name in names)


def counts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.BIGINT) for name in names)


def time(name: str) -> Field:
    return Field(name, Kind.TIMESTAMP)


def key_time(name: str) -> Field:
    return Field(name, Kind.TIMESTAMP, whole_ms=True)
