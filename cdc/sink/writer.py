"""The sliding window of batches to Cassandra: no barrier between polls, retries without end.

A batch is closed only when the window has room for it, so a slow Cassandra gets fewer and larger
batches by itself, and more changes of one key become one write.
One thread (the sink's) owns everything here; the driver's thread only reports what came back.
A write keeps its timestamp whatever happens to it, so a second try can do no harm.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue

import structlog

from cdc.failures import Verdict, verdict
from cdc.settings import CdcSettings
from cdc.sink.gathering import Batch, Gathering, Write
from runtime import failpoints

log = structlog.get_logger(__name__)

Done = Callable[[Exception | None], None]
Send = Callable[[Sequence[bytes], Done], None]  # sends a batch, reports on any thread


@dataclass(slots=True)
class WriterCounts:
    """What the writer did since its start."""

    rows: int = 0
    batches: int = 0
    retries: int = 0
    refused: int = 0


class Writer:
    """Gathers writes, sends batches, sees to it that each one is settled.

    `on_written` hears of every acknowledged batch, `on_refused` of every row that Cassandra itself
    refuses; the row counts as settled afterwards unless `on_refused` takes its span on.
    """

    def __init__(
        self,
        settings: CdcSettings,
        send: Send,
        on_written: Callable[[Batch], None],
        on_refused: Callable[[Write, Exception], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._send = send
        self._on_written = on_written
        self._on_refused = on_refused
        self._clock = clock
        self._gathering = Gathering(
            rows=settings.batch_rows, bytes_=settings.batch_bytes, clock=clock
        )
        self._gather_s = 0.0
        self._ready: deque[Batch] = deque()
        self._later: list[tuple[float, int, Batch]] = []  # a heap by due time
        self._order = count()
        self._answers: SimpleQueue[tuple[Batch, Exception | None]] = SimpleQueue()
        self._in_flight = 0
        self._pending_rows = 0
        self._pending_bytes = 0
        self.counts = WriterCounts()
        self._failing_since: float | None = None

    @property
    def failing_s(self) -> float:
        """Since when writes fail and none succeeds, in seconds; 0 where they succeed."""
        return 0.0 if self._failing_since is None else self._clock() - self._failing_since

    @property
    def full(self) -> bool:
        """Whether nothing more should be read for now."""
        return (
            self._pending_rows >= self._settings.pending_rows
            or self._pending_bytes >= self._settings.pending_bytes
        )

    @property
    def idle(self) -> bool:
        """Whether every write is settled."""
        return self._pending_rows == 0

    @property
    def in_flight(self) -> int:
        """Batches that are sent and not answered."""
        return self._in_flight

    @property
    def pending_rows(self) -> int:
        """Writes that are not settled."""
        return self._pending_rows

    def add(self, writes: Sequence[Write]) -> None:
        """Take writes in; each is sent with others of its partition."""
        self._pending_rows += len(writes)
        self._pending_bytes += sum([len(each.statement) for each in writes])
        for write in writes:
            full = self._gathering.add(write)
            if full:
                self._ready.extend(full)

    def gather_for(self, seconds: float) -> None:
        """From now on a batch gathers for so long before it may be sent; 0: it goes at once."""
        self._gather_s = seconds

    def pump(self) -> None:
        """Take up answers, send what is due as far as the window allows. Fatal errors pass."""
        while True:
            try:
                self._take_up(*self._answers.get_nowait())
            except Empty:
                break
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._later)[2])
        while self._in_flight < self._settings.batches_in_flight:
            batch = self._next(now)
            if batch is None:
                break
            self._dispatch(batch)

    def _next(self, now: float) -> Batch | None:
        """The batch to send next: what is closed already, then what has gathered longest."""
        return (
            self._ready.popleft() if self._ready else self._gathering.oldest(now - self._gather_s)
        )

    def wait(self, timeout_s: float) -> None:
        """Wait until something is answered, or for the timeout; then pump."""
        try:
            answer = self._answers.get(timeout=timeout_s)
        except Empty:
            pass
        else:
            self._take_up(*answer)
        self.pump()

    def replace_sender(self, send: Send) -> None:
        """Send over another session from now on; what waits for its next try goes there."""
        self._send = send
        self._failing_since = None

    def _dispatch(self, batch: Batch) -> None:
        self._in_flight += 1
        batch.attempts += 1
        statements = [write.statement for write in batch.writes]
        try:
            self._send(statements, lambda error: self._answers.put((batch, error)))
        except Exception as error:  # noqa: BLE001 - a driver that cannot even send: as any failure
            self._answers.put((batch, error))
        failpoints.reach("mid_batch")

    def _take_up(self, batch: Batch, error: Exception | None) -> None:
        self._in_flight -= 1
        if error is None:
            failpoints.reach("after_write")
            self._failing_since = None
            self.counts.rows += len(batch.writes)
            self.counts.batches += 1
            self._on_written(batch)
            self._settle(batch)
        elif verdict(error) is Verdict.RETRY:
            self._again(batch, error)
        elif len(batch.writes) > 1:
            self._ready.extendleft(batch.split())
        else:
            self.counts.refused += 1
            self._on_refused(batch.writes[0], error)
            self._settle(batch)

    def _again(self, batch: Batch, error: Exception) -> None:
        self.counts.retries += 1
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
            log.warning(
                "a write failed and is tried again",
                table=batch.table,
                error=type(error).__name__,
                attempt=batch.attempts,
            )
        first, last = self._settings.retry_first_ms, self._settings.retry_last_ms
        delay_ms = min(last, first * 2 ** min(batch.attempts - 1, 20))
        heapq.heappush(self._later, (now + delay_ms / 1000, next(self._order), batch))

    def _settle(self, batch: Batch) -> None:
        whole = batch.settle()
        if whole is not None:
            self._pending_rows -= whole.added
            self._pending_bytes -= whole.added_bytes
