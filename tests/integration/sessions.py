"""Sessions to Cassandra that a test keeps: a new one for each look costs more than the look."""

from __future__ import annotations

from typing import Any

from cdc import keyspace
from cdc.failures import DRIVER_FAILURES
from cdc.settings import CdcSettings


class Sessions:
    """One session a role and keyspace, opened when it is first needed, anew after a failure."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Any] = {}

    def of(self, settings: CdcSettings, role: str) -> Any:
        """The session; errors as of `keyspace.connect`."""
        place = settings.cassandra_keyspace, role
        if place not in self._open:
            self._open[place] = keyspace.connect(settings, role)
        return self._open[place]

    def run(self, settings: CdcSettings, role: str, statement: str, *values: object) -> list[Any]:
        """Run a statement, prepared: else the driver would send decimals through floats."""
        session = self.of(settings, role)
        try:
            return list(session.execute(session.prepare(statement), values))
        except DRIVER_FAILURES:
            self.close()
            raise

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.popitem()[1].cluster.shutdown()
