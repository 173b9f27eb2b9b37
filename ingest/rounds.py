"""Polls by their schedule, of the symbols that are watched now.

    schedule ─► due ─► left out? streamed? under way? ─► a task that polls ─► spool
        ▲
        └── listings and rankings choose other symbols: schedule and streams follow

exchangeInfo is read each hour, and a minute after the last time wherever an answer shows that it is
out of date.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from contracts.market import Depth, Gap, Rejected
from ingest import capacity, metrics, schedule
from ingest.batch import Batch
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.errors import BadRequest, Banned, ExchangeError, RegionRefused
from ingest.failing import Failing
from ingest.polling import Market, Poller
from ingest.schedule import Poll, Schedule
from ingest.selection import Selection
from ingest.settings import IngestSettings
from ingest.shedding import Shedding
from ingest.silence import Silence
from ingest.spare import Spare
from ingest.spool import Spool
from ingest.streaming import Streaming

log = structlog.get_logger(__name__)

BYTES_A_BOOK: Final = 10_000  # of a row of `depth`, roughly
_TICK_S: Final = 0.1  # how soon an end, or a poll that is owed, is noticed
_RETRY_S: Final = 5.0  # between two tries of what nothing can begin without
_REFRESH_S: Final = 60.0  # before exchangeInfo is read again where it seems out of date


class Rounds:
    """The polls of one exchange. `failed` are the newest that failed, in words."""

    def __init__(
        self,
        settings: IngestSettings,
        client: Client,
        market: Market,
        shedding: Shedding,
        spool: Spool[Batch],
        spare: Spare,
        evidence: list[Rejected],
    ) -> None:
        """`spare` is told what the schedule leaves over.

        `evidence`: where the client notes bodies that it could not read.
        """
        self._settings = settings
        self._client = client
        self._market = market
        self._shedding = shedding
        self._spool = spool
        self._spare = spare
        self._selection = Selection(settings.symbols, settings.symbols_top)
        self.poller = Poller(settings, client, market, shedding)
        self._info, *self._whole_market = schedule.plan(settings, ())
        self._polls: list[Poll] = []  # all but exchangeInfo
        self._fallback = capacity.Fallback()
        self._running: set[Poll] = set()
        self._failing = Failing()
        self._silence = Silence(market.venue, client.bans, spool)
        self._evidence = evidence
        self._books: list[Depth] = []  # in the place of polls
        self._gaps: list[Gap] = []  # that shedding makes and ends
        self._left_out: list[str] = []  # symbols that no limit leaves room for
        self.failed: deque[str] = deque(maxlen=100)

    async def begin(self, *, once: bool) -> bool:
        """Read what everything else stands on.

        False, with `once`, where the exchange does not say it. Raises UnknownSymbol and
        ScheduleTooHeavy where the settings do not fit the exchange.
        """
        first = [self._info, *(self._whole_market if self._selection.top else ())]
        for poll in first:  # without exchangeInfo, and statistics to rank by, nothing makes sense
            while not await self._poll(poll):
                if once:
                    return False
                await asyncio.sleep(_RETRY_S)
        self._market.catalogue.require(self._selection.names)
        chosen = self._chosen()
        limit = self._client.budget.limit
        slower = capacity.check(self._settings, chosen, limit)
        self._watch(chosen)
        log.info(
            "the schedule fits",
            weight_a_minute=round(self._needed()),
            limit=limit,
            share=self._settings.weight_share,
            slower=round(slower, 1),
        )
        return True

    async def one(self) -> None:
        """Each poll, one after another: after a ban not even one more request is on its way."""
        for poll in self._polls:
            if self.poller.wants(poll) and not self._leaves_out(poll):
                await self._poll(poll)

    async def for_ever(self, tasks: asyncio.TaskGroup, streaming: Streaming) -> None:
        """Until it is cancelled; `streaming` lets polls rest."""
        clock = asyncio.get_running_loop().time
        due = Schedule(self._polls, clock())
        self._fallback.follow(self._streamed(streaming), self._slower(), clock())
        refreshed_s = ranked_s = clock()
        while True:
            now = clock()
            for poll in dict.fromkeys([*streaming.owed(), *due.due(now)]):
                self._start(tasks, streaming, poll, now)
            if now - refreshed_s > (_REFRESH_S if self.poller.stale else self._info.every_s):
                refreshed_s = now
                self._start(tasks, streaming, self._info, now)
            if self.poller.informed or now - ranked_s > self._settings.symbols_top_every_s:
                self.poller.informed, ranked_s = False, now
                if self._choose_again():
                    due.follow(self._polls, now)
                    streaming.follow(self._polls)
                    self._fallback.follow(self._streamed(streaming), self._slower(), now)
            await self.hand_over()
            await asyncio.sleep(min(max(due.next_due_s() - clock(), 0.0), _TICK_S))

    async def hand_over(self) -> None:
        """Put into the spool what was noted where nothing may wait."""
        books, gaps, rejected = list(self._books), list(self._gaps), list(self._evidence)
        if books or gaps or rejected:
            size = BYTES_A_BOOK * len(books) + sum(len(one.raw) for one in rejected)
            await self._spool.put(Batch(depth=books, gaps=gaps, rejected=rejected), size)
            del self._books[: len(books)], self._gaps[: len(gaps)], self._evidence[: len(rejected)]

    # which symbols

    @property
    def polls(self) -> Sequence[Poll]:
        """What is polled now, exchangeInfo aside."""
        return self._polls

    def _chosen(self) -> tuple[str, ...]:
        market = self._market
        return self._selection.choose(market.catalogue, market.turnover(), market.watched)

    def _choose_again(self) -> bool:
        """Follow listings and rankings as far as the limits carry; whether anything changed."""
        watched = self._market.watched
        chosen = sorted(self._chosen(), key=lambda symbol: symbol not in watched)  # newcomers last
        carried = capacity.carried(self._settings, chosen, self._client.budget.limit)
        self._leave(chosen[len(carried) :])
        if set(carried) == set(watched):
            return False
        come = [symbol for symbol in carried if symbol not in watched]
        gone = [symbol for symbol in watched if symbol not in carried]
        log.info("other symbols are watched", come=come, gone=gone)
        for poll in self._polls:
            if poll.symbol in gone:
                self._tell_over(poll)
        self._watch(carried)
        return True

    def _leave(self, symbols: list[str]) -> None:
        """Say once which symbols are wanted and left out."""
        metrics.LEFT_OUT_SYMBOLS.set(len(symbols))
        if symbols and symbols != self._left_out:
            log.warning(
                "no limit leaves room for these symbols", symbols=symbols,
                remedy="TIDEMARK_SYMBOLS_TOP, longer TIDEMARK_*_EVERY_S, or TIDEMARK_STREAMS=on",
            )  # fmt: skip
        self._left_out = symbols

    def _watch(self, symbols: Sequence[str]) -> None:
        self._market.watched.replace(symbols)
        self._polls = schedule.plan(self._settings, symbols)[1:]
        allowed = self._client.budget.limit * self._settings.weight_share
        self._spare.allow(allowed - self._needed())
        metrics.WATCHED_SYMBOLS.set(len(symbols))

    def _needed(self) -> float:
        """Weight a minute of all polls, as if nothing were streamed."""
        return sum(schedule.weight_per_minute(self._polls).values())

    def _slower(self) -> float:
        return capacity.check(
            self._settings, self._market.watched.symbols, self._client.budget.limit
        )

    def _streamed(self, streaming: Streaming) -> list[Poll]:
        return [poll for poll in self._polls if poll.symbol and streaming.stands_in(poll)]

    # one poll

    def _start(
        self, tasks: asyncio.TaskGroup, streaming: Streaming, poll: Poll, now_s: float
    ) -> None:
        """Start a poll, unless its symbol rests, a stream has it, or it is still under way."""
        reason = None
        if not self.poller.wants(poll):
            reason = "not trading"
        elif self._leaves_out(poll):
            reason = "shed"
        elif poll in self._running:
            reason = "still running"
        elif (books := streaming.instead(poll)) is not None:
            reason = "streamed"
            self._books += books
        elif not self._fallback.may(poll, now_s):
            reason = "slower"
        if reason is None:
            streaming.asked(poll)
            self._fallback.asked(poll, now_s)
            self._running.add(poll)
            tasks.create_task(self._ask(streaming, poll))
            return
        metrics.SKIPPED.labels(reason).inc()
        if reason not in {"still running", "slower"}:
            self._tell_over(poll)

    async def _ask(self, streaming: Streaming, poll: Poll) -> None:
        well = False
        try:
            well = await self._poll(poll)
        finally:
            self._running.discard(poll)
            streaming.answered(poll, well=well)

    def _leaves_out(self, poll: Poll) -> bool:
        """Whether the watch wants the poll left out; what that begins or ends goes to `gaps`."""
        if self._shedding.sheds(poll):
            self._gaps += self._shedding.leave_out(poll, utc_now())
            return True
        self._gaps += self._shedding.polled_again(poll, utc_now())
        return False

    async def _poll(self, poll: Poll) -> bool:
        """One poll into the spool; False where the exchange did not give what was asked for."""
        try:
            fetched = await self.poller.poll(poll)
        except ExchangeError as error:
            self.failed.append(f"{poll.endpoint} {poll.symbol}".strip() + f": {error}")
            if isinstance(error, Banned | RegionRefused):
                await self._silence.began(error)
            else:
                out_of_date = isinstance(error, BadRequest) or poll.endpoint == "exchangeInfo"
                self.poller.stale |= out_of_date
                self._tell_failure(poll, error)
            return False
        self._tell_over(poll)
        await self._spool.put(fetched.batch, fetched.size)
        await self._silence.over()
        return True

    def _tell_failure(self, poll: Poll, error: ExchangeError) -> None:
        """A line when a poll begins to fail, not each time that it fails again."""
        tell = log.warning if self._failing.failed(poll) else log.debug
        tell("a poll fails", endpoint=poll.endpoint, symbol=poll.symbol, reason=str(error))
        self._show_failing(poll.endpoint)

    def _tell_over(self, poll: Poll) -> None:
        self._failing.over(poll)
        self._show_failing(poll.endpoint)

    def _show_failing(self, endpoint: str) -> None:
        metrics.FAILING_POLLS.labels(endpoint).set(self._failing.count(endpoint))
