"""Revision 0007 keeps what is known of backfills, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from alembic import command
from alembic.config import Config

from cli.migrate import ALEMBIC_INI
from runtime.endpoints import PostgresEndpoint
from tests.conftest import Stack
from tests.integration.scratch import Connection, connect, fetch, scratch_database

pytestmark = pytest.mark.integration

BEFORE = """
INSERT INTO backfills (venue, symbol, interval, start_time, end_time, next_time) VALUES
    ('binance', 'BTCUSDT', '1m', '2026-01-01Z', '2026-02-01Z', '2026-01-20Z'),
    ('binance', 'BTCUSDT', '1m', '2026-01-01Z', '2026-03-01Z', '2026-01-10Z'),
    ('binance', 'BTCUSDT', '1h', '2026-01-05Z', '2026-02-01Z', '2026-02-01Z')
"""
AFTER = """
SELECT symbol, stream, to_char(start_time AT TIME ZONE 'UTC', 'MM-DD'),
       to_char(next_time AT TIME ZONE 'UTC', 'MM-DD'), source, checksum
FROM backfills ORDER BY stream, start_time
"""
BEFORE_AGAIN = """
SELECT symbol, interval, to_char(start_time AT TIME ZONE 'UTC', 'MM-DD'),
       to_char(end_time AT TIME ZONE 'UTC', 'MM-DD'), next_time = end_time
FROM backfills ORDER BY interval
"""
OF_TRADES = """
INSERT INTO backfills (venue, symbol, stream, start_time, next_time, source, checksum)
VALUES ('binance', 'BTCUSDT', 'trades', '2026-01-01Z', '2026-01-02Z', 'a.zip', 'abc')
"""


@pytest.fixture
def database(postgres: Stack) -> Iterator[PostgresEndpoint]:
    with scratch_database(postgres.settings) as scratch:
        yield scratch


@pytest.fixture
def owner(database: PostgresEndpoint) -> Iterator[Connection]:
    with closing(connect(database)) as connection:
        yield connection


def test_what_was_loaded_stays_known_up_and_down(
    database: PostgresEndpoint, owner: Connection
) -> None:
    """Of two from one moment on the further one counts; trades are nothing that 0006 knows."""
    alembic = Config(ALEMBIC_INI)
    alembic.attributes["settings"] = database
    command.upgrade(alembic, "0006")
    cursor = owner.cursor()
    cursor.execute(BEFORE)
    command.upgrade(alembic, "0007")
    assert fetch(owner, AFTER) == [
        ("BTCUSDT", "klines_1h", "01-05", "02-01", "rest", ""),
        ("BTCUSDT", "klines_1m", "01-01", "01-20", "rest", ""),
    ]
    cursor.execute(OF_TRADES)
    command.downgrade(alembic, "0006")
    assert fetch(owner, BEFORE_AGAIN) == [
        ("BTCUSDT", "1h", "01-05", "02-01", True),
        ("BTCUSDT", "1m", "01-01", "01-20", True),
    ]
