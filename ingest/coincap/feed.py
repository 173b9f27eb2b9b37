"""CoinCap's prices into the spool: lines as `ingest.coincap.lines` wants them.

What the watch wants shed is left out here, with a gap of this venue: the writer's own shedding
knows the exchange's rows only.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import msgspec
import structlog

from contracts.market import Gap
from ingest import metrics
from ingest.batch import Batch
from ingest.binance.limits import utc_now
from ingest.coincap.assets import Assets
from ingest.coincap.holes import Holes
from ingest.coincap.lines import Dial, HangUp, Lines
from ingest.coincap.messages import ENDPOINT, prices
from ingest.coincap.wire import listen
from ingest.errors import BadRequest, ExchangeError
from ingest.failing import TOLD_FROM
from ingest.schedule import Poll
from ingest.settings import IngestSettings
from ingest.shedding import Shedding
from ingest.source import Source
from ingest.tape import Tape

log = structlog.get_logger(__name__)

Put = Callable[[Batch, int], Awaitable[None]]

_TICK_S = 0.2
_LOOK_S = 5.0  # between two looks at the list of assets
_HEARD_LIMIT = 10_000  # frames that wait while the spool is full; what comes then is a hole
_PRICES = Poll(endpoint="ticker/price", every_s=1, weight=0)  # as shedding calls the stream


class _Frame(msgspec.Struct, frozen=True):
    line: int
    text: bytes
    at: datetime


class _Lost(msgspec.Struct, frozen=True):
    line: int
    error: ExchangeError


class Feed:
    """Runs until it is cancelled. A failure is told and waited out."""

    def __init__(
        self, settings: IngestSettings, source: Source, put: Put, level: Callable[[], int]
    ) -> None:
        """`level` is what the watch wants shed, see contracts.shedding."""
        self._settings = settings
        self._source = source
        self._put = put
        self._level = level
        self._assets = Assets(settings.coincap_assets, settings.assets_file)
        self._wanted = self._assets.now()
        self._lines = Lines(self._wanted, random.random)
        self._holes = Holes(source.venue)
        self._shedding = Shedding(source.venue)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._heard: deque[_Frame | _Lost] = deque()  # in order: what came before a loss counts
        self._overflowed = False
        self._looked_s = -_LOOK_S

    async def run(self, open_gaps: Iterable[Gap]) -> None:
        """Listen for ever. `open_gaps`: of this venue, by a process that ended while shedding."""
        self._shedding.resume(Tape({}), open_gaps)
        log.info("CoinCap's prices too", venue=self._source.venue, assets=len(self._wanted))
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._look_at_assets()
                self._obey(self._lines.tick(_now_s()), tasks)
                await self._hand_over(tasks)
                await asyncio.sleep(_TICK_S)

    def _look_at_assets(self) -> None:
        if _now_s() - self._looked_s < _LOOK_S:
            return
        self._looked_s = _now_s()
        wanted = self._assets.now()
        if wanted != self._wanted:
            more = sorted(set(wanted) - set(self._wanted))
            fewer = sorted(set(self._wanted) - set(wanted))
            log.info("other assets", added=more, removed=fewer, assets=len(wanted))
            self._wanted = wanted
            self._lines.want(wanted)

    def _obey(self, commands: Iterable[Dial | HangUp], tasks: asyncio.TaskGroup) -> None:
        for command in commands:
            if isinstance(command, Dial):
                self._tasks[command.line] = tasks.create_task(self._keep(command))
            elif (task := self._tasks.pop(command.line, None)) is not None:
                task.cancel()
        if not self._lines.up:
            self._holes.broke()
        self._show()

    async def _keep(self, dial: Dial) -> None:
        """One line from its beginning to its end."""

        def hear(text: bytes, at: datetime) -> None:
            self._lines.heard(dial.line, _now_s())
            if len(self._heard) < _HEARD_LIMIT:
                self._heard.append(_Frame(dial.line, text, at))
            else:
                self._overflowed = True

        try:
            await listen(self._source, dial.assets, self._settings.request_timeout_s, hear)
        except ExchangeError as error:
            self._heard.append(_Lost(dial.line, error))

    async def _hand_over(self, tasks: asyncio.TaskGroup) -> None:
        """What was heard since the last time, as one batch."""
        batch, size = Batch(watched=frozenset(self._wanted)), 0
        while self._heard:
            each = self._heard.popleft()
            if isinstance(each, _Lost):
                self._take_loss(each)
                continue
            counts, commands = self._lines.spoke(each.line, _now_s())
            if not counts:
                continue
            parsed = prices(each.text, self._source.venue, self._wanted, each.at)
            batch.gaps += self._holes.heard(each.at)
            batch.prices += parsed.rows
            batch.rejected += parsed.rejected
            size += len(each.text)
            self._obey(commands, tasks)
        if self._overflowed:
            self._overflowed = False
            self._holes.broke()
        if size:
            await self._put(self._after_shedding(batch), size)

    def _take_loss(self, loss: _Lost) -> None:
        self._tasks.pop(loss.line, None)
        refused = isinstance(loss.error, BadRequest)
        if self._lines.lost(loss.line, _now_s(), refused=refused):
            failures = self._lines.failures
            tell = log.warning if failures == (1 if refused else TOLD_FROM) else log.info
            tell("no prices of CoinCap", reason=str(loss.error), failures=failures)
        if not self._lines.up:
            self._holes.broke()

    def _after_shedding(self, batch: Batch) -> Batch:
        # a hole begins, and ends, with the first price of a batch: that one is out, or in again
        at = min((row.observed_at for row in batch.prices), default=utc_now())
        self._shedding.level = self._level()
        if not self._shedding.sheds(_PRICES):
            return msgspec.structs.replace(
                batch, gaps=[*batch.gaps, *self._shedding.polled_again(_PRICES, at)]
            )
        metrics.SHED_ROWS.labels("prices").inc(len(batch.prices))
        begun = self._shedding.leave_out(_PRICES, at)
        return msgspec.structs.replace(batch, prices=[], gaps=[*batch.gaps, *begun])

    def _show(self) -> None:
        metrics.SOURCE_UP.labels(self._source.venue).set(self._lines.up)
        failing = not self._lines.up and self._lines.failures >= TOLD_FROM
        metrics.FAILING_POLLS.labels(ENDPOINT).set(failing)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
