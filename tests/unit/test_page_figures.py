"""Figures hold what the rows say, in the places where a person looks for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from page.candles import WIDTHS
from page.figures.market import candlesticks, depth, heat, trend
from page.figures.pipeline import STATES, arrivals, certificates, waterfall
from page.health import Took
from page.health import arrivals as arrived
from page.rows import Book, Candle, Minute, Price
from tests.page_rows import PRICES, VENUE, Recorded

NOON = datetime(2026, 1, 15, 12, 0, 30, tzinfo=UTC)
RECORDED = Recorded(NOON)


def read(figure: Any) -> dict[str, Any]:
    """The figure as plain lists and dicts."""
    made: dict[str, Any] = figure.to_dict()
    return made


@pytest.mark.parametrize("symbol", PRICES)
def test_candles_are_told_apart_and_their_axis_has_the_decimals_of_the_tick(symbol: str) -> None:
    """Closed and open candles, volume as wide as a candle; no exponent at 0.00000012."""
    minutes = RECORDED.candles(VENUE, [symbol], NOON - timedelta(hours=1), NOON)[symbol]
    tick = Decimal(PRICES[symbol][1])
    made = read(candlesticks(minutes, WIDTHS[0], view="a", tick=tick))
    closed, still_open, mean, volume = made["data"][:4]
    assert len(closed["x"]) == len(minutes) - 1
    assert list(still_open["x"]) == [minutes[-1].open_time]
    assert closed["increasing"]["fillcolor"] != still_open["increasing"]["fillcolor"]
    assert [value is None for value in mean["y"]] == [True] * 19 + [False] * (len(minutes) - 19)
    assert volume["yaxis"] == "y2"
    assert max(volume["width"]) < 60_000  # ms: candles beside each other do not touch
    places = len(PRICES[symbol][1].partition(".")[2])
    assert made["layout"]["yaxis"]["tickformat"] == f",.{places}f"


def test_patterns_are_marked_above_or_below_their_candles() -> None:
    """A doji, then a candle that falls and one that engulfs it."""
    one = Decimal(1)
    minutes: list[Candle] = []
    for prices in ("100 105 95 100", "105 106 99 100", "100 107 99 106"):
        opened, high, low, close = map(Decimal, prices.split())
        moment = NOON + timedelta(minutes=len(minutes))
        minutes.append(Candle(moment, opened, high, low, close, one, one, is_closed=True))
    doji, engulfing = read(candlesticks(minutes, WIDTHS[0], view="a"))["data"][4:]
    assert (doji["name"], list(doji["x"]), list(doji["y"])) == ("doji", [NOON], [105.0])
    assert engulfing["name"] == "bullish engulfing"
    assert (list(engulfing["x"]), list(engulfing["y"])) == ([NOON + timedelta(minutes=2)], [99.0])


@pytest.mark.parametrize("price", ["0.00000012", "100000.00"])
def test_price_that_stands_still_fills_its_axis(price: str) -> None:
    """Some ticks above and below it, not −1 … 1."""
    tick = Decimal("0.00000001") if price.startswith("0.") else Decimal("0.01")
    still = [Price("X", NOON + timedelta(seconds=n), Decimal(price), 0) for n in range(3)]
    low, high = read(trend(still, view="a", tick=tick))["layout"]["yaxis"]["range"]
    assert low < float(price) < high
    assert high - low == pytest.approx(float(6 * tick), rel=1e-3)


def test_depth_of_a_small_price_has_levels() -> None:
    """One tick of PEPEUSDT is eight percent of it."""
    book = RECORDED.book(VENUE, "PEPEUSDT")
    assert book is not None
    bids, asks = read(depth(book, view="a"))["data"]
    assert len(bids["x"]) > 5
    assert len(asks["x"]) == 20


def test_zoom_outlives_a_refresh_and_not_another_symbol() -> None:
    """What Plotly keeps the view by is the symbol and the width."""
    one, same, other = (
        read(candlesticks([], WIDTHS[0], view=view))["layout"]["uirevision"]
        for view in ("BTCUSDT 1m", "BTCUSDT 1m", "ETHUSDT 1m")
    )
    assert one == same != other


def test_trend_is_a_price_and_its_mean() -> None:
    """The same moments, two lines."""
    prices = RECORDED.prices(VENUE, "BTCUSDT", NOON - timedelta(minutes=20), NOON)
    mean, price = read(trend(prices, view="a"))["data"]
    assert list(mean["x"]) == list(price["x"]) == [each.observed_at for each in prices]
    assert list(price["y"]) == [float(each.price) for each in prices]


def test_depth_grows_away_from_the_middle() -> None:
    """Bids to the left, asks to the right, each side cumulative."""
    book = RECORDED.book(VENUE, "BTCUSDT")
    assert book is not None
    bids, asks = read(depth(book, view="a"))["data"]
    assert list(bids["x"]) == sorted(bids["x"], reverse=True)
    assert list(asks["x"]) == sorted(asks["x"])
    assert max(bids["x"]) < min(asks["x"])
    assert list(bids["y"]) == sorted(bids["y"])


def test_book_with_one_side_draws_nothing() -> None:
    """There is no middle to measure from."""
    level = (Decimal(5), Decimal(1))
    book = Book("X", NOON, Decimal(0), Decimal(1), (level,), ())
    assert read(depth(book, view="a"))["data"] == []


def test_heat_shows_the_most_traded_and_no_html() -> None:
    """A name that is HTML, which Plotly would read as such, is escaped."""
    recorded = Recorded(NOON)
    recorded.symbols["<a href='javascript:x'>"] = ("1", "1")
    (map_,) = read(heat(recorded.tickers(VENUE), view="a"))["data"]
    assert map_["labels"][0] == "BTCUSDT"
    assert not [label for label in map_["labels"] if "<" in label]
    assert list(map_["values"]) == sorted(map_["values"], reverse=True)


def test_waterfall_ends_at_the_sum_of_its_stages() -> None:
    """And says each stage's p99 beside its median."""
    stages = [Took("ingest", 2.0, 9.0, 300), Took("debezium", 16.5, 1240.0, 300)]
    (bars,) = read(waterfall(stages))["data"]
    assert list(bars["y"]) == ["ingest", "debezium", "sum"]
    assert list(bars["x"]) == [2.0, 16.5, 18.5]
    assert list(bars["measure"]) == ["relative", "relative", "total"]
    assert bars["text"][1] == "16 ms (p99 1.24 s)"


def test_arrivals_are_dots_above_nothing() -> None:
    """A logarithm has no place for 0 ms."""
    beats = RECORDED.beats("ingest", NOON - timedelta(minutes=1), NOON)
    (dots,) = read(arrivals([*arrived(beats), (NOON, 0.0)]))["data"]
    assert len(dots["x"]) == 61
    assert min(dots["y"]) > 0


def test_certificates_are_a_line_a_symbol() -> None:
    """What was not judged is empty; a state that nobody knows yet is no other one."""
    first, second = NOON.replace(second=0), NOON.replace(second=0) + timedelta(minutes=1)
    minutes = [
        Minute("A", first, "certified"),
        Minute("A", second, "differs"),
        Minute("B", second, "incomplete"),
        Minute("C", second, "of a later version"),
    ]
    (cells,) = read(certificates(minutes))["data"]
    shown = dict(zip(cells["y"], cells["z"], strict=True))
    assert tuple(shown["A"]) == (STATES.index("certified"), STATES.index("differs"))
    assert tuple(shown["B"]) == (None, STATES.index("incomplete"))
    assert tuple(shown["C"]) == (None, None)
