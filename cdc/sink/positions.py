"""Publishes how far the sink is, once a second, beside the hot path: fences wait for it.

Also which LSN the initial snapshot's rows have, which a sweep needs: before the positions behind
those rows, so that whoever sees the rows acknowledged knows it too. And it looks whether a newer
generation has begun, which the sink then moves on to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog
from cassandra.cluster import Session

from cdc.failures import DRIVER_FAILURES
from cdc.sink.consumer import Partition
from cdc.state import newest, note_snapshot_row, publish_positions

log = structlog.get_logger(__name__)


class PositionsPublisher:
    """A thread that stores changed acknowledged offsets in Cassandra (cdc_state).

    `session` is asked for each time: the sink may have opened a new one.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        *,
        generation: int,
        group: str,
        every_s: float = 1.0,
    ) -> None:
        self._session = session
        self.newest_generation = generation
        self._generation = generation
        self._group = group
        self._every_s = every_s
        self._latest: tuple[Mapping[Partition, int], int] = ({}, 0)
        self._published: dict[Partition, int] = {}
        self._published_lsn = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="positions", daemon=True)
        self._thread.start()

    def offer(self, positions: Mapping[Partition, int], snapshot_seen_lsn: int) -> None:
        """Take the newest positions; they are stored within `every_s`."""
        self._latest = positions, max(snapshot_seen_lsn, self._latest[1])

    def close(self, timeout_s: float) -> None:
        """Store the last positions and end."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        latest, lsn = self._latest
        changed = {key: at for key, at in latest.items() if self._published.get(key) != at}
        try:
            if lsn > self._published_lsn:
                note_snapshot_row(self._session(), self._generation, lsn)
            publish_positions(self._session(), changed, self._group)
            self.newest_generation = max(self._generation, newest(self._session()))
        except DRIVER_FAILURES as error:
            log.warning("positions are not published yet", error=type(error).__name__)
        else:
            self._published, self._published_lsn = dict(latest), lsn
