"""Rows D4 to D7, D12, D13: streams are cut, silent, replaced, out of order; ids are lacking."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.market import PAIRS, Pairs, market
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial
from tests.integration.tcp_proxy import TcpProxy

CUT_S = 90
DETECTED_S = 60.0
AWAY = (  # every stream is ended at its next event, and none begins anew
    {"path": "stream:*", "action": {"do": "hang_up"}},
    {"path": "/stream", "action": {"do": "drop"}},
)


@contextmanager
def through_proxy(rig: Rig, trial: Trial, **variables: str) -> Iterator[tuple[Pairs, TcpProxy]]:
    """The exchange, requests and streams, behind a proxy."""
    port = int(rig.pipeline.env["TIDEMARK_SIMULATOR_URL"].rsplit(":", 1)[1])
    with TcpProxy(port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with market(rig, trial, {"TIDEMARK_SIMULATOR_URL": url, **variables}) as pairs:
            yield pairs, proxy
            proxy.refuse = proxy.lose_replies = False


@row("D4")
@pytest.mark.parametrize("what", ["streams", "exchange"])
def test_d04_cut_for_90_s(rig: Rig, trial: Trial, what: str) -> None:
    """Polls stand in for streams; after the whole exchange was away, trades are asked by id."""
    few = {"TIDEMARK_TRADES_LIMIT": "20"}  # of the newest: what is before them goes by ids
    with through_proxy(rig, trial, **few) as (pairs, proxy):
        if what == "streams":
            pairs.exchange.script(*AWAY)
        else:
            proxy.refuse = True
        rig.until("no stream flows", lambda: pairs.metric("streams_live") == 0 or None, 60)
        time.sleep(CUT_S)
        away_ms = pairs.exchange.now_ms()
        proxy.refuse = False
        pairs.exchange.heal()
        trial.happened(f"{what} away for {CUT_S} s")
        seconds = pairs.made_good(trial, within_s=60)
        pairs.wait_flowing()
        paths = {each["path"] for each in pairs.exchange.asked(away_ms)}
        trial.note(f"no hole {seconds:.0f} s after it; gaps {pairs.gaps()}")
        if what == "exchange":
            assert "/api/v3/historicalTrades" in paths


@row("D5")
def test_d05_half_open(rig: Rig, trial: Trial) -> None:
    """Nothing arrives and nothing is closed: noticed within a minute."""
    with through_proxy(rig, trial) as (pairs, proxy):
        proxy.lose_replies = True
        began = time.monotonic()
        rig.until(
            "the silence is noticed",
            lambda: pairs.metric("stream_fallback_polls") > 0 or None,
            DETECTED_S,
        )
        seconds = time.monotonic() - began
        time.sleep(max(0.0, 45 - seconds))
        proxy.lose_replies = False
        trial.happened(f"{proxy.lost_bytes:,} bytes of the exchange were lost")
        trial.note(f"noticed after {seconds:.0f} s")
        pairs.made_good(trial, within_s=60)
        pairs.wait_flowing()
        assert proxy.lost_bytes > 0


ROTATES_S, ENDS_S, NOTICE_S = 25, 60, 15
# ingest with days of some seconds
SHORT_DAYS = f"""
import sys
from functools import partial
from ingest.binance import stream
stream.Rules = partial(stream.Rules, rotate_after_s={ROTATES_S}, rotate_jitter_s=0)
from cli.main import main
sys.argv[1:] = ["ingest"]
main()
"""


@row("D6")
@pytest.mark.parametrize("why", ["day", "notice"])
def test_d06_connection_is_replaced(rig: Rig, trial: Trial, why: str) -> None:
    """The next connection flows before the old one ends: nothing is polled, no id is missing."""
    hang_up: dict[str, object] = {"do": "hang_up", "after_s": ENDS_S}
    program = rig.stack.run / "ingest_with_short_days.py"
    program.write_text(SHORT_DAYS)
    command = [sys.executable, str(program)]
    if why == "notice":
        hang_up |= {"after_s": ENDS_S - NOTICE_S, "notice": True, "notice_s": NOTICE_S}
        command = []
    rule = {"id": "end", "path": "/stream", "action": hang_up}
    with market(rig, trial, rules=[rule], command=command) as pairs:
        time.sleep(10)  # the polls that streams owe at first
        began_ms = pairs.exchange.now_ms()
        time.sleep(2 * ENDS_S)
        opened = pairs.exchange.asked(began_ms, "/stream")
        polled = pairs.exchange.asked(began_ms, "/api/v3/trades")
        found = pairs.gaps()
    ends = f"serverShutdown, the end {NOTICE_S} s later" if why == "notice" else "the end"
    trial.happened(f"{ends} {ENDS_S} s after each opening; {len(opened)} opened in {2 * ENDS_S} s")
    assert len(opened) > 1
    assert polled == []
    assert found == {}


@row("D7")
def test_d07_doubled_and_out_of_order(rig: Rig, trial: Trial) -> None:
    """Each trade is stored once, under its own id."""
    path = "stream:*@trade"
    kinds = {
        "three times": {"do": "duplicate", "times": 3},
        "reversed": {"do": "reverse"},
        "later": {"do": "hold_back"},
    }
    part_s = 25
    with market(rig, trial) as pairs:
        for number, (name, action) in enumerate(kinds.items()):
            when = {"from_s": number * part_s, "until_s": (number + 1) * part_s}
            chance = {"probability": 0.5} if name == "later" else {}
            pairs.exchange.script({"id": name, "path": path, "action": action, **when, **chance})
        twice = {"do": "duplicate", "times": 3}
        pairs.exchange.script({"id": "polls", "path": "/api/v3/trades", "action": twice})
        time.sleep(len(kinds) * part_s)
        acted = pairs.exchange.acted()
        trial.happened(f"frames and answers: {acted}")
        assert all(acted[name] > 0 for name in kinds)


@row("D12")
def test_d12_ids_that_the_exchange_lost(rig: Rig, trial: Trial) -> None:
    """Neither trades nor aggregates have them: confirmed, and not asked for any more."""
    with market(rig, trial) as pairs:
        symbol = PAIRS[0]
        with rig.stopped("ingest"):
            first, last = hide(rig, pairs, symbol)
        trial.happened(f"{symbol}: the exchange has no trades {first} to {last}")
        query = (
            "SELECT state FROM gaps WHERE symbol = %s AND first_missing = %s AND last_missing = %s"
        )
        confirmed = [("exchange-confirmed",)]
        look = (query, symbol, first, last)
        rig.until("confirmed", lambda: rig.sql(*look) == confirmed or None, 120)
        began_ms = pairs.exchange.now_ms()
        time.sleep(75)  # two looks for what is open
        again = pairs.exchange.asked(began_ms, "/api/v3/historicalTrades")
        trial.note(f"{len(again)} requests by id in the 75 s after it was confirmed")
        assert again == []


def hide(rig: Rig, pairs: Pairs, symbol: str) -> tuple[int, int]:
    """Trades of some aggregates from now on vanish from every answer; their first and last id."""
    exchange = pairs.exchange
    start = exchange.get("aggTrades", symbol=symbol, limit=1)[0]["a"] + 2

    def four() -> list[dict[str, int]] | None:
        found = exchange.get("aggTrades", symbol=symbol, fromId=start, limit=6)
        return found[:4] if len(found) == 6 else None

    rows = rig.until("six more aggregates", four, 120)
    first, last = rows[0]["f"], rows[-1]["l"]
    for name, field in (("trades", "id"), ("historicalTrades", "id"), ("aggTrades", "f")):
        action = {"do": "hide", "field": field, "first": first, "last": last}
        exchange.script({"path": f"/api/v3/{name}", "symbol": symbol, "action": action})
    return first, last


@row("D13")
def test_d13_postgresql_is_away(rig: Rig, trial: Trial) -> None:
    """Two minutes: what comes waits in bounded memory, and is written."""
    with market(rig, trial) as pairs:
        waiting = []
        with rig.stopped("postgres"):
            for _ in range(12):
                time.sleep(10)
                waiting.append(pairs.metric("spool_bytes"))
        trial.happened(f"PostgreSQL away for {10 * len(waiting)} s")
        trial.note(
            f"{max(waiting) / 1e6:.1f} MB waited at most; ingest {rig.rss_mb('ingest'):.0f} MB"
        )
        assert waiting[-1] > 0
        assert max(waiting) < 64 << 20
        rig.recover(trial, within_s=60)
        pairs.made_good(trial, within_s=60)
        assert pairs.gaps() == {}
