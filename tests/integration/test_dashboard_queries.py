"""Every query of the dashboards, asked of the real Cassandra, shows what PostgreSQL says.

The market is made by hand around a midnight, so that buckets end and begin inside every range; it
came the whole way, and `tidemark verify` has found no difference before the first question.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cdc.routes import BY_DAY, ROUTES
from contracts.naming import Role
from grafana import cql, schema, written
from grafana.freshness import HEARTBEAT_AGE
from grafana.pipeline import VERIFIED_TABLES, WATERFALL, WATERFALL_NOW
from grafana.query import Placed, Query, expand
from tests.integration.conftest import Replica
from tests.integration.dashboard_market import OLDEST_DAYS, statements
from tests.integration.sinking import wait_until
from tests.integration.sql_of_cql import sql

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

END = datetime.now(UTC).replace(hour=0, minute=0, second=3, microsecond=0)
HOUR = timedelta(hours=1)
CHOSEN = {"venue": "simulator", "quote": "USDT", "symbol": "BTCUSDT", "interval": "1m"}
TINY = CHOSEN | {"symbol": "TINYUSDT", "interval": "1h"}
NOT_OF_POSTGRES = {"heartbeats_by_day", "verified_through", "dead_letters"}

TABLES = schema.read()
PLACED = [
    placed
    for placed in {placed.query.text: placed for placed in written.queries()}.values()
    if cql.parse(placed.query.text).table not in NOT_OF_POSTGRES
]


@pytest.fixture(scope="module")
def market(replica: Replica) -> Iterator[Replica]:
    """A market in both stores, equal by verification; connector and sink go on."""
    for table in BY_DAY:
        for back in range(-1, OLDEST_DAYS + 1):
            day = END.date() - timedelta(days=back)
            replica.sql("SELECT ensure_partition(%s, %s)", table, day)
    for statement in statements(END):
        replica.sql(statement)
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with replica.sink():
        verified = replica.tidemark("verify", "--full-speed")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        yield replica


def from_cassandra(replica: Replica, text: str) -> list[dict[str, Any]]:
    """The answer as the dashboards' role gets it."""
    rows = replica.sessions.run(replica.settings, Role.READER, text)
    return [row._asdict() for row in rows]


def plain(value: object) -> object:
    """A value in the form in which both stores have it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, float) and not math.isfinite(value):
        return None  # where Cassandra divides by zero, PostgreSQL was told to say NULL
    return value


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def ranges(query: Query) -> Iterator[tuple[int, int]]:
    """Six hours, and the widest range that the query must answer whole."""
    for length in (6 * HOUR, timedelta(days=query.days)):
        if length:
            yield milliseconds(END - length), milliseconds(END)


@pytest.mark.parametrize("chosen", [CHOSEN, TINY], ids=lambda chosen: chosen["symbol"])
@pytest.mark.parametrize("placed", PLACED, ids=lambda placed: placed.where)
def test_a_query_shows_what_postgres_says(
    market: Replica, placed: Placed, chosen: Mapping[str, str]
) -> None:
    """Row for row, value for value, over midnight, and nothing of after the range's end."""
    for from_ms, to_ms in ranges(placed.query):
        text = expand(placed.query.text, chosen, from_ms, to_ms)
        select = cql.parse(with_values(placed.query.text, chosen))
        asked = sql(select, TABLES[select.table], from_ms, to_ms)
        found = from_cassandra(market, text)
        said = [tuple(map(plain, row)) for row in market.sql(asked)]
        shown = [tuple(plain(value) for value in row.values()) for row in found]
        assert said, f"the test has no rows for {text}"
        if placed.query.role == "variable":
            assert set(shown) == set(said)
        elif select.order_by:
            assert shown == said
        else:
            assert sorted(shown, key=repr) == sorted(said, key=repr)
        assert not any(isinstance(value, Decimal) for row in shown for value in row)
        assert not found or [*found[0]] == [each.name for each in select.columns]


def with_values(text: str, chosen: Mapping[str, str]) -> str:
    """The text with values for variables, macros left in place."""
    for name, value in chosen.items():
        text = text.replace(f"${{{name}:sqlstring}}", f"'{value}'")
    return text


@pytest.mark.parametrize("placed", PLACED, ids=lambda placed: placed.where)
def test_rows_of_a_series_come_in_order_of_time(market: Replica, placed: Placed) -> None:
    """Also across buckets: the plugin passes rows on as they come."""
    table = TABLES[cql.parse(placed.query.text).table]
    if placed.query.shape == "table" or placed.query.role == "variable" or table.time is None:
        return
    times = next(iter(ranges(placed.query)))
    moments: defaultdict[object, list[datetime]] = defaultdict(list)
    for row in from_cassandra(market, expand(placed.query.text, CHOSEN, *times)):
        series, *values = row.values()
        moments[series].append(next(each for each in values if isinstance(each, datetime)))
    assert moments
    for each in moments.values():
        days = [moment.date() for moment in each] if table.newest_first else each
        assert days == sorted(days), "buckets come oldest first"


def test_a_wider_range_leaves_its_beginning_empty_and_has_no_hole(market: Replica) -> None:
    """What is shown of sixteen days of prices is the end of it, whole."""
    (placed,) = [each for each in PLACED if each.where == "Symbol / Price / A"]
    start, end = milliseconds(END - timedelta(days=16)), milliseconds(END)
    shown = from_cassandra(market, expand(placed.query.text, CHOSEN, start, end))
    first = plain(shown[0]["observed_at"])
    said = market.sql(
        "SELECT observed_at FROM prices WHERE venue = 'simulator' AND symbol = 'BTCUSDT' "
        "AND observed_at BETWEEN %s AND %s ORDER BY observed_at",
        first,
        END,
    )
    assert [plain(row["observed_at"]) for row in shown] == [plain(at) for (at,) in said]
    assert isinstance(first, datetime)
    assert first <= END - timedelta(days=1)


def test_an_injected_quote_finds_nothing(market: Replica) -> None:
    """A variable's value stays a value."""
    (placed,) = [each for each in PLACED if each.where == "Symbol / Price / A"]
    attack = CHOSEN | {"symbol": "BTCUSDT' OR '1'='1"}
    for from_ms, to_ms in ranges(placed.query):
        assert from_cassandra(market, expand(placed.query.text, attack, from_ms, to_ms)) == []


def test_heartbeats_tell_age_and_stages(market: Replica) -> None:
    """Ingest's and Debezium's; no stage is negative, and together they are a way."""

    def answer(query: Query) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        text = expand(query.text, {}, milliseconds(now - HOUR), milliseconds(now))
        return from_cassandra(market, text)

    def both() -> bool:
        return {row["source"] for row in answer(HEARTBEAT_AGE)} == {"ingest", "debezium"}

    market.sql("INSERT INTO heartbeat (source) VALUES ('ingest')")
    wait_until(both)
    assert all(0 <= row["age_ms"] < 300_000 for row in answer(HEARTBEAT_AGE))
    for query in (WATERFALL_NOW, WATERFALL):
        newest = answer(query)[-1]  # older ones may be of the snapshot, which knows no stages
        stages = [newest[name] for name in ("ingest", "debezium", "kafka", "fetch", "cassandra")]
        assert all(stage > -2_000 for stage in stages), "µs; Kafka's clock has ms"
        assert 0 < sum(stages) < 600_000_000


def test_proofs_and_dead_letters_are_shown(market: Replica) -> None:
    """Every verified table with its moment; a letter once one is made."""
    found = {placed.where: placed.query for placed in written.queries()}
    end = milliseconds(datetime.now(UTC))
    rows = from_cassandra(market, found["Pipeline / Verified through / A"].text)
    assert {row["table_name"] for row in rows} <= set(VERIFIED_TABLES)
    assert {route.table for route in ROUTES} >= {row["table_name"] for row in rows}
    assert rows
    assert all(row["differences"] == 0 for row in rows)
    alert = found["Alert / Cassandra differs from PostgreSQL / A"].text
    asked = {row["table_name"]: row["differences"] for row in from_cassandra(market, alert)}
    assert asked == {row["table_name"]: row["differences"] for row in rows}
    letters = expand(found["Pipeline / Dead letters / A"].text, {}, end, end)
    market.sql(
        "INSERT INTO prices (venue, symbol, observed_at, price) VALUES "
        "('odd', 'S', date_trunc('milliseconds', now()), 'NaN')"
    )

    def of_prices() -> bool:
        return any(row["source_table"] == "prices" for row in from_cassandra(market, letters))

    wait_until(of_prices)
