"""What is handed to the store, and what it answers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from contracts.market import (
    Certificate,
    CoinMarket,
    Depth,
    Event,
    Gap,
    Instrument,
    Kline,
    Listing,
    Price,
    Rejected,
    Ticker24h,
    Trade,
)


class MoversPoll(msgspec.Struct, frozen=True, kw_only=True):
    """Rank the venue's 24 h statistics as of this poll: `ranks` places in each ranking.

    Only symbols that are TRADING, were traded at all, and turned over at least `min_quote_volume`
    of the quote asset are ranked.
    """

    venue: str
    snapshot_at: datetime
    quote_assets: tuple[str, ...]
    ranks: int = 10
    min_quote_volume: Decimal = Decimal(0)


class Batch(msgspec.Struct, kw_only=True):
    """Rows of any tables that are written together, in one transaction.

    `watched`: symbols whose tickers also go to `ticker_24h_history`, and each of whose prices is
    told (ingest.sampling). `movers` ranks what the database holds after this batch's own tickers
    are in it.
    """

    instruments: list[Instrument] = []
    listings: list[Listing] = []
    prices: list[Price] = []
    depth: list[Depth] = []
    trades: list[Trade] = []
    klines: list[Kline] = []
    tickers: list[Ticker24h] = []
    watched: frozenset[str] = frozenset()
    movers: MoversPoll | None = None
    coin_markets: list[CoinMarket] = []
    gaps: list[Gap] = []
    certificates: list[Certificate] = []
    events: list[Event] = []
    rejected: list[Rejected] = []


class Written(msgspec.Struct, frozen=True):
    """What a write did: rows inserted or really changed by table, and rows set aside."""

    rows: dict[str, int] = {}
    quarantined: int = 0


class BackfillProgress(msgspec.Struct, frozen=True, kw_only=True):
    """`backfills`: everything in [start_time, next_time) of a stream is stored.

    `source`: rest, or the path of an archive file; `checksum` is that file's.
    """

    venue: str
    symbol: str
    stream: str
    start_time: datetime
    next_time: datetime
    source: str
    checksum: str
