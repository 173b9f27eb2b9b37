"""Which generation is the current one: the newest that Cassandra remembers.

`cdc_state` is the truth, so that every process agrees after a restart, on every machine, without a
file to edit. TIDEMARK_GENERATION is only where to begin: an older one than Cassandra remembers is
over for ever, since all that it wrote would lose.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from cdc import keyspace, state
from cdc.errors import CdcError, Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from contracts.naming import Role, slot_name
from runtime.settings import SettingsError

ANSWER_S = 3.0

S = TypeVar("S", bound=CdcSettings)


def remembered(settings: S, session: Any) -> S:
    """The settings, moved on to the newest generation; Unreachable."""
    try:
        return at(settings, max(settings.generation, state.newest(session)))
    except DRIVER_FAILURES as error:
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error


def current(settings: S, within_s: float = ANSWER_S) -> S:
    """The same for who has no session, or whose business it is that Cassandra is down.

    PostgreSQL's slots, which are named after generations, tell it too; where neither answers in
    time, the settings are all that is known.
    """
    found = [settings.generation]

    def ask(question: Callable[[CdcSettings], list[int]]) -> None:
        with suppress(CdcError, SettingsError, *DRIVER_FAILURES):  # SettingsError: no password file
            found.extend(question(settings))

    asked = [
        threading.Thread(target=ask, args=(question,), daemon=True)
        for question in (_in_cassandra, _in_postgres)
    ]
    for thread in asked:
        thread.start()
    deadline = time.monotonic() + within_s
    for thread in asked:
        thread.join(max(0.0, deadline - time.monotonic()))
    return at(settings, max(found))


def at(settings: S, generation: int) -> S:
    """The settings at a generation."""
    return settings.model_copy(update={"generation": generation})


def of_slots(slots: list[str]) -> list[int]:
    """The generations that slots are named after."""
    prefix = slot_name(0).removesuffix("0")
    numbers = [name.removeprefix(prefix) for name in slots if name.startswith(prefix)]
    return sorted(int(number) for number in numbers if number.isdecimal())


def _in_cassandra(settings: CdcSettings) -> list[int]:
    with keyspace.session(settings, Role.READER) as session:
        return [state.newest(session)]


def _in_postgres(settings: CdcSettings) -> list[int]:
    with SourceDatabase(settings) as source:
        return of_slots(source.slots())
