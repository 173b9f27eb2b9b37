"""Which generation is the current one: the newest that Cassandra remembers.

`cdc_state` is the truth, so that every process agrees after a restart, on every machine, without a
file to edit. TIDEMARK_GENERATION is only where to begin: an older one than Cassandra remembers is
over for ever, since all that it wrote would lose.
"""

from __future__ import annotations

from typing import Any, TypeVar

from cdc import keyspace, state
from cdc.errors import CdcError, Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from contracts.naming import Role, slot_name

S = TypeVar("S", bound=CdcSettings)


def remembered(settings: S, session: Any) -> S:
    """The settings, moved on to the newest generation; Unreachable."""
    try:
        return at(settings, max(settings.generation, state.newest(session)))
    except DRIVER_FAILURES as error:
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error


def current(settings: S) -> S:
    """The settings, moved on to the newest generation, for who has no session of Cassandra.

    Where Cassandra does not answer, the newest slot in PostgreSQL tells; where that does not
    either, the settings are all that is known.
    """
    try:
        with keyspace.session(settings, Role.READER) as session:
            return remembered(settings, session)
    except CdcError:
        pass
    try:
        with SourceDatabase(settings) as source:
            return at(settings, max(settings.generation, newest_slot(source.slots())))
    except CdcError:
        return settings


def at(settings: S, generation: int) -> S:
    """The settings at a generation."""
    return settings.model_copy(update={"generation": generation})


def newest_slot(slots: list[str]) -> int:
    """The highest generation that one of these slots is named after; 0 where there is none."""
    prefix = slot_name(0).removesuffix("0")
    numbers = [name.removeprefix(prefix) for name in slots if name.startswith(prefix)]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)
