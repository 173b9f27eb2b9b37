"""Row D11: symbols halt, break off, vanish, come back as others, are renamed; one is not ASCII."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

from tests.faults.exchange import MINUTE_MS, Exchange
from tests.faults.market import VENUE, Pairs, market
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial

WELL = ("BTCUSDT", "币安人生USDT")
HALTED, BROKEN, GONE, OTHER = "LTCUSDT", "BCHUSDT", "DOTUSDT", "AVAXUSDT"
OLD, NEW, BOTH = "MANAUSDT", "MANDUSDT", "MAN?USDT"  # one asset before and after, and a pattern
EVENTS = "SELECT DISTINCT symbol, kind FROM events WHERE venue = %s AND at >= %s"
LISTED = """
SELECT symbol, base_asset, delisted_at IS NULL FROM listings
 WHERE venue = %s AND symbol = ANY(%s) ORDER BY listed_at
"""
BASES = ("AVAX", "NEAR")  # what the last one is of: this, then that
NOTICED_S = 180.0  # a change holds from the next minute on, and a look each 20 s finds it
CALM_S = 30


@row("D11")
def test_d11_symbols_come_and_go(rig: Rig, trial: Trial) -> None:
    """Each is told and left alone until it is back; the others miss nothing."""
    watched = ",".join((*WELL, HALTED, BROKEN, GONE, OTHER, BOTH))
    variables = {"TIDEMARK_SYMBOLS": watched, "TIDEMARK_EXCHANGE_INFO_EVERY_S": "20"}
    with market(rig, trial, variables, symbols=WELL) as pairs:
        exchange = pairs.exchange
        (listed,) = exchange.get("exchangeInfo", symbol=OTHER)["symbols"]
        before = listed["baseAsset"]
        after = next(base for base in BASES if base != before)
        pairs.join(OLD, exchange.last_id(OLD) + 1)
        away = {HALTED: "HALT", BROKEN: "BREAK", GONE: "GONE", OTHER: "GONE", OLD: "BREAK"}
        heard = [each for each in away if not asking(exchange, pairs.since_ms, each)[1]]
        assert heard == [], "was never subscribed to, so that silence would prove nothing"
        try:
            for symbol, status in away.items():
                exchange.list_as(symbol, status)
            stops = {symbol: "delisting" if away[symbol] == "GONE" else "halt" for symbol in away}
            wait_told(rig, pairs, set(stops.items()))
            began_ms = exchange.now_ms()
            time.sleep(CALM_S)
            asked = exchange.asked(began_ms)
            storms = {symbol: asking(exchange, began_ms, symbol) for symbol in away}
            opened = exchange.asked(began_ms, "/stream")
            renamed(rig, trial, pairs)
        finally:
            if exchange_lists(exchange, NEW):
                exchange.list_as(NEW, "GONE")
            for symbol in away:
                exchange.list_as(symbol, "TRADING", base=after if symbol == OTHER else None)
        wanted = {
            (HALTED, "resumption"),
            (BROKEN, "resumption"),
            (GONE, "listing"),
            (OTHER, "relisting"),
        }
        wait_told(rig, pairs, wanted)
        back_ms = exchange.now_ms()
        for symbol in (HALTED, BROKEN):
            rig.until(f"{symbol} is traded", partial(traded, rig, symbol, back_ms), 120)
        bases = [base for _, base, _ in rig.sql(LISTED, VENUE, [OTHER])]
        trial.happened(f"{HALTED} HALT, {BROKEN} BREAK, {GONE} gone and back, {OTHER} as another")
        requests, messages = (sum(len(found[n]) for found in storms.values()) for n in (0, 1))
        trial.note(
            f"in {CALM_S} s {requests} of {len(asked)} requests and {messages} subscriptions "
            f"named one of them, {len(opened)} streams were opened"
        )
        assert (requests, messages, opened) == (0, 0, [])
        assert bases[-2:] == [before, after]


def renamed(rig: Rig, trial: Trial, pairs: Pairs) -> None:
    """The old name, which has stopped, goes as the new one comes: none of either's ids is lost."""
    exchange = pairs.exchange
    old = pairs.tape(OLD)
    # it has been traded since the minute before: a tape is of what was traded since our beginning
    time.sleep(max(0.0, (pairs.since_ms + 2 * MINUTE_MS - exchange.now_ms()) / 1000))
    began_ms = exchange.now_ms()
    exchange.list_as(NEW, "TRADING", base="MAND", was=OLD)
    wait_told(rig, pairs, {(OLD, "delisting"), (NEW, "listing"), (NEW, "rename")})
    rig.until(f"{NEW} is traded", partial(traded, rig, NEW, began_ms - 2 * MINUTE_MS), 120)
    time.sleep(CALM_S)
    pairs.join(NEW, 0)
    new = pairs.tape(NEW)
    requests, messages = asking(exchange, began_ms, OLD)
    streams = [name for each in asking(exchange, began_ms, NEW)[1] for name in each]
    listings = {symbol: is_listed for symbol, _, is_listed in rig.sql(LISTED, VENUE, [OLD, NEW])}
    trial.happened(f"{OLD} renamed to {NEW}")
    trial.note(f"{old.told} trades of {OLD} and {new.told} of {NEW}, none missing")
    assert old.told > 0
    assert old.whole
    assert new.told > 0
    assert new.whole
    assert listings == {OLD: False, NEW: True}
    assert (requests, messages) == ([], [])
    assert streams
    anew = len(exchange.asked(began_ms, "/stream"))  # connections, each of which may ask again
    assert max(Counter(streams).values()) <= 1 + anew


def asking(exchange: Exchange, since_ms: int, symbol: str) -> tuple[list[Any], list[list[str]]]:
    """Requests that name a symbol, and of each SUBSCRIBE its streams of it; where there are any."""
    requests = [each for each in exchange.asked(since_ms) if symbol in each["query"]]
    own = f"{symbol.lower()}@"
    messages = [
        [name for name in each["query"].split("/") if name.startswith(own)]
        for each in exchange.asked(since_ms, "SUBSCRIBE")
        if each["path"] == "SUBSCRIBE"
    ]
    return requests, [names for names in messages if names]


def exchange_lists(exchange: Exchange, symbol: str) -> bool:
    """Whether exchangeInfo has it."""
    return any(each["symbol"] == symbol for each in exchange.get("exchangeInfo")["symbols"])


def wait_told(rig: Rig, pairs: Pairs, wanted: set[tuple[str, str]]) -> None:
    """Wait until there is an event of each."""

    def told() -> bool | None:
        return wanted <= set(rig.sql(EVENTS, VENUE, pairs.since)) or None

    rig.until(f"events of {sorted(wanted)}", told, NOTICED_S)


def traded(rig: Rig, symbol: str, since_ms: int) -> bool | None:
    """True once there are trades of a symbol since then."""
    found = rig.sql(
        "SELECT count(*) FROM trades WHERE venue = %s AND symbol = %s AND traded_at_us >= %s "
        "AND traded_at >= now() - interval '1 hour'",
        VENUE,
        symbol,
        since_ms // MINUTE_MS * MINUTE_MS * 1000,
    )
    return bool(found[0][0]) or None
