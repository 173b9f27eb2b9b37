"""The contract's schemas as an independent validator reads them: fastjsonschema."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import fastjsonschema

from contracts import schemas

Invalid = fastjsonschema.JsonSchemaValueException


@cache
def validator(name: str) -> Callable[[Any], Any]:
    """What raises Invalid for an event that a schema (`event_crypto_price`) refuses."""
    return compiled(schemas.current()[name])


def compiled(schema: schemas.JsonSchema) -> Callable[[Any], Any]:
    """The same of a schema at hand; it must be a schema itself."""
    made: Callable[[Any], Any] = fastjsonschema.compile(schema)
    return made


def admits(name: str, event: Any) -> bool:
    """Whether a schema takes an event."""
    try:
        validator(name)(event)
    except Invalid:
        return False
    return True
