"""Which candles to ask for next: the newest ones, or what an outage left out; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from contracts.market import Kline
from ingest.binance import endpoints
from ingest.intervals import INTERVALS, following

NEWEST = 3  # the open candle, the one that just closed, and one in case a poll was late


class Candles:
    """The open time of the last closed candle of each (symbol, interval) of one venue."""

    def __init__(self, last_closed: Mapping[tuple[str, str], datetime]) -> None:
        """`last_closed` are those that the database holds."""
        self._last = {key: _ms(opened) for key, opened in last_closed.items()}

    def request(self, symbol: str, interval: str, now: datetime) -> endpoints.Request:
        """The newest candles, or from the first one missed on where NEWEST do not reach back."""
        last = self._last.get((symbol, interval))
        if last is None or _ms(now) - last < NEWEST * INTERVALS[interval]:
            return endpoints.klines(symbol, interval, limit=NEWEST)
        start = following(interval, last)
        return endpoints.klines(symbol, interval, limit=endpoints.PAGE, start_ms=start)

    def follows(self, kline: Kline) -> bool:
        """Whether no closed candle is missing before this one, as far as anybody knows."""
        last = self._last.get((kline.symbol, kline.interval))
        return last is None or _ms(kline.open_time) <= following(kline.interval, last)

    def take(self, klines: Iterable[Kline]) -> None:
        """Remember the closed ones among candles that were handed on."""
        for kline in klines:
            if kline.is_closed:
                key = (kline.symbol, kline.interval)
                self._last[key] = max(self._last.get(key, 0), _ms(kline.open_time))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
