"""Whether what the connector continues is what its generation began on: the preflight, at run time.

Connect starts its connectors by itself after a crash, with nobody looking before; and Debezium does
not notice a slot that was advanced. So this looks every two seconds at the cluster, the slot and
the stored offsets; and, faster than Connect can start, at whether somebody reads the slot, and at
one that moves though nobody does. What would lose or shadow rows stops the connector at once and
raises `replication_refused`. An advanced slot leaves no trace once the connector has read on, so
`cdc_state` keeps it: only a new generation heals it (docs/decisions, preflight at run time).
A publication that lost a table raises the alarm alone: the others flow, a repair heals it.
And a resync that was killed is told of, which may have stopped everything: `resync_unfinished`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from cdc import keyspace, lock, state
from cdc.connector import preflight
from cdc.connector.client import ConnectClient
from cdc.connector.preflight import Finding
from cdc.errors import CdcError, Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.fence import as_lsn
from cdc.source import Slot, SourceDatabase
from contracts.naming import Role, slot_name
from watch.announcer import Announcer
from watch.settings import WatchSettings

log = structlog.get_logger(__name__)

ALARM: Final = "replication_refused"
UNFINISHED: Final = "resync_unfinished"
PERIOD_S: Final = 0.25  # Connect answers a second or more before its tasks read the slot
FAILING_S: Final = 2.0  # between two attempts at stores that do not answer
CONNECT_PERIOD = timedelta(seconds=2)  # it logs each question


class ReplicationCheck:
    """The check. `on_newer` is called once a newer generation than the settings' has begun."""

    name, part = "replication", None  # who does not answer has an alarm of its own

    def __init__(
        self, settings: WatchSettings, announcer: Announcer, on_newer: Callable[[], None]
    ) -> None:
        self.period_s = PERIOD_S
        self._settings = settings
        self._announcer = announcer
        self._on_newer = on_newer
        self._idle: Slot | None = None  # as it stood while no connector was there
        self._read = False  # whether somebody reads the slot
        self._ask_again = datetime.min.replace(tzinfo=UTC)
        self._open = ExitStack()
        self._parts: tuple[SourceDatabase, ConnectClient, Any] | None = None

    def look(self, now: datetime) -> None:
        try:
            self._look(*(self._parts or self._connect()), now)
            self.period_s = PERIOD_S
        except (CdcError, *DRIVER_FAILURES):
            self._open.close()
            self._parts, self.period_s = None, FAILING_S
            raise

    def _connect(self) -> tuple[SourceDatabase, ConnectClient, Any]:
        source = self._open.enter_context(SourceDatabase(self._settings))
        connect = self._open.enter_context(ConnectClient(self._settings))
        session = self._open.enter_context(keyspace.session(self._settings, Role.READER))
        self._parts = source, connect, session
        return self._parts

    def _look(
        self, source: SourceDatabase, connect: ConnectClient, session: Any, now: datetime
    ) -> None:
        slot = source.slot(slot_name(self._settings.generation))
        was_read, self._read = self._read, slot is not None and slot.active
        if now < self._ask_again and self._read == was_read:
            return
        if state.newest(session) > self._settings.generation:
            self._on_newer()
            return
        self._announcer.look(UNFINISHED, self._unfinished(source, connect, session), now)
        if not _knows_its_connector(connect):
            self._ask_again = now
            self._look_at_idle(slot, now)
            return
        self._idle, self._ask_again = None, now + CONNECT_PERIOD
        facts = preflight.gather(self._settings, source, connect, session)
        if broken := preflight.of_generation(facts):
            self._refuse(connect, broken[0])
        found = broken or preflight.findings(facts)  # of the others it runs on, or ends by itself
        self._announcer.look(ALARM, found[0].message if found else None, now)

    def _unfinished(
        self, source: SourceDatabase, connect: ConnectClient, session: Any
    ) -> str | None:
        """What is wrong where a resync has ended before its end, and nobody goes on with it."""
        generation = state.unfinished_resync(session)
        if generation is None or lock.resync_is_at_work(source):
            return None
        if generation > self._settings.generation and _runs(connect):
            return None  # it was given up: what was before it runs again
        return (
            f"a resync to generation {generation} has ended before it was complete; "
            "`tidemark resync` goes on with it"
        )

    def _look_at_idle(self, slot: Slot | None, now: datetime) -> None:
        """No task can run: a slot that moves all the same was advanced by somebody else.

        What the connector has stored cannot be seen meanwhile.
        """
        before, self._idle = self._idle, slot if slot is not None and not slot.active else None
        if before is None or self._idle is None:
            return
        was, at = before.confirmed_flush_lsn, self._idle.confirmed_flush_lsn
        if at > was:
            why = (
                f"slot {before.name} was advanced from {as_lsn(was)} to {as_lsn(at)} while nobody "
                "read it: the rows in between are skipped"
            )
            self._break(why)
            self._announcer.look(ALARM, f"{why}; `tidemark resync` takes a new snapshot", now)

    def _refuse(self, connect: ConnectClient, finding: Finding) -> None:
        if finding.code == preflight.ADVANCED:
            self._break(finding.trouble)
        status = connect.status()
        if status is not None and status.state != "STOPPED":
            log.error("stopping the connector", connector=status.name, reason=finding.message)
            connect.stop()

    def _break(self, why: str) -> None:
        with keyspace.session(self._settings, Role.SINK) as session:
            state.break_generation(session, self._settings.generation, why)
        log.error("the generation is broken", reason=why)


def _knows_its_connector(connect: ConnectClient) -> bool:
    """False while Connect is away, or has not read its own topics yet."""
    try:
        return connect.status() is not None
    except Unreachable:
        return False


def _runs(connect: ConnectClient) -> bool:
    """False also while Connect is away."""
    try:
        status = connect.status()
    except Unreachable:
        return False
    return status is not None and status.running
