"""The one way into the database: a thread of its own that writes what the spool holds, in order.

What waits is written together, in one short transaction. While PostgreSQL is away the batch in hand
is tried again and the spool fills; nothing is dropped, and every write is idempotent, so a
transaction whose answer was lost is simply repeated.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog

from contracts.shedding import shed
from ingest import metrics
from ingest.batch import Batch, Written
from ingest.binance.limits import utc_now
from ingest.errors import StoreError
from ingest.shedding import Shedding, obeyed
from ingest.spool import Spool
from ingest.store import Store
from runtime.shutdown import Shutdown

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

BATCHES_A_TRANSACTION = 32
_RETRY_S = 1.0
_BEAT_S = 1.0
_OBEY_S = 2.0


class StoreThread:
    """The store's calls in a thread of their own, for an event loop that must not wait."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def call(self, work: Callable[[], Value]) -> Value:
        """Do `work` in the thread, again and again while PostgreSQL is away."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._thread, work)
            except StoreError as error:
                if not error.retryable:
                    raise
                metrics.WRITE_FAILURES.inc()
                log.warning("PostgreSQL is away; keeping what was fetched", reason=str(error))
                await asyncio.sleep(_RETRY_S)

    def close(self) -> None:
        """End the thread, which closes the store; a call that hangs in it is not waited for."""
        self._thread.submit(self.store.close)
        self._thread.shutdown(wait=False)


class Writer:
    """Empties the spool into the store."""

    def __init__(self, store: StoreThread, spool: Spool[Batch], shedding: Shedding) -> None:
        self._store = store
        self._spool = spool
        self._shedding = shedding
        self._unwritten: list[Batch] = []
        self.rows: Counter[str] = Counter()
        self.quarantined = 0

    async def run(self) -> None:
        """Write until the spool is closed and empty.

        Cancelled in the middle of a transaction, it may be run again: the same is written again.
        """
        while self._unwritten or (await self._fill()):
            await self._write_held()

    async def _fill(self) -> bool:
        self._unwritten = await self._spool.take(BATCHES_A_TRANSACTION)
        return bool(self._unwritten)

    async def _write_held(self) -> None:
        self._unwritten = merged(self._unwritten)
        while self._unwritten:
            batch = self._shedding.strip(self._unwritten[0], utc_now())
            self._unwritten[0] = batch  # the gap that this begins is not told a second time
            started = time.perf_counter()
            written = await self._store.call(partial(self._store.store.write, batch))
            metrics.WRITE_SECONDS.observe(time.perf_counter() - started)
            self._account(batch, written)
            del self._unwritten[0]

    def _account(self, batch: Batch, written: Written) -> None:
        metrics.LAST_WRITE.set_to_current_time()
        for table, count in written.rows.items():
            metrics.ROWS.labels(table).inc(count)
            self.rows[table] += count
        self.quarantined += written.quarantined
        for rejected in batch.rejected:
            metrics.QUARANTINED.labels(rejected.endpoint).inc()
        refused_by_store = written.quarantined - len(batch.rejected)
        if refused_by_store > 0:
            metrics.QUARANTINED.labels("store").inc(refused_by_store)


def merged(batches: Sequence[Batch]) -> list[Batch]:
    """As few batches as possible with the same rows in the same order.

    Each ranking needs the statistics of its own poll, so no batch holds two of them.
    """
    result: list[Batch] = []
    for batch in batches:
        if not result or (batch.movers and result[-1].movers):
            result.append(Batch())
        last = result[-1]
        result[-1] = Batch(
            instruments=last.instruments + batch.instruments,
            listings=last.listings + batch.listings,
            prices=last.prices + batch.prices,
            depth=last.depth + batch.depth,
            trades=last.trades + batch.trades,
            klines=last.klines + batch.klines,
            tickers=last.tickers + batch.tickers,
            watched=last.watched | batch.watched,
            movers=batch.movers or last.movers,
            coin_markets=last.coin_markets + batch.coin_markets,
            gaps=last.gaps + batch.gaps,
            certificates=last.certificates + batch.certificates,
            events=last.events + batch.events,
            rejected=last.rejected + batch.rejected,
        )
    return result


def beat_forever(store: Store, shutdown: Shutdown) -> threading.Thread:
    """Start the heartbeat: a row a second, whatever the exchange does.

    It is the pulse by which everything downstream measures its delay, so it has its own thread and
    its own connection.
    """

    def beat() -> None:
        well = True
        while not shutdown.wait(_BEAT_S):
            try:
                store.beat("ingest")
            except StoreError as error:
                if well:
                    log.warning("no heartbeat", reason=str(error))
                well = False
            else:
                well = True

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    return thread


def obey_forever(
    store: Store, shedding: Shedding, shutdown: Shutdown, valid_s: float
) -> threading.Thread:
    """Start to follow what the watch wants shed; a read that fails keeps the last level."""

    def look() -> None:
        before = shedding.level
        level, age_s = store.load_shedding()
        shedding.level = obeyed(level, age_s, valid_s)
        metrics.SHEDDING_LEVEL.set(shedding.level)
        if shedding.level != before:
            log.warning("shedding", streams=shed(shedding.level), confirmed_s_ago=round(age_s))

    def obey() -> None:
        well = True
        while True:
            try:
                look()
            except StoreError as error:
                if well:
                    log.warning("nobody says what to shed", reason=str(error))
                well = False
            else:
                well = True
            if shutdown.wait(_OBEY_S):
                return

    thread = threading.Thread(target=obey, name="shedding", daemon=True)
    thread.start()
    return thread
