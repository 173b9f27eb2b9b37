"""The life of the sink process: what must be there, the loop, reconnects, a clean end."""

from __future__ import annotations

import gc
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import structlog
from cassandra.cluster import Session

from cdc import keyspace, state
from cdc.connector import preflight
from cdc.dead_letters.filing import Filing
from cdc.errors import Fatal, PreflightRefused, Retryable, SchemaMismatch, Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.generation import remembered
from cdc.settings import CdcSettings
from cdc.sink import metrics, packed_batch
from cdc.sink.loop import Sink
from cdc.sink.positions import PositionsPublisher
from cdc.sink.prepared import Prepared, prepare
from cdc.sink.router import Heads
from cdc.sink.writer import Send
from contracts.naming import Role
from runtime import failpoints
from runtime import metrics as metrics_server
from runtime.shutdown import Shutdown

log = structlog.get_logger(__name__)

_WAIT_FIRST_S, _WAIT_LAST_S = 0.5, 5.0
# The parts of an end: together less than END_WITHIN_S
_DRAIN_S, _LEAVE_S, _PUBLISH_S, _CLOSE_S = 4.0, 3.0, 1.0, 0.5
END_WITHIN_S = 9.0

T = TypeVar("T")


def run(settings: CdcSettings, shutdown: Shutdown) -> None:
    """Replicate until the end is asked for; raises Fatal where a person must act."""
    metrics_server.serve(settings.sink_metrics_port)
    try:
        _replicate(settings, shutdown)
    except Fatal as error:
        _tell(error, settings, shutdown)
        raise


def _tell(error: Fatal, settings: CdcSettings, shutdown: Shutdown) -> None:
    """Say why the sink stops, and linger until the watch has seen it: nobody else would tell."""
    log.error("the sink stops", code=error.name, reason=str(error))
    metrics.STOPPED.labels(error.name, str(error)).set(1)
    if settings.sink_metrics_port:
        shutdown.wait(settings.sink_linger_s)


def _replicate(settings: CdcSettings, shutdown: Shutdown) -> None:
    """Generation after generation: each until the end is asked for, or a newer one begins."""
    while not shutdown.requested:
        start = _patiently(partial(_begin, settings), shutdown)
        if start is not None:
            _live(*start, shutdown)


def _live(
    settings: CdcSettings,
    connection: _Connection,
    generation: state.Generation,
    sink: Sink,
    shutdown: Shutdown,
) -> None:
    publisher = PositionsPublisher(
        lambda: connection.session,
        generation=generation.generation,
        group=settings.sink_group,
    )
    filing = Filing(settings, lambda: connection.session)
    try:
        _check_preflight(settings, shutdown)
        _spare_the_collector()
        log.info("the sink runs", generation=generation.generation, group=settings.sink_group)
        while not shutdown.requested and publisher.newest_generation == generation.generation:
            _step(settings, sink, connection, shutdown)
            filing.check()
            publisher.offer(sink.positions, sink.snapshot_seen_lsn)
    finally:
        filing.ask_to_end()
        with _in_time(shutdown):
            _end(sink, publisher, connection)


def _spare_the_collector() -> None:
    """Look for cycles seldom: events make none, and hundreds of thousands are alive at a time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class _Connection:
    """The session in use; a new one takes its place when writes fail for too long."""

    def __init__(self, settings: CdcSettings) -> None:
        self._settings = settings
        self.session: Session = keyspace.connect(settings, Role.SINK)
        self._prepared: Prepared | None = None

    def prepare(self) -> dict[str, Heads]:
        """Prepare the routes' statements, and keep them: see `Prepared`."""
        self._prepared = prepare(self.session, self._settings.cassandra_keyspace)
        return self._prepared.heads

    def renew(self) -> None:
        """Replace the session; the old one's requests fail and are sent again over the new."""
        old, self.session = self.session, keyspace.connect(self._settings, Role.SINK)
        keyspace.close(old, 0)  # it may take its time: reading goes on meanwhile
        try:
            self.prepare()  # the same statements have the same ids, so the heads stay
        except DRIVER_FAILURES as error:
            raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error

    @property
    def send(self) -> Send:
        timeout_s = self._settings.request_timeout_ms / 1000
        return lambda statements, done: packed_batch.send(self.session, statements, timeout_s, done)


_Start = tuple[CdcSettings, _Connection, state.Generation, Sink]


def _begin(settings: CdcSettings) -> _Start:
    """Open everything; Retryable while something is not there yet."""
    connection = _Connection(settings)
    try:
        return _begin_on(settings, connection)
    except BaseException:
        keyspace.close(connection.session)
        raise


def _begin_on(settings: CdcSettings, connection: _Connection) -> _Start:
    session = connection.session
    try:
        keyspace.check_migrated(session)
        settings = remembered(settings, session)
        generation = state.recall(session).get(settings.generation)
        heads = connection.prepare()
    except DRIVER_FAILURES as error:
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error
    except SchemaMismatch as error:
        raise Unreachable(str(error)) from error  # `tidemark migrate` may be under way
    if generation is None:
        raise Unreachable(
            f"generation {settings.generation} is not known yet: "
            "`tidemark connector apply` begins it"
        )
    acknowledged = partial(_acknowledged, connection, settings.sink_group)
    sink = Sink(settings, generation, heads, connection.send, acknowledged)
    return settings, connection, generation, sink


def _acknowledged(connection: _Connection, group: str) -> dict[tuple[str, int], int]:
    try:
        return state.positions(connection.session, group)
    except DRIVER_FAILURES as error:
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error


def _check_preflight(settings: CdcSettings, shutdown: Shutdown) -> None:
    """Refuse to start where rows would be lost; go on where nobody can say so for too long.

    Going on is safe: a topic carries its generation, and the connector has a preflight of its own.
    """
    deadline = time.monotonic() + settings.preflight_patience_s
    while not shutdown.requested:
        try:
            findings = preflight.check(settings)
        except Retryable as error:
            if time.monotonic() >= deadline:
                log.warning("no preflight: going on with what the log has", reason=str(error))
                return
            shutdown.wait(1.0)
        else:
            if findings:
                raise PreflightRefused(findings[0].code, findings[0].message)
            return


def _patiently(attempt: Callable[[], T], shutdown: Shutdown) -> T | None:
    """Try until it succeeds or the end is asked for (None); each new reason is said once."""
    wait_s, said = _WAIT_FIRST_S, ""
    while not shutdown.requested:
        try:
            return attempt()
        except Retryable as error:
            if str(error) != said:
                said = str(error)
                log.warning("waiting", reason=said)
        shutdown.wait(wait_s)
        wait_s = min(wait_s * 2, _WAIT_LAST_S)
    return None


def _step(settings: CdcSettings, sink: Sink, connection: _Connection, shutdown: Shutdown) -> None:
    try:
        sink.step()
    except Retryable as error:
        log.warning("reading the log anew", reason=str(error))
        shutdown.wait(_WAIT_FIRST_S)
        sink.reopen()
    if sink.writer.failing_s > settings.reconnect_after_s:
        try:
            connection.renew()
        except Unreachable as error:
            log.warning("no write succeeds", reason=str(error))
        sink.writer.replace_sender(connection.send)


@contextmanager
def _in_time(shutdown: Shutdown) -> Iterator[None]:
    """End the process if the block does not end: a library may hold the interpreter's lock.

    Where a signal has asked for the end, `Shutdown` sees to it.
    """
    if not shutdown.requested:
        signal.alarm(math.ceil(END_WITHIN_S))
    try:
        yield
    finally:
        if not shutdown.requested:
            signal.alarm(0)


def _end(sink: Sink, publisher: PositionsPublisher, connection: _Connection) -> None:
    """Write and commit what was read, for a few seconds: the rest is read again next time.

    Each step has its time: neither Kafka nor Cassandra, away or silent, may hold the end up.
    """
    failpoints.reach("at_shutdown")
    try:
        sink.drain(_DRAIN_S)
        publisher.offer(sink.positions, sink.snapshot_seen_lsn)
    finally:
        leaving = threading.Thread(target=sink.close, name="leave", daemon=True)
        leaving.start()
        left_by = time.monotonic() + _LEAVE_S
        publisher.close(_PUBLISH_S)
        leaving.join(max(0.0, left_by - time.monotonic()))
        keyspace.close(connection.session, _CLOSE_S)
        log.info("the sink has ended")
