"""Windows of capture: a snapshot of a table, or WAL that was laid down while nobody read it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Literal

from ingest.store import Store
from tests.benchmarks.capture import raw
from tests.benchmarks.capture.captor import Captor, walsender
from tests.benchmarks.capture.contestants import Contestant
from tests.benchmarks.capture.flow import Flow, observed
from tests.benchmarks.cpu import cpu_s, machine_s, others, since
from tests.benchmarks.running import Failed
from tests.benchmarks.trades import batch
from tests.benchmarks.variants import Variant
from tests.benchmarks.worker import Worker
from tests.conftest import Stack
from tests.integration.conftest import Replica

Way = Literal["stream", "snapshot"]
Moment = dict[str, float]  # seconds until then: of the clock, of the machine, of each part

IN_TRANSACTION = 1000  # rows
LOOK_S = 0.05
PATIENCE_S = 600.0


@dataclass(kw_only=True)
class Window:
    """What one window showed. `rows` arrived in `seconds`; CPU in seconds.

    `reader`: Connect's JVM, or the plain reader. `sender`: PostgreSQL's process behind the slot; it
    is ahead of the reader, and so its CPU is that of its whole life and of all rows, `sent`: 0 of a
    snapshot, which has no such process. `repeated`: rows that came twice. `load`: the average of a
    minute, before and after; `others`: share of the machine's CPU that neither these nor Kafka had.
    """

    contestant: str
    round: int
    way: Way
    at: str
    rows: int
    seconds: float
    reader_cpu_s: float
    sender_cpu_s: float
    sent: int
    repeated: int
    load: tuple[float, float]
    others: float


class Referee:
    """Holds windows on a replica of its own, whose trades nobody else writes."""

    def __init__(self, stack: Stack, replica: Replica, captor: Captor, rows: int) -> None:
        self._replica = replica
        self._captor = captor
        self._rows = rows
        self._worker = Worker(stack.settings)
        self._laid = 0

    def lay(self) -> None:
        """Write a window's rows, in transactions as a backfill writes them."""
        for first in range(self._laid, self._laid + self._rows, IN_TRANSACTION):
            last = min(first + IN_TRANSACTION, self._laid + self._rows)
            self._store.copy(batch(range(first, last)))
        self._laid += self._rows

    @cached_property
    def _store(self) -> Store:
        return Store(self._replica.settings)

    def snapshot(self, contestant: Contestant, number: int) -> Iterator[Window]:
        """An initial snapshot of all rows that there are; one before it warms the JVM up."""
        assert contestant.variant is not None, "a plain reader takes no snapshot"
        self._worker.become(contestant.variant)
        load = os.getloadavg()[0]
        for _ in ("warm up", "measure"):
            self._replica.next_generation()
            self._captor.register(contestant.variant)
            clocks = self._clocks(self._worker.cpu_s)
            flow = observed(self._laid, self._captor.arrived, clocks, self._patience())
            arrived = self._captor.wait_for(self._laid, PATIENCE_S)
        yield self._window(contestant, number, "snapshot", flow, arrived - self._laid, load)

    def stream(self, contestant: Contestant, number: int) -> Iterator[Window]:
        """WAL of so many rows, laid down before, read as fast as can be."""
        hold = self._raw if contestant.variant is None else partial(self._as, contestant.variant)
        yield hold(contestant, number)

    def _as(self, variant: Variant, contestant: Contestant, number: int) -> Window:
        self._worker.become(variant)
        self._captor.register(variant)
        self.lay()
        self._captor.wait_for(self._laid, PATIENCE_S)  # warm, with nothing left to read
        with self._captor.stopped():
            before, load = self._captor.arrived(), os.getloadavg()[0]
            self.lay()
        clocks = self._clocks(self._worker.cpu_s, self._captor.walsender)
        flow = observed(
            self._rows, lambda: self._captor.arrived() - before, clocks, self._patience()
        )
        arrived = self._captor.wait_for(before + self._rows, PATIENCE_S)
        repeated = arrived - before - self._rows
        return self._window(contestant, number, "stream", flow, repeated, load)

    def _raw(self, contestant: Contestant, number: int) -> Window:
        settings = self._replica.settings
        with self._captor.stopped(), raw.slot(settings):
            load = os.getloadavg()[0]
            self.lay()
            clocks = self._clocks(time.process_time, lambda: walsender(self._replica, raw.SLOT))
            flow = raw.drained(settings, contestant.protocol, self._rows, clocks)
        return self._window(contestant, number, "stream", flow, 0, load)

    def _clocks(
        self, reader: Callable[[], float], sender: Callable[[], int] | None = None
    ) -> Callable[[], Moment]:
        """What to read at a moment; the sender's pid is asked for once, when there is one."""
        found: list[int] = []

        def now() -> Moment:
            clock = {"wall": time.monotonic()}  # first: the others take their time
            if sender is not None and not found:
                found.append(sender())
            return clock | {
                "machine": machine_s(),
                "reader": reader(),
                "sender": sum(map(cpu_s, found)),
                "kafka": self._worker.cpu_s("kafka"),
            }

        return now

    @staticmethod
    def _patience() -> Callable[[], None]:
        """A rest between two looks that ends in Failed once it has been too long."""
        deadline = time.monotonic() + PATIENCE_S

        def rest() -> None:
            if time.monotonic() > deadline:
                raise Failed(f"the rows have not all arrived in {PATIENCE_S:.0f} s")
            time.sleep(LOOK_S)

        return rest

    def _window(
        self,
        contestant: Contestant,
        number: int,
        way: Way,
        flow: Flow[Moment],
        repeated: int,
        load: float,
    ) -> Window:
        spent = since(flow.first.moment, flow.last.moment)
        known = spent["reader"] + spent["sender"] + spent["kafka"]
        return Window(
            contestant=contestant.name,
            round=number,
            way=way,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            rows=flow.rows,
            seconds=round(spent["wall"], 3),
            reader_cpu_s=round(spent["reader"], 2),
            sender_cpu_s=round(flow.last.moment["sender"], 2),
            sent=self._rows if way == "stream" else 0,
            repeated=repeated,
            load=(round(load, 1), round(os.getloadavg()[0], 1)),
            others=others(spent["machine"], known, spent["wall"]),
        )
