"""Publishes how far the sink is, once a second, beside the hot path: fences wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog
from cassandra.cluster import Session

from cdc.consumer import Partition
from cdc.failures import DRIVER_FAILURES
from cdc.state import publish_positions

log = structlog.get_logger(__name__)


class PositionsPublisher:
    """A thread that stores changed acknowledged offsets in Cassandra (cdc_state).

    `session` is asked for each time: the sink may have opened a new one.
    """

    def __init__(self, session: Callable[[], Session], group: str, every_s: float = 1.0) -> None:
        self._session = session
        self._group = group
        self._every_s = every_s
        self._latest: Mapping[Partition, int] = {}
        self._published: dict[Partition, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="positions", daemon=True)
        self._thread.start()

    def offer(self, positions: Mapping[Partition, int]) -> None:
        """Take the newest positions; they are stored within `every_s`."""
        self._latest = positions

    def close(self, timeout_s: float) -> None:
        """Store the last positions and end."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        latest = self._latest
        changed = {key: at for key, at in latest.items() if self._published.get(key) != at}
        try:
            publish_positions(self._session(), changed, self._group)
        except DRIVER_FAILURES as error:
            log.warning("positions are not published yet", error=type(error).__name__)
        else:
            self._published = dict(latest)
