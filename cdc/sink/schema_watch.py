"""Asks PostgreSQL's catalogue, beside the hot path, whether the tables are still as declared.

Every few seconds by itself, for a change of a type need not show in any event; and at once where an
event cannot be read, to tell a changed table (halt it) from a broken event (dead letter). An answer
counts for events that were committed before it was asked: the same clock, PostgreSQL's, says both.

Where PostgreSQL does not answer, nobody can tell: then the event goes to the dead letters, which
keep it whole, rather than that one broken event stops a table while PostgreSQL is away.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from cdc.errors import CdcError, SchemaDrift
from cdc.mapping import Source
from cdc.settings import CdcSettings
from cdc.sink import schema
from cdc.source import SourceDatabase

log = structlog.get_logger(__name__)

_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Answer:
    """What the catalogue said at a moment (µs): the tables that are not as declared."""

    at_us: int
    drifts: dict[str, SchemaDrift]


class SchemaWatch:
    """A thread with a connection of its own. `drifts` and `drift_of` may be called by one other."""

    def __init__(
        self, settings: CdcSettings, sources: Sequence[Source], patience_s: float = _PATIENCE_S
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._patience_s = patience_s
        self._database: SourceDatabase | None = None
        self._said = ""
        self._answer = Answer(0, {})
        self._changed = threading.Condition()
        self._asked = 0
        self._served = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="schema", daemon=True)
        self._thread.start()

    @property
    def drifts(self) -> dict[str, SchemaDrift]:
        """Tables that are not as declared, as of the last answer."""
        return self._answer.drifts

    def drift_of(self, table: str, committed_us: int) -> SchemaDrift | None:
        """Whether a table had changed when an event was committed; None also where nobody says."""
        if self._answer.at_us <= committed_us:
            self._ask()
        return self._answer.drifts.get(table)

    def close(self, timeout_s: float) -> None:
        """End the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _ask(self) -> None:
        """Wait for an answer that was begun after this; not at all while one is overdue."""
        with self._changed:
            if self._asked > self._served:
                return
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._served >= mine, self._patience_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                asked = self._asked
            answer = self._read()
            with self._changed:
                if answer is not None:
                    self._answer = answer
                self._served = asked
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._ended or self._asked > self._served,
                    self._settings.schema_check_s,
                )
                if self._ended:
                    break
        self._disconnect()

    def _read(self) -> Answer | None:
        try:
            if self._database is None:
                self._database = SourceDatabase(self._settings)
            found = schema.read(self._database, [each.table for each in self._sources])
        except CdcError as error:
            self._disconnect()
            if str(error) != self._said:
                self._said = str(error)
                log.warning("the schema is not looked at", reason=self._said)
            return None
        self._said = ""
        drifts = {}
        for source in self._sources:
            differs = schema.differences(source, found.tables[source.table])
            if differs:
                drifts[source.table] = SchemaDrift(source.table, differs, found.revision)
        return Answer(found.at_us, drifts)

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
