"""Rows D1 to D3 and D8 to D10: what the exchange answers is refused, broken, wrong or late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.faults.clocks import variables, wait_false
from tests.faults.exchange import MINUTE_MS, Exchange
from tests.faults.market import PAIRS, VENUE, Pairs, market
from tests.faults.matrix import row
from tests.faults.rig import ALARM_S, Rig
from tests.faults.trial import Trial

POLLED = {"TIDEMARK_STREAMS": "off"}
WEIGHT_LIMIT = 1700  # a minute: what the schedule of these rows takes is most of its share
SHARE = 0.8
IN_FLIGHT_MS = 500  # what was on its way when the refusal was written cannot be called back


@row("D1")
@pytest.mark.parametrize(("status", "seconds"), [(429, 20), (418, 120)])
def test_d01_refused_and_banned(rig: Rig, trial: Trial, status: int, seconds: int) -> None:
    """No request leaves before the exchange allows it, and never more than our share."""
    with (
        closing(Exchange(rig.pipeline.env["TIDEMARK_SIMULATOR_URL"])) as exchange,
        little_weight(exchange) as restore,
        market(rig, trial, POLLED) as pairs,
    ):
        ban(rig, trial, pairs, status, seconds)
        asked = exchange.asked(pairs.since_ms)
        restore()  # ingest starts again with its whole schedule
    refused = next(each for each in asked if each["fault"])
    over = refused["at_ms"] + seconds * 1000
    during = [each for each in asked if refused["at_ms"] + IN_FLIGHT_MS < each["at_ms"] < over]
    most = max(each["used_weight"] for each in asked)
    trial.happened(f"{status} for {seconds} s; {len(during)} requests meanwhile")
    trial.note(f"{most} of {WEIGHT_LIMIT} weight a minute used at most")
    assert during == []
    assert most <= SHARE * WEIGHT_LIMIT


@contextmanager
def little_weight(exchange: Exchange) -> Iterator[Callable[[], None]]:
    """The exchange allows little weight until the end of the block, or until it is restored."""
    usual = exchange.weight_limit

    def restore() -> None:
        exchange.weight_limit = usual

    exchange.weight_limit = WEIGHT_LIMIT
    try:
        yield restore
    finally:
        restore()


def ban(rig: Rig, trial: Trial, pairs: Pairs, status: int, seconds: int) -> None:
    """One request is refused; wait until requests are answered again."""
    action = {"do": "limit", "status": status, "retry_after_s": seconds}
    pairs.exchange.script({"path": "/api/v3/trades", "count": 1, "action": action})
    began_ms = pairs.exchange.now_ms()

    def last() -> dict[str, Any] | None:
        found = pairs.exchange.asked(began_ms)
        return found[-1] if found and any(each["fault"] for each in found) else None

    rig.until("one request is refused", last, 60)
    trial.note(rig.alarm("exchange_ban"))
    over = time.monotonic() + seconds
    rig.until(
        "requests are answered again",
        lambda: ((found := last()) and found["status"] == 200 and time.monotonic() > over) or None,
        seconds + 60,
    )


TROUBLES: dict[str, dict[str, Any]] = {
    "502": {"do": "page", "name": "gateway"},
    "-1000": {"do": "page", "name": "unknown"},
    "-1007": {"do": "page", "name": "timeout"},
    "maintenance": {"do": "page", "name": "maintenance"},
    "no answer for 12 s": {"do": "delay", "seconds": 12},
}
TROUBLE_S = 12


@row("D2")
def test_d02_exchange_in_trouble(rig: Rig, trial: Trial) -> None:
    """One kind of trouble after the other: no junk is stored, the hole is named and repaired."""
    few = {"TIDEMARK_TRADES_LIMIT": "5", "TIDEMARK_TRADE_REPAIR_LIMIT": "5"}
    with market(rig, trial, POLLED | few) as pairs:
        for number, (name, action) in enumerate(TROUBLES.items()):
            since_s = number * TROUBLE_S
            when = {"from_s": since_s, "until_s": since_s + TROUBLE_S}
            pairs.exchange.script({"id": name, "path": "/api/*", "action": action, **when})
        time.sleep(len(TROUBLES) * TROUBLE_S)
        acted = pairs.exchange.acted()
        pairs.exchange.heal()
        pairs.made_good(trial)
        kept = pairs.set_aside()
        found = pairs.gaps()
    trial.happened(f"answers spoilt: {acted}")
    trial.note(f"{len(kept)} pages of maintenance in quarantine; gaps {found}")
    assert set(acted) == set(TROUBLES)
    assert min(acted.values()) > 0
    assert kept
    assert all("System maintenance" in raw for _, _, raw in kept)
    assert set(found) == {"repaired"}


BAD = ("NaN", "Infinity", "1e-8", "-1.5")


def spoilt(path: str, field: str, value: str, *, bare: bool = False) -> dict[str, Any]:
    action = {"do": "replace", "field": field, "value": value, "bare": bare}
    return {"id": f"{path} {value}{' bare' * bare}", "path": path, "count": 1, "action": action}


@row("D3")
@pytest.mark.parametrize("way", ["polled", "streamed"])
def test_d03_values_that_are_none(rig: Rig, trial: Trial, way: str) -> None:
    """Each broken row is set aside with its own bytes, exactly once; none of it is a number."""
    path, field, variables = {
        "polled": ("/api/v3/ticker/price", "price", POLLED | {"TIDEMARK_PRICES_EVERY_S": "2"}),
        "streamed": ("stream:!miniTicker@arr", "c", {}),
    }[way]
    with market(rig, trial, variables) as pairs:
        rules = [spoilt(path, field, value) for value in BAD]
        rules += [spoilt(path, field, value, bare=True) for value in ("NaN", "Infinity")]
        if way == "polled":  # of a frame nothing is cut off: its length stands before it
            cut = {"do": "cut", "share": 0.5, "close": False}
            for name, how in (("cut", cut), ("cut gzip", cut | {"gzip": True})):
                rules.append({"id": name, "path": path, "count": 1, "action": how})
        pairs.exchange.script(*rules)
        rig.until(
            "every fault has acted",
            lambda: all(each == 1 for each in pairs.exchange.acted().values()) or None,
            90,
        )
        injected = len(pairs.exchange.acted())
        rig.until("they are set aside", lambda: len(pairs.set_aside()) >= injected or None, 60)
        time.sleep(5)
        kept = pairs.set_aside()
    junk = rig.sql(
        "SELECT count(*) FROM prices WHERE venue = %s AND observed_at >= %s "
        "AND NOT (price > 0 AND price < 'Infinity')",
        VENUE,
        pairs.since,
    )
    trial.happened(f"{injected} answers were spoilt: {', '.join(each['id'] for each in rules)}")
    trial.note(f"{len(kept)} in quarantine")
    assert len(kept) == injected
    assert junk == [(0,)]


@row("D8")
@pytest.mark.parametrize("how", ["revised", "late"])
def test_d08_candles_revised_and_late(rig: Rig, trial: Trial, how: str) -> None:
    """The exchange's last word on a candle wins, whenever and in whatever order it is heard."""
    if how == "late":
        with market(rig, trial) as pairs:
            held = {"do": "hold_back"}
            path = "stream:*@kline_1m"
            pairs.exchange.script({"id": how, "path": path, "probability": 0.7, "action": held})
            time.sleep(130)
            acted = pairs.exchange.acted()[how]
            trial.happened(f"{acted} frames of candles came after their followers")
            assert acted > 0
        return
    with market(rig, trial, POLLED) as pairs:
        wrong = {"do": "replace", "field": 5, "value": "77.00000000", "row": -2}  # just closed
        path, symbol = "/api/v3/klines", PAIRS[0]
        pairs.exchange.script({"path": path, "symbol": symbol, "action": wrong})
        minute = next_minute(pairs)
        wait_stored(rig, minute, 77)
        pairs.exchange.heal()
        trial.happened(f"the candle of {minute:%H:%M} of {symbol} was told with a volume of 77")
        rig.until("it is certified", lambda: certified(rig, minute), 300)


def next_minute(pairs: Pairs) -> datetime:
    """The first whole minute from now on."""
    return datetime.fromtimestamp((pairs.exchange.now_ms() // MINUTE_MS + 1) * 60, UTC)


def wait_stored(rig: Rig, minute: datetime, volume: int) -> None:
    """Wait until the closed candle of the first pair is stored with this volume."""
    query = (
        "SELECT true FROM klines WHERE venue = %s AND symbol = %s AND interval = '1m' "
        "AND open_time = %s AND volume = %s AND is_closed"
    )
    look = (query, VENUE, PAIRS[0], minute, volume)
    rig.until("the wrong candle is stored", lambda: rig.sql(*look) or None, 150)


def certified(rig: Rig, minute: datetime) -> bool | None:
    """True once the trades of a minute of the first pair make its candle."""
    found = rig.sql(
        "SELECT true FROM certificates WHERE venue = %s AND symbol = %s AND open_time = %s "
        "AND state = 'certified'",
        VENUE,
        PAIRS[0],
        minute,
    )
    return bool(found) or None


LISTEN_S = 30
LEAST_PRICES = 5  # one a second at most, where there was a trade
POLL_MS = 10_000  # a poll from before may have ended within the time
PRICES = """
SELECT (extract(epoch FROM observed_at) * 1000)::bigint AS at_ms, price FROM prices
 WHERE venue = %s AND symbol = %s
   AND observed_at BETWEEN to_timestamp(%s / 1000.0) AND to_timestamp(%s / 1000.0)
"""


def listened(exchange: Exchange, seconds: float) -> dict[int, dict[str, Decimal]]:
    """All prices that the exchange tells within about this time, by the time of each event.

    It keeps the last few events. Where some were missed between two looks, it begins anew.
    """
    told: dict[int, dict[str, Decimal]] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(2)
        latest = exchange.prices_told()
        if told and not told.keys() & latest.keys():
            told.clear()
            end = time.monotonic() + seconds
        told |= latest
    return told


@row("D9")
@pytest.mark.parametrize("leap_s", [-5, 2])
def test_d09_clock_is_wrong(rig: Rig, trial: Trial, leap_s: int) -> None:
    """A price bears the very time at which the exchange told it; nothing is refused for ours.

    A poll's price has no time of its own, so each poll may make a row that no event explains.
    """
    with market(rig, trial, variables(rig, trial, leap_s)) as pairs:
        wait_false(rig, "ingest")
        told = listened(pairs.exchange, LISTEN_S)
        first, last = min(told), max(told)
        polled = pairs.exchange.asked(first - POLL_MS, "/api/v3/ticker/price")
        held = dict(rig.sql(PRICES, VENUE, PAIRS[0], first, last))
        failed = sum(
            pairs.metric("requests_total", status=status) for status in ("400", "401", "403")
        )
        kept = pairs.set_aside()
    trial.happened(f"ingest ran with its clock at {leap_s:+} s")
    exact = [at for at, price in held.items() if told.get(at, {}).get(PAIRS[0]) == price]
    trial.note(f"{len(exact)} of {len(held)} prices bear the ms at which they were told")
    assert len(exact) >= LEAST_PRICES
    assert len(held) - len(exact) <= len(polled)
    assert failed == 0
    assert kept == []


@row("D10")
def test_d10_microseconds(rig: Rig, trial: Trial) -> None:
    """Times a thousand times too large: set aside with an alarm; the true ones are read back."""
    with market(rig, trial) as pairs:
        action = {"do": "rescale"}
        paths = ("/api/v3/trades", "/api/v3/historicalTrades", "stream:*@trade")
        pairs.exchange.script(*({"id": path, "path": path, "action": action} for path in paths))
        trial.note(rig.alarm("quarantine", within_s=60 + ALARM_S))  # until there are 100 rows
        acted = pairs.exchange.acted()
        reasons = {reason for endpoint, reason, _ in pairs.set_aside("rade")}
        late = rig.sql("SELECT count(*) FROM trades WHERE traded_at > now() + interval '1 day'")
    trial.happened(f"answers in microseconds: {acted}")
    assert sum(acted.values()) > 0
    assert reasons
    assert all("microseconds?" in reason for reason in reasons)
    assert late == [(0,)]
