"""docs/reading.md: its Python and its queries, as they stand there, on the running pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cdc import keyspace
from contracts.naming import Role
from tests.conftest import Pipeline
from tests.documents import DOCS, Block, blocks
from tests.integration.conftest import cdc_settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

VENUE = "reading"
SYMBOL = "AB'C"  # a quote, which only bound values survive
START = datetime(2026, 1, 31, 22, tzinfo=UTC)  # two hours before a month ends
MINUTES = 240
VISIBLE_S = 60.0
INSERT = """
INSERT INTO klines (venue, symbol, "interval", open_time, close_time, open, high, low, close,
                    volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume,
                    is_closed, as_of)
SELECT %s, %s, '1m', at, at + interval '59.999 s', i, i + 1, 0.5, i + 0.000000000000000001, 3, 4,
       7, 1, 1, true, clock_timestamp()
FROM generate_series(1, %s) AS i, LATERAL (SELECT %s + i * interval '1 min' AS at) AS clock
ON CONFLICT DO NOTHING"""
TEXT = (DOCS / "reading.md").read_text(encoding="utf-8")
PYTHON = blocks(TEXT, "python")


def owner(pipeline: Pipeline) -> Any:
    dsn: Any = cdc_settings(pipeline.env).postgres_dsn(Role.OWNER)
    return psycopg2.connect(**dsn)


@pytest.fixture(scope="module")
def candles(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """Candles around the end of a month, as PostgreSQL has them; all are in Cassandra, too."""
    with closing(owner(pipeline)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(INSERT, (VENUE, SYMBOL, MINUTES, START))
        cursor.execute(
            "SELECT open_time, open, high, low, close, volume FROM klines "
            "WHERE venue = %s AND symbol = %s ORDER BY open_time",
            (VENUE, SYMBOL),
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    deadline = time.monotonic() + VISIBLE_S
    with keyspace.session(cdc_settings(pipeline.env), Role.OWNER) as session:
        count = session.prepare(
            "SELECT count(*) FROM klines WHERE venue = ? AND symbol = ? AND interval = '1m' "
            "AND bucket IN ('2026-01-01', '2026-02-01')"
        )
        while session.execute(count, (VENUE, SYMBOL)).one()[0] < MINUTES:
            assert time.monotonic() < deadline, "the candles do not come to Cassandra"
            time.sleep(0.5)
    return rows


@contextmanager
def example(block: Block, pipeline: Pipeline) -> Iterator[dict[str, Any]]:
    """What the block defines, with this stack's ports in the place of the usual ones."""
    ours = {
        "19042": pipeline.env["TIDEMARK_CASSANDRA_PORT"],
        "15432": pipeline.env["TIDEMARK_POSTGRES_PORT"],
    }
    text = block.text
    for usual, port in ours.items():
        text = text.replace(usual, port)
    assert text != block.text, "the example names no port"
    made: dict[str, Any] = {}
    try:
        exec(compile(text, "docs/reading.md", "exec"), made)  # noqa: S102 - a document of ours
        yield made
    finally:
        if "cluster" in made:
            made["cluster"].shutdown()
        if "engine" in made:
            made["engine"].dispose()


@pytest.mark.parametrize("block", PYTHON, ids=["cassandra", "postgresql"])
def test_an_example_reads_what_postgresql_holds(
    block: Block,
    pipeline: Pipeline,
    candles: list[tuple[Any, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Value for value, over the end of a month, and exactly the range that was asked for."""
    (tmp_path / ".tidemark").symlink_to(pipeline.settings.state_dir)
    monkeypatch.chdir(tmp_path)
    with example(block, pipeline) as made:
        first, end = candles[10][0], candles[200][0]
        found = made["candles"](VENUE, SYMBOL, first, end)
        assert made["january"] == made["candles"](
            "simulator", "BTCUSDT", made["start"], made["start"] + timedelta(days=31)
        )
    assert [(_aware(row.open_time), *row[1:]) for row in found] == candles[10:200]
    assert found[0].close == Decimal("11.000000000000000001")


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@pytest.mark.parametrize("document", ["reading.md", "tour.md"])
def test_every_query_of_a_document_is_answered(document: str, pipeline: Pipeline) -> None:
    """By the role that reads."""
    text = (DOCS / document).read_text(encoding="utf-8")
    queries = [
        (block.language, query.strip())
        for block in blocks(text, "sql", "cql")
        for query in block.text.split(";")
        if query.strip()
    ]
    assert {language for language, _ in queries} == {"sql", "cql"}
    settings = cdc_settings(pipeline.env)
    dsn: Any = settings.postgres_dsn(Role.READER)
    with (
        closing(psycopg2.connect(**dsn)) as connection,
        keyspace.session(settings, Role.READER) as session,
        connection.cursor() as cursor,
    ):
        for language, query in queries:
            if language == "cql":
                session.execute(query)
            else:
                cursor.execute(query)
                cursor.fetchall()
