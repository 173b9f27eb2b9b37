"""Which streams go on which connection, and what a poll is called as a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.binance.allotment import CONNECTIONS_LIMIT, STREAMS_LIMIT, allot, stream_of, streams_of
from ingest.binance.pace import Pace
from ingest.errors import ScheduleTooHeavy
from ingest.schedule import Poll


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 5), st.floats(0.5, 10))
def test_a_pace_is_kept_in_every_window(steps: list[float], count: int, per_s: float) -> None:
    """Whenever one is taken when it says it is free, no window holds more than the count."""
    pace, now_s = Pace(count, per_s), 0.0
    taken: list[float] = []
    for step in steps:
        now_s = max(now_s + step, pace.free_at_s(now_s + step))
        pace.take(now_s)
        taken.append(now_s)
        assert len(taken) <= count or now_s - taken[-1 - count] >= per_s * (1 - 1e-9)


@given(st.integers(1, 3000), st.integers(1, 2000))
def test_each_stream_has_one_connection_and_none_has_too_many(streams: int, most: int) -> None:
    """As few connections as possible, none with more than one stream above another."""
    wanted = [f"s{n}@trade" for n in range(streams)]
    try:
        allotted = allot([*wanted, wanted[0]], most)
    except ScheduleTooHeavy as error:
        assert streams / min(most, STREAMS_LIMIT) > CONNECTIONS_LIMIT
        assert "TIDEMARK_SYMBOLS" in str(error)  # noqa: PT017 - one of two right outcomes
        return
    sizes = [len(each) for each in allotted]
    assert sorted(name for each in allotted for name in each) == sorted(wanted)
    assert max(sizes) <= min(most, STREAMS_LIMIT)
    assert max(sizes) - min(sizes) <= 1
    assert (len(allotted) - 1) * min(most, STREAMS_LIMIT) < streams


NAMES = st.lists(st.sampled_from([f"s{n}" for n in range(40)]), unique=True)


@given(st.lists(NAMES, min_size=1, max_size=6), st.integers(1, 10))
def test_a_stream_that_stays_keeps_its_connection(wishes: list[list[str]], most: int) -> None:
    """Whatever comes and goes around it; and no connection ever has too many."""
    places: list[tuple[str, ...]] = []
    for wanted in wishes:
        before = {name: place for place, names in enumerate(places) for name in names}
        places = allot(wanted, most, places)
        after = {name: place for place, names in enumerate(places) for name in names}
        assert sorted(after) == sorted(wanted)
        assert sum(map(len, places)) == len(wanted)
        assert max(map(len, places), default=0) <= most
        assert {name: after[name] for name in wanted if name in before}.items() <= before.items()


def test_a_poll_knows_its_streams() -> None:
    """Names as the exchange writes them: small letters, but the interval as it is."""

    def poll(endpoint: str, symbol: str = "", interval: str = "") -> Poll:
        return Poll(endpoint=endpoint, every_s=1, weight=1, symbol=symbol, interval=interval)

    assert streams_of(poll("trades", "BTCUSDT")) == ("btcusdt@trade",)
    assert streams_of(poll("klines", "BTCUSDT", "1M")) == ("btcusdt@kline_1M",)
    assert streams_of(poll("ticker/price")) == ("!miniTicker@arr",)
    assert streams_of(poll("ticker/24hr")) == ()
    assert streams_of(poll("depth", "BTCUSDT")) == ("btcusdt@depth", "btcusdt@bookTicker")
    assert stream_of(poll("depth", "BTCUSDT")) == "btcusdt@depth"
    assert stream_of(poll("ticker/24hr")) is None
