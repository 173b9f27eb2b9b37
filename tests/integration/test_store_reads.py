"""What the store reads back: where to go on, what is missing, who moved most."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from ingest.batch import BackfillProgress, Batch, MoversPoll
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import Connection, fetch, value
from tests.market_rows import (
    MINUTE,
    NOON,
    SYMBOL,
    VENUE,
    gap,
    instrument,
    kline,
    price,
    ticker,
    trade,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("owner")]


@pytest.fixture
def store(database: PostgresEndpoint) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.close()


def test_instruments_come_back_as_they_were(store: Store) -> None:
    """By symbol; of one venue."""
    listed = [instrument("BUSDT"), instrument("AUSDT", status="HALT")]
    store.write(Batch(instruments=[*listed, instrument(venue="elsewhere")]))
    assert store.load_instruments(VENUE) == listed[::-1]


def test_newest_trade_and_price_of_each_symbol(store: Store) -> None:
    """Over midnight, in whatever order they came; too old ones are not looked for."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    store.write(
        Batch(
            instruments=[instrument("AUSDT"), instrument("BUSDT"), instrument("CUSDT")],
            trades=[
                trade(11, symbol="AUSDT", traded_at=midnight),
                trade(10, symbol="AUSDT", traded_at=midnight - MINUTE),
                trade(5, symbol="BUSDT", traded_at=midnight - timedelta(hours=3)),
                trade(99, symbol="CUSDT", traded_at=now - timedelta(days=9)),
            ],
            prices=[
                price("2", symbol="AUSDT", observed_at=midnight),
                price("1", symbol="AUSDT", observed_at=midnight - MINUTE),
            ],
        )
    )
    assert store.last_trade_ids(VENUE) == {"AUSDT": 11, "BUSDT": 5}
    assert store.last_trade_ids(VENUE, back=timedelta(days=10))["CUSDT"] == 99
    assert [(one.symbol, one.price) for one in store.latest_prices(VENUE)] == [
        ("AUSDT", Decimal(2))
    ]


def test_newest_closed_candle_of_each_interval(store: Store) -> None:
    """The open candle after it does not count."""
    store.write(
        Batch(
            instruments=[instrument()],
            klines=[kline(0), kline(1), kline(2, is_closed=False), kline(0, interval="1h")],
        )
    )
    assert store.last_closed_klines(VENUE, ["1m", "1h", "1d"]) == {
        (SYMBOL, "1m"): NOON + MINUTE,
        (SYMBOL, "1h"): NOON,
    }


def missing(store: Store, minutes: int, interval: str = "1m") -> list[tuple[int, int]]:
    """Holes between noon and some minutes later, as minutes after noon."""
    found = store.missing_klines(VENUE, SYMBOL, interval, NOON, NOON + minutes * MINUTE)
    return [((first - NOON) // MINUTE, (last - NOON) // MINUTE) for first, last in found]


def test_holes_are_found_at_both_ends_and_between(store: Store) -> None:
    """Open candles are holes, too: nobody closed them."""
    store.write(Batch(klines=[kline(2), kline(3), kline(4, is_closed=False), kline(7)]))
    assert missing(store, 10) == [(0, 1), (4, 6), (8, 9)]
    assert missing(store, 8) == [(0, 1), (4, 6)]


def test_nothing_stored_is_one_hole_and_all_stored_is_none(store: Store) -> None:
    """The two simple cases."""
    assert missing(store, 5) == [(0, 4)]
    store.write(Batch(klines=[kline(minute) for minute in range(5)]))
    assert missing(store, 5) == []
    assert missing(store, 0) == []


def test_months_are_as_long_as_they_are(store: Store) -> None:
    """1M candles: March and April are missing between February and May."""
    opened = [datetime(2025, month, 1, tzinfo=UTC) for month in (1, 2, 5)]
    store.write(Batch(klines=[kline(interval="1M", open_time=one) for one in opened]))
    holes = store.missing_klines(VENUE, SYMBOL, "1M", opened[0], datetime(2025, 6, 1, tzinfo=UTC))
    assert holes == [(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))]


def test_open_gaps_come_oldest_first(store: Store) -> None:
    """By when they were found, whatever the order in which they were written and of which symbol.

    What is read back is asked for in this order; of those found at once, by symbol and place.
    """
    found = [
        gap(5, detected_at=NOON + 2 * MINUTE),
        gap(20, symbol="ZUSDT", detected_at=NOON),
        gap(30, state="repaired", detected_at=NOON - MINUTE),
        gap(90, symbol="AUSDT", detected_at=NOON + MINUTE),
        gap(10, symbol="AUSDT", detected_at=NOON + MINUTE),
        gap(1, venue="elsewhere", detected_at=NOON - MINUTE),
        gap(70, symbol="AUSDT", detected_at=NOON + 3 * MINUTE),
    ]
    store.write(Batch(gaps=found))
    opened = [(one.symbol, one.first_missing) for one in store.open_gaps(VENUE)]
    assert opened == [
        ("ZUSDT", 20),
        ("AUSDT", 10),
        ("AUSDT", 90),
        (SYMBOL, 5),
        ("AUSDT", 70),
    ]


def progress(minutes: int, **changes: str) -> BackfillProgress:
    fields = {
        "venue": VENUE,
        "symbol": SYMBOL,
        "stream": "klines_1m",
        "start_time": NOON,
        "next_time": NOON + minutes * MINUTE,
        "source": "rest",
        "checksum": "",
    }
    return msgspec.convert({**fields, **changes}, BackfillProgress)


def test_backfill_goes_on_where_it_stopped(store: Store, owner: Connection) -> None:
    """Rows and progress are one transaction; progress never goes back."""
    where = (VENUE, SYMBOL, "klines_1m")
    assert store.backfills(*where) == []
    klines = [kline(minute) for minute in range(10)]
    assert store.copy(Batch(klines=klines), progress(10)).rows == {"klines": 10}
    assert store.backfills(*where) == [progress(10)]
    store.copy(Batch(), progress(5))
    assert store.backfills(*where) == [progress(10)]
    store.copy(Batch(), progress(20))
    assert store.backfills(*where) == [progress(20)]
    assert value(owner, "SELECT count(*) FROM klines") == 10
    assert store.backfills(VENUE, SYMBOL, "klines_1h") == []


def test_the_same_from_another_source_begins_anew(store: Store) -> None:
    """A file that was published again: what it loads counts from its own beginning."""
    where = (VENUE, SYMBOL, "klines_1m")
    file = {"source": "data/spot/BTCUSDT.zip"}
    store.copy(Batch(), progress(20, **file, checksum="aa"))
    store.copy(Batch(), progress(5, **file, checksum="bb"))
    assert store.backfills(*where) == [progress(5, **file, checksum="bb")]


def test_trades_are_bulk_loaded_into_days_of_the_past(store: Store, owner: Connection) -> None:
    """Their partitions are made; a second load adds nothing; a gap comes along."""
    day = datetime(2020, 2, 29, 23, 59, 59, tzinfo=UTC)
    trades = [trade(n, traded_at=day + n * timedelta(seconds=1)) for n in range(3)]
    assert store.copy(Batch(trades=trades, gaps=[gap()])).rows == {"trades": 3, "gaps": 1}
    assert store.copy(Batch(trades=trades)).rows == {"trades": 0}
    days = fetch(owner, "SELECT DISTINCT tableoid::regclass::text FROM trades ORDER BY 1")
    assert days == [("trades_p20200229",), ("trades_p20200301",)]


def poll(**changes: object) -> MoversPoll:
    fields = {
        "venue": VENUE,
        "snapshot_at": NOON + timedelta(microseconds=1234),
        "quote_assets": ("USDT",),
        "ranks": 3,
        "min_quote_volume": Decimal(100),
    }
    return MoversPoll(**{**fields, **changes})  # type: ignore[arg-type] # a test's shorthand


def ranking(owner: Connection, name: str) -> list[str]:
    sql = "SELECT symbol FROM movers_24h WHERE ranking = %s ORDER BY quote_asset, rank"
    return [symbol for (symbol,) in fetch(owner, sql, name)]


def market(**percent_by_symbol: str) -> Batch:
    """Instruments and tickers whose quote volume is 1000."""
    batch = Batch(movers=poll())
    for symbol, percent in percent_by_symbol.items():
        batch.instruments.append(instrument(symbol))
        batch.tickers.append(
            ticker(symbol, price_change_percent=Decimal(percent), quote_volume=Decimal(1000))
        )
    return batch


def test_movers_are_ranked_in_the_transaction_of_their_poll(
    store: Store, owner: Connection
) -> None:
    """By the tickers that came with it; snapshot_at is floored to ms."""
    written = store.write(market(A="1", B="5", C="-2", D="3"))
    assert written.rows["movers_24h"] == 9
    assert ranking(owner, "gainers") == ["B", "D", "A"]
    assert ranking(owner, "losers") == ["C", "A", "D"]
    times = "SELECT DISTINCT snapshot_at FROM movers_24h"
    assert fetch(owner, times) == [(NOON + timedelta(milliseconds=1),)]


def test_only_the_eligible_are_ranked(store: Store, owner: Connection) -> None:
    """TRADING, traded, turned over enough, of this quote asset, and fresh."""
    batch = market(GOOD="1")
    batch.instruments += [
        instrument("HALTED", status="HALT"),
        instrument("BTCPAIR", quote_asset="BTC"),
        *(instrument(symbol) for symbol in ("THIN", "DEAD", "STALE")),
    ]
    volume = Decimal(1000)
    batch.tickers += [
        ticker("HALTED", quote_volume=volume),
        ticker("BTCPAIR", quote_volume=volume),
        ticker("UNLISTED", quote_volume=volume),
        ticker("THIN", quote_volume=Decimal("99.99")),
        ticker("DEAD", quote_volume=volume, trade_count=0),
        ticker("STALE", quote_volume=volume, as_of=NOON - timedelta(hours=1)),
    ]
    store.write(batch)
    for name in ("gainers", "losers", "volume"):
        assert ranking(owner, name) == ["GOOD", "", ""]


def test_every_ranking_always_has_all_its_places(store: Store, owner: Connection) -> None:
    """Nobody there: empty symbols and zeros, for each quote asset once."""
    batch = Batch(movers=poll(quote_assets=("USDT", "BTC", "USDT")))
    assert store.write(batch).rows == {"movers_24h": 18}
    rows = "SELECT DISTINCT symbol, last, price_change_percent, quote_volume FROM movers_24h"
    assert fetch(owner, rows) == [("", 0, 0, 0)]


def test_ties_are_broken_the_same_way_every_time(store: Store, owner: Connection) -> None:
    """By turnover, then by symbol."""
    batch = market(B="1", A="1")
    batch.instruments.append(instrument("Z"))
    batch.tickers.append(ticker("Z", price_change_percent=Decimal(1), quote_volume=Decimal(2000)))
    store.write(batch)
    assert ranking(owner, "gainers") == ["Z", "A", "B"]
    assert ranking(owner, "losers") == ["Z", "A", "B"]
    assert ranking(owner, "volume") == ["Z", "A", "B"]


def test_repeated_poll_changes_nothing(store: Store, owner: Connection) -> None:
    """A snapshot, once taken, stays."""
    store.write(market(A="1"))
    assert store.write(market(B="9")).rows.get("movers_24h") is None
    assert ranking(owner, "gainers") == ["A", "", ""]
