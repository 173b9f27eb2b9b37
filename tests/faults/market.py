"""Rows D: ingest by streams of some pairs, while the exchange misbehaves; then O1 and O8.

    with market(rig, trial) as pairs:
        pairs.exchange.script({"path": "stream:*@trade", "action": {"do": "duplicate"}})
        …

At the end of the block the faults are taken away, and PostgreSQL must hold every trade that the
exchange has told since the beginning, digit for digit and once, or say in `gaps` why not; and every
closed candle. Then both stores are compared as after every fault.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.exchange import MINUTE_MS, Candle, Exchange, Tape, Trade, judge
from tests.faults.rig import Rig, metrics_of
from tests.faults.trial import Trial

PAIRS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
TPS = 10  # of the load beside the market
WHOLE_S = 120.0
FLOWS_S = 90.0
VENUE = "simulator"
LOST = ("exchange-confirmed", "unprovable")

HELD = """
SELECT trade_id, price, quantity, quote_quantity, is_buyer_maker, traded_at_us / 1000
  FROM trades WHERE venue = %s AND symbol = %s AND trade_id BETWEEN %s AND %s AND traded_at >= %s
 ORDER BY trade_id, traded_at
"""
CANDLES = """
SELECT (extract(epoch FROM open_time) * 1000)::bigint, open, high, low, close, volume,
       quote_volume, trade_count::numeric, taker_buy_volume, taker_buy_quote_volume
  FROM klines WHERE venue = %s AND symbol = %s AND interval = '1m' AND is_closed
   AND open_time >= %s AND open_time < %s ORDER BY open_time
"""
GAPS = """
SELECT first_missing, last_missing, state FROM gaps
 WHERE venue = %s AND symbol = %s AND stream = 'trades' AND last_missing >= %s
"""
ACCOUNTED = """
WITH asked (venue, symbol, first, last, since) AS (
    VALUES (%s, %s, %s::bigint, %s::bigint, %s::timestamptz)
), held AS (
    SELECT count(DISTINCT t.trade_id) AS ids FROM trades AS t JOIN asked AS a
        ON t.venue = a.venue AND t.symbol = a.symbol
       AND t.trade_id BETWEEN a.first AND a.last AND t.traded_at >= a.since
), noted AS (
    SELECT coalesce(sum(least(g.last_missing, a.last) - greatest(g.first_missing, a.first) + 1)
                    FILTER (WHERE g.state IN ('exchange-confirmed', 'unprovable')), 0) AS ids,
           count(g) FILTER (WHERE g.state = 'open') AS open
      FROM asked AS a LEFT JOIN gaps AS g
        ON g.venue = a.venue AND g.symbol = a.symbol AND g.stream = 'trades'
       AND g.last_missing >= a.first AND g.first_missing <= a.last
)
SELECT held.ids + noted.ids >= asked.last - asked.first + 1 AND noted.open = 0
  FROM asked, held, noted
"""


class Pairs:
    """Some pairs of the exchange from now on, and what PostgreSQL holds of them."""

    def __init__(self, rig: Rig, exchange: Exchange, symbols: Sequence[str]) -> None:
        self.exchange = exchange
        self.symbols = tuple(symbols)
        self.since_ms = exchange.now_ms()
        self.since = datetime.fromtimestamp(self.since_ms / 1000, UTC)
        self._rig = rig
        self._first = {symbol: exchange.last_id(symbol) + 1 for symbol in symbols}

    # --- what ingest says ---------------------------------------------------------------------

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric of ingest, over all labels that are not given; 0 where it is silent."""
        text = metrics_of(int(self._rig.pipeline.env["TIDEMARK_INGEST_METRICS_PORT"]))
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"tidemark_ingest_{name}" and labels.items() <= sample.labels.items()
        )

    def flows(self) -> bool:
        """Whether every stream flows and no poll stands in for one."""
        wanted = self.metric("streams_wanted")
        live = wanted == self.metric("streams_live")
        return wanted > 0 and live and not self.metric("stream_fallback_polls")

    def wait_flowing(self, within_s: float = FLOWS_S) -> None:
        """Wait until all streams flow."""
        self._rig.until("every stream flows", lambda: self.flows() or None, within_s)

    def join(self, symbol: str, first: int) -> None:
        """Have a tape of another symbol, too, from this id on."""
        self._first[symbol] = first

    # --- O8 -----------------------------------------------------------------------------------

    def made_good(self, trial: Trial, within_s: float = WHOLE_S) -> float:
        """Wait until all that was told up to now is held or accounted for; how long that took."""
        began = time.monotonic()
        last = {symbol: self.exchange.last_id(symbol) for symbol in self.symbols}
        for symbol in self.symbols:
            self._rig.until(
                f"the trades of {symbol} up to {last[symbol]}",
                partial(self._accounted, symbol, last[symbol]),
                within_s,
            )
        seconds = round(time.monotonic() - began, 1)
        trial.recovery_s = max(seconds, trial.recovery_s or 0)
        return seconds

    def _accounted(self, symbol: str, last: int) -> bool | None:
        """True once each id up to the last is held or lost for good, and none is asked for."""
        found = self._rig.sql(ACCOUNTED, VENUE, symbol, self._first[symbol], last, self.since)
        return bool(found[0][0]) or None

    def prove(self, trial: Trial) -> None:
        """Compare trades and closed candles, value for value."""
        tapes = {symbol: self.tape(symbol) for symbol in self.symbols}
        told, lost = (sum(getattr(t, name) for t in tapes.values()) for name in ("told", "lost"))
        candles = sum(self._candles(symbol) for symbol in self.symbols)
        lost_text = f", {lost} accounted for in gaps" if lost else ""
        trial.note(f"{told:,} trades and {candles} candles as the exchange told them{lost_text}")
        assert told > 0, "nothing was traded"
        assert all(tape.whole for tape in tapes.values()), f"the tape is not whole: {tapes}"

    def tape(self, symbol: str) -> Tape:
        """Every trade that was told of a symbol up to now against what is held."""
        first, last = self._first[symbol], self.exchange.last_id(symbol)
        self._rig.until(
            f"trade {last} of {symbol}", partial(self._accounted, symbol, last), WHOLE_S
        )
        told = self.exchange.trades(symbol, range(first, last + 1))
        held: list[Trade] = self._rig.sql(HELD, VENUE, symbol, first, last, self.since)
        lost = [
            range(max(start, first), min(end, last) + 1)
            for start, end, state in self._rig.sql(GAPS, VENUE, symbol, first)
            if state in LOST
        ]
        return judge(told, held, lost)

    def _candles(self, symbol: str) -> int:
        """How many closed candles are compared; those of whole minutes since the beginning."""
        since_ms = -(-self.since_ms // MINUTE_MS) * MINUTE_MS
        until_ms = (self.exchange.now_ms() - 5000) // MINUTE_MS * MINUTE_MS
        if until_ms <= since_ms:
            return 0
        told = self.exchange.candles(symbol, since_ms, until_ms)
        span = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (since_ms, until_ms)]

        def held() -> list[Candle]:
            rows: list[Candle] = self._rig.sql(CANDLES, VENUE, symbol, *span)
            return rows

        def as_told() -> bool | None:
            return held() == told or None

        try:
            self._rig.until(f"candles of {symbol}", as_told, WHOLE_S)
        except AssertionError:
            wrong = set(told) ^ set(held())
            raise AssertionError(f"candles of {symbol} differ: {sorted(wrong)[:4]}") from None
        return len(told)

    def set_aside(self, endpoint: str = "") -> list[tuple[str, str, str]]:
        """(endpoint, reason, text) of what went to quarantine since the beginning."""
        rows: list[tuple[str, str, str]] = self._rig.sql(
            "SELECT endpoint, reason, convert_from(raw, 'UTF8') FROM quarantine "
            "WHERE received_at >= %s AND endpoint LIKE %s ORDER BY id",
            self.since,
            f"%{endpoint}%",
        )
        return rows

    def gaps(self) -> dict[str, int]:
        """How many rows of `gaps` in trades that came since the beginning there are, by state."""
        states: Counter[str] = Counter()
        for symbol, first in self._first.items():
            for _, _, state in self._rig.sql(GAPS, VENUE, symbol, first):
                states[state] += 1
        return dict(states)


@contextmanager
def market(
    rig: Rig,
    trial: Trial,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    symbols: Sequence[str] = PAIRS,
    rules: Sequence[dict[str, Any]] = (),
    command: Sequence[str] = (),
) -> Iterator[Pairs]:
    """Ingest by streams, with these variables and this command; `rules` hold before it begins."""
    streamed = {
        "TIDEMARK_STREAMS": "on",
        "TIDEMARK_SYMBOLS": ",".join(symbols),
        "TIDEMARK_DEPTH_EVERY_S": "5",
        "TIDEMARK_KLINES_EVERY_S": "5",
    }
    environment = {**streamed, **variables}
    with closing(Exchange(rig.pipeline.env["TIDEMARK_SIMULATOR_URL"])) as exchange:
        exchange.heal()
        with rig.under_load(trial, tps=TPS):
            pairs = Pairs(rig, exchange, symbols)
            if rules:
                exchange.script(*rules)
            with rig.restarted_as("ingest", environment, command):
                try:
                    if environment["TIDEMARK_STREAMS"] == "on":
                        pairs.wait_flowing()
                    else:
                        pairs.made_good(Trial(0))
                    yield pairs
                finally:
                    exchange.heal()
                pairs.made_good(trial)
                pairs.prove(trial)
