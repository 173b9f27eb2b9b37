"""The statistics of the last 24 hours. Pure, like `ingest.binance.messages`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from contracts.market import Ticker24h
from ingest.binance.messages import Count, Name
from ingest.binance.rows import BadValueError, Parsed, amounts, moment, read_rows, signed_amounts

TradeId = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]


class _Ticker(msgspec.Struct, rename="camel"):
    symbol: Name
    price_change: str
    price_change_percent: str
    weighted_avg_price: str
    prev_close_price: str
    last_price: str
    last_qty: str
    bid_price: str
    bid_qty: str
    ask_price: str
    ask_qty: str
    open_price: str
    high_price: str
    low_price: str
    volume: str
    quote_volume: str
    open_time: int
    close_time: int
    first_id: TradeId
    last_id: TradeId
    count: Count


_ticker = msgspec.json.Decoder(_Ticker)
_TICKER_NAMES = (
    "openPrice", "highPrice", "lowPrice", "lastPrice", "lastQty", "weightedAvgPrice",
    "prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty", "volume", "quoteVolume",
)  # fmt: skip


def tickers(body: bytes, venue: str) -> Parsed[Ticker24h]:
    """24 h statistics; symbols that nobody trades (count 0, ids −1, zero prices) are valid rows."""

    def read(raw: msgspec.Raw) -> Ticker24h:
        row = _ticker.decode(raw)
        change, percent = signed_amounts(
            (row.price_change, row.price_change_percent), ("priceChange", "priceChangePercent")
        )
        values = amounts(
            (
                row.open_price, row.high_price, row.low_price, row.last_price, row.last_qty,
                row.weighted_avg_price, row.prev_close_price, row.bid_price, row.bid_qty,
                row.ask_price, row.ask_qty, row.volume, row.quote_volume,
            ),
            _TICKER_NAMES,
        )  # fmt: skip
        if values[1] < values[2]:
            raise BadValueError(f"high {row.high_price} is below low {row.low_price}")
        return _ticker_row(row, venue, change, percent, values)

    return read_rows(body, source=venue, endpoint="ticker/24hr", read=read)


def _ticker_row(
    row: _Ticker, venue: str, change: Decimal, percent: Decimal, values: list[Decimal]
) -> Ticker24h:
    (
        open_, high, low, last, last_quantity, average, previous,
        bid, bid_quantity, ask, ask_quantity, volume, quote_volume,
    ) = values  # fmt: skip
    return Ticker24h(
        venue=venue,
        symbol=row.symbol,
        as_of=moment(row.close_time, "closeTime"),
        open_time=moment(row.open_time, "openTime"),
        open=open_,
        high=high,
        low=low,
        last=last,
        last_quantity=last_quantity,
        weighted_average=average,
        previous_close=previous,
        price_change=change,
        price_change_percent=percent,
        bid=bid,
        bid_quantity=bid_quantity,
        ask=ask,
        ask_quantity=ask_quantity,
        volume=volume,
        quote_volume=quote_volume,
        first_trade_id=row.first_id,
        last_trade_id=row.last_id,
        trade_count=row.count,
    )
