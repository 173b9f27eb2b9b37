"""Long gaps of trades are filled from the archive's files. Simulated exchange, real ingester."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from ingest import archive_repair, readback
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.integration import ingesting as rig
from tests.integration import scratch
from tests.integration.ingesting import Simulator, ingesting, settings_for

pytestmark = pytest.mark.integration

SYMBOL = "AVAXUSDT"  # a day of it is a small file
DAY = timedelta(days=1)
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
    """Gaps from 100 trades on are worth a file; those of more than 1,000 are not for ids."""
    monkeypatch.setattr(readback, "LOOK_S", 0.5)
    monkeypatch.setattr(archive_repair, "LEAST", 100)
    polled = settings_for(database, simulator, tmp_path)
    return polled.model_copy(update={"readback_limit": 1000, "symbols": (SYMBOL,)})


def states(owner: scratch.Connection) -> list[str]:
    """Of all gaps in trades, by their ids."""
    query = "SELECT state FROM gaps WHERE stream = 'trades' ORDER BY first_missing"
    return [state for (state,) in scratch.fetch(owner, query)]


def a_long_gap(simulator: Simulator, owner: scratch.Connection, count: int) -> tuple[int, int]:
    """Trades of days ago, over midnight, of which a row of `gaps` says that they are open.

    Yesterday's file is published some hours after midnight only: none of them is of yesterday.
    """
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 3 * DAY
    start = int(midnight.timestamp() * 1000)
    (beyond,) = simulator.get("/api/v3/aggTrades", symbol=SYMBOL, startTime=start, limit=1)
    first = beyond["f"] - count // 2
    last = first + count - 1
    owner.cursor().execute(
        "INSERT INTO gaps (venue, symbol, stream, first_missing, last_missing, state, cause, "
        "detail, detected_at, as_of) VALUES ('simulator', %s, 'trades', %s, %s, 'open', 'lost', "
        "'', now() - interval '2 days', now())",
        (SYMBOL, first, last),
    )
    return first, last


FILES = "/data/spot/daily/trades/*"  # and their checksums


@pytest.mark.parametrize("lacking", [0, 30])
def test_a_long_gap_is_filled_from_the_archive(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
    lacking: int,
) -> None:
    """The days' files, without a page by ids but for what they lack; more than ids may be."""
    first, last = a_long_gap(simulator, owner, 3000)
    if lacking:
        hidden = first + 100
        simulator.fault(
            FILES, count=None, do="hide", field=0, first=hidden, last=hidden + lacking - 1
        )
    with ingesting(settings):
        eventually(lambda: states(owner) == ["repaired"] * (1 + bool(lacking)))
    asked = [request["query"] for request in simulator.log("/api/v3/historicalTrades")]
    limits = [int(parse_qs(query)["limit"][0]) for query in asked]
    assert sum(limits) == 2 + (lacking + 1 if lacking else 0)  # the ends, and what is not in files
    query = (
        "SELECT trade_id, price, quantity, quote_quantity, is_buyer_maker, traded_at_us / 1000 "
        "FROM trades WHERE symbol = %s AND trade_id BETWEEN %s AND %s ORDER BY trade_id"
    )
    held = scratch.fetch(owner, query, SYMBOL, first, last)
    pages = [
        simulator.get("/api/v3/historicalTrades", symbol=SYMBOL, fromId=id_, limit=1000)
        for id_ in range(first, last, 1000)
    ]
    names = ("price", "qty", "quoteQty")
    assert held == [
        (row["id"], *(Decimal(row[name]) for name in names), row["isBuyerMaker"], row["time"])
        for page in pages
        for row in page
    ]


def test_a_gap_too_long_for_ids_waits_for_its_file_and_then_no_more(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
) -> None:
    """A file may come late; after three days nobody counts on it."""
    simulator.fault("/data/*", count=None, do="page", name="not_found")
    a_long_gap(simulator, owner, 3000)
    with ingesting(settings):
        eventually(lambda: len(simulator.log("/data/")) >= 4)
        assert states(owner) == ["open"]
        owner.cursor().execute("UPDATE gaps SET detected_at = now() - interval '4 days'")
        eventually(lambda: states(owner) == ["unprovable"])


def test_a_damaged_file_is_not_downloaded_at_each_look(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
) -> None:
    """The files of the days beside it are taken at once; the gap says which one is damaged."""
    first, last = a_long_gap(simulator, owner, 3000)
    day = datetime.now(UTC) - 4 * DAY
    name = f"{SYMBOL}-trades-{day:%Y-%m-%d}.zip"
    path = f"/data/spot/daily/trades/{SYMBOL}/{name}"
    simulator.fault(f"{path}.CHECKSUM", count=None, do="wrong_checksum")

    def looks() -> int:
        """Whether the file is there, by HEAD, and downloads of it."""
        return sum(request["path"] == path for request in simulator.log("/data/"))

    attempts = 2
    with ingesting(settings.model_copy(update={"attempts": attempts})):
        eventually(lambda: states(owner) == ["repaired", "open"])
        downloads = 2  # for the gap as it was, and for what is left of it
        eventually(lambda: asked_for_checksums(simulator, path) == downloads * attempts)
        before = looks()
        eventually(lambda: looks() >= before + 5)
    assert asked_for_checksums(simulator, path) == downloads * attempts
    query = "SELECT last_missing - first_missing + 1, detail FROM gaps WHERE state = 'open'"
    ((missing, detail),) = scratch.fetch(owner, query)
    assert detail.endswith(f"; {name} is damaged")
    query = "SELECT count(*) FROM trades WHERE trade_id BETWEEN %s AND %s"
    assert scratch.value(owner, query, first, last) == last - first + 1 - missing


def asked_for_checksums(simulator: Simulator, path: str) -> int:
    """Each download begins with one."""
    return sum(each["path"] == f"{path}.CHECKSUM" for each in simulator.log("/data/"))
