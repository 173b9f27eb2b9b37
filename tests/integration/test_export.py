"""Rows of a real Cassandra as files: what is picked, all of it, in order, digit for digit."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from cdc.times import bucket_of_interval, bucket_start
from tests.integration.conftest import Replica

pytestmark = pytest.mark.integration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime(2025, 12, 30, tzinfo=UTC)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
HOURS = 24 * 4  # over a change of month and year
CANDLE = (
    "INSERT INTO klines (venue, symbol, interval, bucket, open_time, close, is_closed) "
    "VALUES ('v', ?, ?, ?, ?, ?, true)"
)
PRICE = "INSERT INTO latest_prices (venue, symbol, observed_at, price) VALUES ('v', ?, ?, ?)"


def close(symbol: str, hour: int) -> Decimal:
    return Decimal(hour) / 10**8 + SYMBOLS.index(symbol)


@pytest.fixture(scope="module")
def filled(replica: Replica) -> Replica:
    """Candles of each hour, as 1m (a bucket a month) and as 1h (a bucket a year); two prices."""
    for symbol in SYMBOLS:
        for interval in ("1m", "1h"):
            for hour in range(HOURS):
                opened = FIRST + timedelta(hours=hour)
                start = bucket_start(bucket_of_interval(interval), _ms(opened))
                bucket = EPOCH + timedelta(milliseconds=start)
                replica.cql(CANDLE, symbol, interval, bucket, opened, close(symbol, hour))
        replica.cql(PRICE, symbol, FIRST, close(symbol, 7))
    return replica


def _ms(moment: datetime) -> int:
    return round((moment - EPOCH).total_seconds() * 1000)


def export(replica: Replica, *arguments: str) -> dict[str, Any]:
    done = replica.tidemark("export", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stderr if "-" in arguments else done.stdout)
    return told


def test_a_range_over_two_buckets_is_whole_and_in_order(filled: Replica, tmp_path: Path) -> None:
    file = tmp_path / "btc.parquet"
    chosen = ("symbol=BTCUSDT", "interval=1m", "--start", "2025-12-31", "--end", "2026-01-02")
    told = export(filled, "klines", *chosen, "--to", str(file))
    assert (told["rows"], told["partitions"]) == (48, 2)
    assert told["bytes"] == file.stat().st_size
    rows = parquet.read_table(file).to_pylist()
    assert [row["open_time"] for row in rows] == [
        FIRST + timedelta(hours=24 + n) for n in range(48)
    ]
    assert [row["close"] for row in rows] == [close("BTCUSDT", 24 + n) for n in range(48)]
    assert {row["volume"] for row in rows} == {None}


def test_what_is_not_picked_is_exported_whole(filled: Replica, tmp_path: Path) -> None:
    file = tmp_path / "klines.csv.gz"
    told = export(filled, "klines", "--to", str(file))
    assert told["rows"] == 2 * 2 * HOURS
    assert told["partitions"] == 2 * (2 + 2)  # two months and two years of each symbol
    several = export(filled, "klines", "interval=1h", "symbol=ETHUSDT,BTCUSDT,NOSUCH", "--to", "-")
    assert several["rows"] == 2 * HOURS


def test_rows_go_to_standard_output_and_words_beside_them(filled: Replica) -> None:
    """A table without a range of time; a column that is not part of the partition."""
    done = filled.tidemark("export", "latest_prices", "symbol=ETHUSDT", "--to", "-")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["symbol"], row["price"], row["observed_at"]) for row in rows] == [
        ("ETHUSDT", "1.00000007", "2025-12-30T00:00:00.000Z")
    ]
    assert "latest_prices: 1 rows of 1 partitions" in done.stderr


def test_a_wrong_word_is_one_line_with_what_there_is(filled: Replica, tmp_path: Path) -> None:
    for arguments, word in (
        (("trades", "--to", "-"), "trades_by_hour"),
        (("klines", "close=1", "--to", "-"), "not by 'close'"),
        (("klines", "--to", str(tmp_path / "k.txt")), ".parquet"),
    ):
        done = filled.tidemark("export", *arguments)
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr
    assert filled.tidemark("export", "klines", "BTCUSDT", "--to", "-").returncode == 2
