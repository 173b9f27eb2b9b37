"""Row D11: symbols halt, break off, vanish, come back as others; one is not ASCII."""

from __future__ import annotations

import time
from functools import partial

from tests.faults.exchange import MINUTE_MS
from tests.faults.market import VENUE, Pairs, market
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial

WELL = ("BTCUSDT", "币安人生USDT")
HALTED, BROKEN, GONE, OTHER = "LTCUSDT", "BCHUSDT", "DOTUSDT", "AVAXUSDT"
EVENTS = "SELECT DISTINCT symbol, kind FROM events WHERE venue = %s AND at >= %s"
BASES = ("AVAX", "NEAR")  # what the last one is of: this, then that
NOTICED_S = 180.0  # a change holds from the next minute on, and a look each 20 s finds it
CALM_S = 30


@row("D11")
def test_d11_symbols_come_and_go(rig: Rig, trial: Trial) -> None:
    """Each is told and left alone until it is back; the others miss nothing."""
    watched = ",".join((*WELL, HALTED, BROKEN, GONE, OTHER))
    variables = {"TIDEMARK_SYMBOLS": watched, "TIDEMARK_EXCHANGE_INFO_EVERY_S": "20"}
    with market(rig, trial, variables, symbols=WELL) as pairs:
        exchange = pairs.exchange
        (listed,) = exchange.get("exchangeInfo", symbol=OTHER)["symbols"]
        before = listed["baseAsset"]
        after = next(base for base in BASES if base != before)
        try:
            exchange.list_as(HALTED, "HALT")
            exchange.list_as(BROKEN, "BREAK")
            exchange.list_as(GONE, "GONE")
            exchange.list_as(OTHER, "GONE")
            wanted = {(HALTED, "halt"), (BROKEN, "halt"), (GONE, "delisting"), (OTHER, "delisting")}
            wait_told(rig, pairs, wanted)
            began_ms = exchange.now_ms()
            time.sleep(CALM_S)
            asked = exchange.asked(began_ms)
            storm = [each for each in asked if any(f"={s}" in each["query"] for s, _ in wanted)]
        finally:
            exchange.list_as(HALTED, "TRADING")
            exchange.list_as(BROKEN, "TRADING")
            exchange.list_as(GONE, "TRADING")
            exchange.list_as(OTHER, "TRADING", base=after)
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
        bases = rig.sql(
            "SELECT base_asset FROM listings WHERE venue = %s AND symbol = %s ORDER BY listed_at",
            VENUE,
            OTHER,
        )
        trial.happened(f"{HALTED} HALT, {BROKEN} BREAK, {GONE} gone and back, {OTHER} as another")
        trial.note(f"{len(storm)} of {len(asked)} requests in {CALM_S} s asked for one of them")
        assert storm == []
        assert bases[-2:] == [(before,), (after,)]


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
