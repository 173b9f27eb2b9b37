"""Kinds of columns, of which the tables are made."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

Amount = sa.Numeric(38, 18)
Time = sa.DateTime(timezone=True)


def of(column_type: Any, names: tuple[str, ...], *, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, column_type, nullable=nullable) for name in names]


def texts(*names: str) -> list[sa.Column[Any]]:
    return of(sa.Text, names)


def amounts(*names: str) -> list[sa.Column[Any]]:
    return of(Amount, names)


def counts(*names: str) -> list[sa.Column[Any]]:
    return of(sa.BigInteger, names)


def flags(*names: str) -> list[sa.Column[Any]]:
    return of(sa.Boolean, names)


def times(*names: str) -> list[sa.Column[Any]]:
    return of(Time, names)


def now(name: str) -> sa.Column[Any]:
    return sa.Column(name, Time, nullable=False, server_default=sa.func.clock_timestamp())


def now_in_ms(name: str, clock: str) -> sa.Column[Any]:
    default = sa.text(f"date_trunc('milliseconds', {clock}())")
    return sa.Column(name, Time, nullable=False, server_default=default)


def whole_ms(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"date_trunc('milliseconds', {column}) = {column}", name=f"{column}_ms"
    )


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=column)
