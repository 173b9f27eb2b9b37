"""Kinds of values that settings have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode


def _comma_separated(value: object) -> object:
    """`BTCUSDT,ETHUSDT` from the environment as a list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Seconds = Annotated[float, Field(ge=1, le=86_400)]


def without_twins(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names; ValueError where one stands twice."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"named twice: {', '.join(twins)}")
    return names


def is_pattern(name: str) -> bool:
    """Whether a name stands for several: `*` for any text, `?` for one letter."""
    return "*" in name or "?" in name
