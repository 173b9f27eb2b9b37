"""Row A9: the captured database is idle while another one of the same server is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from contracts.naming import Role, slot_name
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial

LOAD_S = 180
ADVANCES_WITHIN_S = 60
RETAINED_MB = 128
NOISE = "INSERT INTO noise SELECT repeat(md5(n::text), 30) FROM generate_series(1, 800) AS n"
CONFIRMED = """
SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint FROM pg_replication_slots WHERE slot_name = %s
"""


@contextmanager
def noisy_neighbour(rig: Rig) -> Iterator[list[int]]:
    """Another database, written to without pause for the length of the block; its rows."""
    rows = [0]
    ended = threading.Event()
    rig.sql("DROP DATABASE IF EXISTS noisy WITH (FORCE)", role=Role.POSTGRES_ADMIN)
    rig.sql("CREATE DATABASE noisy", role=Role.POSTGRES_ADMIN)
    dsn = {**rig.dsn(Role.POSTGRES_ADMIN), "dbname": "noisy"}

    def write() -> None:
        with closing(psycopg2.connect(**dsn)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE noise (text text)")
                while not ended.wait(0.4):
                    cursor.execute(NOISE)
                    rows[0] += cursor.rowcount

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield rows
    finally:
        ended.set()
        writer.join(60)
        rig.sql("DROP DATABASE IF EXISTS noisy WITH (FORCE)", role=Role.POSTGRES_ADMIN)


@row("A9")
def test_a09_idle_database_beside_a_noisy_one(rig: Rig, trial: Trial) -> None:
    """Debezium's own heartbeat moves the slot, so the neighbour's WAL does not pile up."""
    rig.ensure_healthy()
    name = slot_name(rig.cdc.generation)
    confirmed, advanced_at, longest, most = 0, time.monotonic(), 0.0, 0.0
    position = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint"
    with rig.stopped("ingest"):
        began = time.monotonic()
        start = rig.sql(position)[0][0]
        with noisy_neighbour(rig) as rows:
            while time.monotonic() - began < LOAD_S:
                (now,) = rig.sql(CONFIRMED, name, role=Role.POSTGRES_ADMIN)[0]
                if now > confirmed:
                    longest = max(longest, time.monotonic() - advanced_at)
                    confirmed, advanced_at = now, time.monotonic()
                most = max(most, rig.retained_mb())
                time.sleep(1)
            longest = max(longest, time.monotonic() - advanced_at)
        made_mb = (rig.sql(position)[0][0] - start) / 2**20
    trial.happened(f"{rows[0]:,} rows of a neighbour, {made_mb:.0f} MB of WAL in {LOAD_S} s")
    trial.note(f"the slot advanced each {longest:.1f} s or sooner and held {most:.0f} MB at most")
    assert made_mb > 2 * RETAINED_MB, "the neighbour was not noisy enough to show anything"
    assert longest <= ADVANCES_WITHIN_S
    assert most < RETAINED_MB
    rig.recover(trial, within_s=60)
