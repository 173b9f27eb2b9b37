"""The ledger: what is lost, doubled or changed is found, located and put right.

Simulated exchange, real ingester, real PostgreSQL; faults in the database and in the streams.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingest import auditing, investigation, judging, readback
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.integration import ingesting as rig
from tests.integration import scratch
from tests.integration.ingesting import Simulator, ingesting, settings_for

pytestmark = pytest.mark.integration

SYMBOL = "LINKUSDT"  # the first page of its trades holds some whole minutes
MINUTE = timedelta(minutes=1)
eventually = partial(rig.eventually, timeout_s=120)


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    exchange.reset(20_000)
    return exchange


@pytest.fixture
def settings(
    database: PostgresEndpoint,
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> IngestSettings:
    """Quick polls, and an audit that neither rests nor waits for what may be on its way."""
    for module in (auditing, investigation, readback):
        monkeypatch.setattr(module, "LOOK_S", 0.5)
    monkeypatch.setattr(auditing, "LAG", timedelta(seconds=2))
    monkeypatch.setattr(judging, "SETTLED", timedelta(seconds=2))
    monkeypatch.setattr(investigation, "AGAIN", timedelta(seconds=1))
    polled = settings_for(database, simulator, tmp_path)
    return polled.model_copy(update={"audit_share": 1.0, "symbols": (SYMBOL,)})


Certificate = tuple[str, int, int, int, str]


def certificate(owner: scratch.Connection, minute: datetime) -> Certificate:
    """(state, trades, first id, last id, detail) of a minute of SYMBOL."""
    (row,) = scratch.fetch(
        owner,
        "SELECT state, trade_count, first_trade_id, last_trade_id, detail FROM certificates "
        "WHERE symbol = %s AND open_time = %s",
        SYMBOL,
        minute,
    )
    return row[0], row[1], row[2], row[3], row[4]


def a_certified_minute(owner: scratch.Connection, behind: int = 0) -> datetime:
    """The first certified minute of SYMBOL before which there are trades, or one behind it."""
    query = (
        "SELECT open_time FROM certificates AS c WHERE symbol = %s AND state = 'certified' "
        "AND EXISTS (SELECT FROM trades AS t WHERE t.symbol = c.symbol "
        "AND t.traded_at < c.open_time) ORDER BY 1"
    )
    rows = eventually(lambda: scratch.fetch(owner, query, SYMBOL)[behind:])
    found: datetime = rows[0][0]
    return found


def ids(owner: scratch.Connection, minute: datetime) -> list[int]:
    query = (
        "SELECT trade_id FROM trades WHERE symbol = %s AND traded_at >= %s AND traded_at < %s "
        "ORDER BY traded_at, trade_id"
    )
    return [row[0] for row in scratch.fetch(owner, query, SYMBOL, minute, minute + MINUTE)]


def change(owner: scratch.Connection, statement: str, *values: object) -> None:
    with owner.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount > 0


def gaps(owner: scratch.Connection, stream: str = "trades") -> list[tuple[Any, ...]]:
    query = (
        "SELECT first_missing, last_missing, state, cause FROM gaps "
        "WHERE symbol = %s AND stream = %s ORDER BY 1"
    )
    return scratch.fetch(owner, query, SYMBOL, stream)


def told(owner: scratch.Connection) -> list[str]:
    query = "SELECT message FROM events WHERE kind = 'conservation' ORDER BY at"
    return [row[0] for row in scratch.fetch(owner, query)]


def is_whole(owner: scratch.Connection, minute: datetime, detail: str = "") -> Certificate | None:
    """The certificate of a minute, once it is certified and says so."""
    found = certificate(owner, minute)
    return found if found[0] == "certified" and detail in found[4] else None


def assert_as_told(owner: scratch.Connection, simulator: Simulator, minute: datetime) -> None:
    """All trades of the minute are the exchange's, value for value, and no others."""
    query = (
        "SELECT trade_id, price, quantity, quote_quantity, is_buyer_maker, traded_at_us / 1000 "
        "FROM trades WHERE symbol = %s AND traded_at >= %s AND traded_at < %s ORDER BY trade_id"
    )
    stored = scratch.fetch(owner, query, SYMBOL, minute, minute + MINUTE)
    exchange = simulator.get(
        "/api/v3/historicalTrades", symbol=SYMBOL, fromId=stored[0][0], limit=len(stored) + 1
    )
    end_ms = (minute + MINUTE).timestamp() * 1000
    names = ("price", "qty", "quoteQty")
    assert stored == [
        (row["id"], *(Decimal(row[name]) for name in names), row["isBuyerMaker"], row["time"])
        for row in exchange
        if row["time"] < end_ms
    ]


def test_minutes_are_certified_by_their_trades_and_stay_so(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Value for value what the exchange's candle says; another run writes none of them again."""
    with ingesting(settings):
        minute = a_certified_minute(owner, behind=1)
    state, count, first, last, detail = certificate(owner, minute)
    start = int(minute.timestamp() * 1000)
    ((_, *candle),) = simulator.get(
        "/api/v3/klines", symbol=SYMBOL, interval="1m", startTime=start, limit=1
    )
    assert (state, detail) == ("certified", "")
    assert count == candle[7] == last - first + 1 == len(ids(owner, minute))
    states = scratch.fetch(owner, "SELECT DISTINCT state FROM certificates")
    assert states == [("certified",)]
    versions = "SELECT symbol, open_time, xmin::text FROM certificates ORDER BY 1, 2"
    before = scratch.fetch(owner, versions)
    with ingesting(settings):
        a_certified_minute(owner, behind=len(before) // 2)
    assert set(before) <= set(scratch.fetch(owner, versions))


def test_trades_that_are_lost_in_the_database_are_a_gap_and_come_back(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """A range of ids, and one at a minute's end: named, read back, certified again."""
    with ingesting(settings):
        minute = a_certified_minute(owner)
        held = ids(owner, minute)
        lost = [*held[10:13], held[-1]]
        change(owner, "DELETE FROM trades WHERE symbol = %s AND trade_id = ANY(%s)", SYMBOL, lost)
        eventually(lambda: len([gap for gap in gaps(owner) if gap[2] == "repaired"]) == 2)
        eventually(lambda: ids(owner, minute) == held and is_whole(owner, minute))
    assert gaps(owner) == [
        (held[10], held[12], "repaired", "lost"),
        (held[-1], held[-1], "repaired", "lost"),
    ]
    assert_as_told(owner, simulator, minute)


def test_a_hole_is_found_at_the_next_start(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Rows that vanish while nobody looks, before the newest one, from where the tape goes on."""
    with ingesting(settings):
        minute = a_certified_minute(owner)
    held = ids(owner, minute)
    change(
        owner, "DELETE FROM trades WHERE symbol = %s AND trade_id BETWEEN %s AND %s",
        SYMBOL, held[5], held[9],
    )  # fmt: skip
    with ingesting(settings):
        eventually(lambda: ids(owner, minute) == held)
    assert (held[5], held[9], "repaired", "lost") in gaps(owner)


COPY = (
    "INSERT INTO trades SELECT venue, symbol, trade_id, traded_at + %s, traded_at_us, price, "
    "quantity, quote_quantity, notional_usd, is_buyer_maker, is_best_match FROM trades "
    "WHERE symbol = %s AND trade_id = %s"
)


@pytest.mark.parametrize("off", [timedelta(milliseconds=1), MINUTE])
def test_a_trade_that_stands_twice_is_removed_where_it_is_not_the_exchange_s(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
    off: timedelta,
) -> None:
    """The same id at another time, in its own minute or in the next one."""
    with ingesting(settings):
        minute = a_certified_minute(owner)
        after = a_certified_minute(owner, behind=1)
        doubled = ids(owner, minute)[20]
        change(owner, COPY, off, SYMBOL, doubled)
        wrong = minute if off < MINUTE else after
        eventually(lambda: is_whole(owner, wrong, f"removed trades {doubled}"))
        assert_as_told(owner, simulator, minute)
        assert_as_told(owner, simulator, after)
    assert [
        f"{wrong:%Y-%m-%d %H:%M}: removed trades {doubled}" in line for line in told(owner)
    ] == [True]
    assert gaps(owner) == []


CHANGES = {
    "quantity": "quantity = quantity * 2, quote_quantity = quote_quantity * 2",
    "price": "price = price + 0.01, quote_quantity = (price + 0.01) * quantity",
    "quote quantity": "quote_quantity = quote_quantity + 1",
    "side": "is_buyer_maker = NOT is_buyer_maker",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_trade_that_was_changed_is_located_and_put_right(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection, what: str
) -> None:
    """Whatever of it is changed: found by the candle, located by aggregates, read singly."""
    with ingesting(settings):
        minute = a_certified_minute(owner)
        changed = ids(owner, minute)[30]
        where = "WHERE symbol = %s AND trade_id = %s"
        change(owner, f"UPDATE trades SET {CHANGES[what]} {where}", SYMBOL, changed)
        since = len(simulator.log())
        eventually(lambda: is_whole(owner, minute, f"changed trades {changed}"))
        assert_as_told(owner, simulator, minute)
    asked = [r["query"] for r in simulator.log()[since:] if "historicalTrades" in r["path"]]
    assert asked
    assert all("limit=1000" not in query for query in asked), "no more than the located ids"
    assert len(told(owner)) == 1
    assert gaps(owner) == []


def test_a_trade_that_was_moved_to_another_minute_is_moved_back(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """It is too much in one minute and missing in the other."""
    with ingesting(settings):
        minute, after = a_certified_minute(owner), a_certified_minute(owner, behind=1)
        moved = ids(owner, minute)[15]
        change(
            owner, "UPDATE trades SET traded_at = traded_at + %s WHERE symbol = %s "
            "AND trade_id = %s", MINUTE, SYMBOL, moved,
        )  # fmt: skip
        eventually(lambda: is_whole(owner, after, f"removed trades {moved}"))
        eventually(lambda: moved in ids(owner, minute) and is_whole(owner, minute))
        assert_as_told(owner, simulator, minute)
        assert_as_told(owner, simulator, after)


def test_a_trade_that_the_stream_told_wrong_is_put_right(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Frames with a quantity that breaks no rule and is not the exchange's."""
    simulator.fault(
        f"stream:{SYMBOL.lower()}@trade", count=3, do="replace", field="q", value="77.77777000"
    )
    with ingesting(settings.model_copy(update={"streams": "on"})):
        query = "SELECT traded_at FROM trades WHERE symbol = %s AND quantity = 77.77777 ORDER BY 1"
        ((at,), *_) = eventually(lambda: scratch.fetch(owner, query, SYMBOL))
        minute = at.replace(second=0, microsecond=0)
        eventually(lambda: scratch.fetch(owner, query, SYMBOL) == [], timeout_s=200)
        eventually(lambda: is_whole(owner, minute, "changed trades"))
        assert_as_told(owner, simulator, minute)
    assert "changed trades" in told(owner)[0]


def test_candles_that_are_lost_are_a_gap_and_come_back(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Between the first and the last one that are held; no poll of candles reaches back so far."""
    closed = "SELECT open_time FROM klines WHERE symbol = %s AND is_closed ORDER BY 1"
    with ingesting(settings):
        _, (minute,), *_ = eventually(
            lambda: rows if len(rows := scratch.fetch(owner, closed, SYMBOL)) > 2 else None
        )
    change(owner, "DELETE FROM klines WHERE symbol = %s AND open_time = %s", SYMBOL, minute)
    ms = int(minute.timestamp() * 1000)
    with ingesting(settings.model_copy(update={"klines_every_s": 3600.0})):
        eventually(lambda: gaps(owner, "klines_1m") == [(ms, ms, "repaired", "lost")])
    assert (minute,) in scratch.fetch(owner, closed, SYMBOL)


def test_a_candle_that_was_changed_is_asked_for_again(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """The trades are right, and no trade is touched."""
    with ingesting(settings.model_copy(update={"klines_every_s": 60.0})):
        minute = a_certified_minute(owner)
        where = "WHERE symbol = %s AND interval = '1m' AND open_time = %s"
        change(owner, f"UPDATE klines SET volume = volume + 1 {where}", SYMBOL, minute)
        eventually(lambda: is_whole(owner, minute, "the candle was revised"))
    assert told(owner) == []


def test_an_exchange_that_contradicts_itself_is_told_and_asked_again(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Its candle is not what its trades make: nothing is changed; once it is revised, certified."""
    with ingesting(settings):
        minute = a_certified_minute(owner)
        simulator.fault(
            "/api/v3/klines", count=None, symbol=SYMBOL, do="replace", field=5, value="77.00000000"
        )
        where = "WHERE symbol = %s AND interval = '1m' AND open_time = %s"
        change(owner, f"UPDATE klines SET volume = 77 {where}", SYMBOL, minute)
        held = ids(owner, minute)

        def is_told() -> bool:
            state, *_, detail = certificate(owner, minute)
            return (
                state == "differs" and "all trades are as the exchange's own: volume 77" in detail
            )

        eventually(is_told)
        assert ids(owner, minute) == held
        simulator.heal()
        eventually(lambda: is_whole(owner, minute))
    assert told(owner) == []


def lost_by_the_exchange(simulator: Simulator, paths: tuple[str, ...]) -> tuple[int, int]:
    """Some ids to come, all of some aggregates, that the exchange leaves out of these answers."""
    newest = simulator.get("/api/v3/aggTrades", symbol=SYMBOL, limit=1)[0]
    first_aggregate = newest["a"] + 40
    eventually(
        lambda: (
            simulator.get("/api/v3/aggTrades", symbol=SYMBOL, limit=1)[0]["a"] > first_aggregate + 5
        )
    )
    rows = simulator.get("/api/v3/aggTrades", symbol=SYMBOL, fromId=first_aggregate, limit=4)
    first, last = rows[0]["f"], rows[-1]["l"]
    for path in paths:
        field = "f" if "aggTrades" in path else "id"
        simulator.fault(
            path, count=None, symbol=SYMBOL, do="hide", field=field, first=first, last=last
        )
    return first, last


@pytest.mark.parametrize(
    ("hidden", "state"),
    [
        (("trades", "historicalTrades", "aggTrades"), "exchange-confirmed"),
        (("trades", "historicalTrades"), "unprovable"),
    ],
)
def test_aggregates_say_whether_a_hole_is_the_exchange_s_own(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
    monkeypatch: pytest.MonkeyPatch,
    hidden: tuple[str, ...],
    state: str,
) -> None:
    """In neither list: lost by the exchange. Counted, yet not given: nobody can say."""
    monkeypatch.setattr(readback, "LOOKS", 2)
    first, last = lost_by_the_exchange(simulator, tuple(f"/api/v3/{name}" for name in hidden))
    with ingesting(settings):
        eventually(lambda: [gap[2] for gap in gaps(owner)] == [state])
        newest = "SELECT max(trade_id) FROM trades WHERE symbol = %s"
        eventually(lambda: scratch.value(owner, newest, SYMBOL) > last)
        asked = len(simulator.log("/api/v3/historicalTrades"))
        before = scratch.value(owner, newest, SYMBOL)
        eventually(lambda: scratch.value(owner, newest, SYMBOL) > before + 20)
        assert len(simulator.log("/api/v3/historicalTrades")) == asked, "no endless backfill"
    assert gaps(owner) == [(first, last, state, "poll")]


def test_people_and_scripts_are_told(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """What is open or differs makes the commands exit with 1; when it is over, with 0."""
    assert rig.tidemark(settings, "gaps").stdout == "no gaps\n"
    with ingesting(settings):
        minute = a_certified_minute(owner)
        lost = ids(owner, minute)[4:9]
        simulator.fault("/api/v3/historicalTrades", count=None, do="page", name="unknown")
        change(owner, "DELETE FROM trades WHERE symbol = %s AND trade_id = ANY(%s)", SYMBOL, lost)
        eventually(lambda: certificate(owner, minute)[0] == "incomplete")
        listed = rig.tidemark(settings, "gaps", "--symbol", SYMBOL)
        assert (listed.returncode, listed.stderr) == (1, "")
        assert f"{lost[0]}–{lost[-1]}" in listed.stdout
        assert "5 trades" in listed.stdout
        minutes = rig.tidemark(settings, "certificates", "--symbol", SYMBOL, "--json")
        assert minutes.returncode == 1
        said = json.loads(minutes.stdout)
        assert "incomplete" in {each["state"] for each in said["summary"]}
        assert [(each["open_time"], each["state"]) for each in said["minutes"]] == [
            (f"{minute:%Y-%m-%dT%H:%M:%S}Z", "incomplete")
        ]
        simulator.heal()
        eventually(lambda: is_whole(owner, minute))
    done = rig.tidemark(settings, "gaps", "--json")
    ((gap,), code) = json.loads(done.stdout)["gaps"], done.returncode
    assert (gap["first_missing"], gap["last_missing"], gap["state"], code) == (
        lost[0], lost[-1], "repaired", 0,
    )  # fmt: skip
    assert rig.tidemark(settings, "gaps", "--state", "open").returncode == 0
    table = rig.tidemark(settings, "certificates")
    assert table.returncode == 0
    assert table.stdout.split()[:4] == ["venue", "symbol", "certified", "not"]
    assert rig.tidemark(settings, "gaps", "--state", "lost").returncode == 2
