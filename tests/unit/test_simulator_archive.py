"""The simulated archive: the market's own rows in the archive's writing, and its faults."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from simulator import archive_files, wire
from simulator.faults import Action, Header, Hide, Replace
from simulator.intervals import INTERVALS
from simulator.klines import Query, klines
from simulator.market import Market
from simulator.trades import MINUTE_US

MARKET = Market(7)
LISTING = MARKET.listings["TAOUSDT"]
TRADES = "/data/spot/daily/trades/TAOUSDT/TAOUSDT-trades-{}.zip"
MINUTES = "/data/spot/daily/klines/TAOUSDT/1m/TAOUSDT-1m-{}.zip"


def us(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


def packed(path: str, *faults: Action) -> bytes:
    file = archive_files.named(path)
    assert file is not None
    content = archive_files.content(MARKET, LISTING, file, faults)
    assert content is not None
    return content


def lines(path: str, *faults: Action) -> list[list[str]]:
    """The fields of the only file in it."""
    with zipfile.ZipFile(io.BytesIO(packed(path, *faults))) as archive:
        (name,) = archive.namelist()
        assert name == path.rsplit("/", 1)[-1].replace(".zip", ".csv")
        text = archive.read(name).decode()
    assert text.endswith("\n")
    return [line.split(",") for line in text.splitlines()]


def said(row: Sequence[object]) -> list[str]:
    """A value of JSON as the archive writes it."""
    return [str(value) for value in row]


@pytest.mark.parametrize(("day", "unit_us"), [("2024-12-31", 1000), ("2025-01-01", 1)])
def test_trades_of_a_day_are_those_of_rest(day: str, unit_us: int) -> None:
    """The unit of time changes with 2025."""
    start = us(*map(int, day.split("-")))
    first, end = (MARKET.first_id_at(LISTING, at) for at in (start, start + 1440 * MINUTE_US))
    run = MARKET.trades(LISTING, first, end)
    assert run is not None
    rest = [json.loads(row) for row in wire.trade_rows(LISTING, run, unit_us)]
    assert lines(TRADES.format(day)) == [said(list(row.values())) for row in rest]


@pytest.mark.parametrize(("day", "unit_us"), [("2024-12-31", 1000), ("2025-01-01", 1)])
def test_candles_of_a_day_are_those_of_rest(day: str, unit_us: int) -> None:
    """All 1440, with the last microsecond of each."""
    start = us(*map(int, day.split("-")))
    query = Query(INTERVALS["1m"], 1440, start, start + 1440 * MINUTE_US - 1)
    found = klines(MARKET, LISTING, query, us(2026, 1, 1))
    assert found is not None
    rest = [json.loads(row) for row in wire.kline_rows(LISTING, found, unit_us)]
    assert len(rest) == 1440
    assert lines(MINUTES.format(day)) == [said(row) for row in rest]


def test_a_month_is_its_days() -> None:
    """From the first to the last."""
    path = "/data/spot/monthly/klines/TAOUSDT/1h/TAOUSDT-1h-2026-02.zip"
    assert len(lines(path)) == 28 * 24


@pytest.mark.parametrize(
    "path",
    [
        "/data/spot/daily/trades/TAOUSDT/OTHER-trades-2026-01-01.zip",
        "/data/spot/daily/trades/TAOUSDT/TAOUSDT-trades-2026-02-30.zip",
        "/data/spot/daily/trades/TAOUSDT/TAOUSDT-trades-2026-01.zip",
        "/data/spot/monthly/trades/TAOUSDT/TAOUSDT-trades-2026-01-01.zip",
        "/data/spot/daily/klines/TAOUSDT/7m/TAOUSDT-7m-2026-01-01.zip",
        "/data/spot/daily/klines/TAOUSDT/1w/TAOUSDT-1w-2026-01-01.zip",
        "/data/spot/daily/klines/TAOUSDT/TAOUSDT-1m-2026-01-01.zip",
        "/data/futures/um/daily/trades/TAOUSDT/TAOUSDT-trades-2026-01-01.zip",
    ],
)
def test_other_paths_name_no_file(path: str) -> None:
    """As the archive has none of them."""
    assert archive_files.named(path) is None


def test_file_is_published_after_its_time() -> None:
    """A day a few hours later, a month a day later."""
    day = archive_files.named(TRADES.format("2026-01-31"))
    month = archive_files.named("/data/spot/monthly/trades/TAOUSDT/TAOUSDT-trades-2026-01.zip")
    assert day is not None
    assert month is not None
    assert day.published == datetime(2026, 2, 1, 3, tzinfo=UTC)
    assert month.published == datetime(2026, 2, 2, tzinfo=UTC)


def test_equal_rows_are_equal_bytes() -> None:
    """So the checksum of a file changes only with its rows."""
    path = TRADES.format("2026-01-31")
    assert packed(path) == packed(path)
    spoilt = packed(path, Hide(first=0, last=10**12, field=0))
    assert hashlib.sha256(spoilt).digest() != hashlib.sha256(packed(path)).digest()


def test_faults_spoil_the_rows_that_they_name() -> None:
    """By the place of a field; the others stay as they are."""
    path = TRADES.format("2026-01-31")
    good = lines(path)
    first = int(good[3][0])
    assert lines(path, Hide(first=first, last=first + 1, field=0)) == good[:3] + good[5:]
    changed = lines(path, Replace(field=1, value="NaN", row=2))
    assert changed[2][1] == "NaN"
    assert changed[:2] + changed[3:] == good[:2] + good[3:]
    assert lines(path, Header())[1:] == good
    assert lines(path, Header())[0][0] == "id"
