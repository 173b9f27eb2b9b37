"""Rows A: transactions that are long, large, interleaved, raced for, cut by kills."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import psutil
import psycopg2
import pytest

from cdc import keyspace
from cdc.position import sequence_of
from contracts.naming import Role, topic_of
from tests.faults import oracles
from tests.faults.bulk import Bulk
from tests.faults.injections import kill_together
from tests.faults.matrix import row
from tests.faults.reconcile import reconcile
from tests.faults.rig import Rig
from tests.faults.trial import Trial
from tests.faults.workload import UPSERT_INSTRUMENT, Workload
from tests.integration.adversary import MOMENT, Client
from tests.integration.conftest import Replica
from tests.integration.topic_log import Envelope, count_events, read_log

COPIED = 20_000
COPIES = 3
LARGE = 500_000
RSS_MB = 1024
CLIENTS = 4
RACE_S = 30
MB = 1_000_000
SNAPSHOTS = 3
WRITERS = 6
OPEN_S = 1.2


@row("A10")
@pytest.mark.parametrize(("rows", "rounds"), [(10, 4), (10_000, 2)], ids=["10 rows", "10 k rows"])
def test_a10_long_interleaved_transaction(rig: Rig, trial: Trial, rows: int, rounds: int) -> None:
    """Half of a transaction, commits of others, Connect is restarted, the rest follows."""
    with rig.under_load(trial) as load:
        bulk = Bulk.begin(rig.cdc, "interleaved")
        for number in range(rounds):
            first = number * rows
            with closing(bulk.connect()) as connection, connection.cursor() as cursor:
                bulk.insert(cursor, first, first + rows // 2 - 1)
                rig.until("others commit", partial(beyond, load, load.committed + 50), 60)
                time.sleep(2)  # their offsets are stored
                how = restart_connect(rig, trial.random.choice(("killed", "stopped")))
                bulk.insert(cursor, first + rows // 2, first + rows - 1)
                connection.commit()
            trial.happened(f"Connect was {how} within a transaction of {rows:,} rows")
            rig.recover(trial, within_s=60)
        counts = bulk.settle(120)
    trial.prove(counts)


def beyond(load: Workload, committed: int) -> bool | None:
    return load.committed > committed or None


def sent_beyond(counts: Iterator[int], events: int) -> bool | None:
    return next(counts) > events or None


def restart_connect(rig: Rig, how: str) -> str:
    """Kill or stop Connect, and wait until events flow again."""
    if how == "killed":
        pid = rig.kill("connect")
        rig.wait_pid("connect", other_than=pid)
        rig.wait_ready("connect")
    else:
        with rig.stopped("connect"):
            pass
    rig.wait_assigned(120)
    return how


@row("A11")
def test_a11_copy_cut_by_a_kill(rig: Rig, trial: Trial) -> None:
    """Rows of a COPY share LSNs; Connect is killed once some, not all, of them are in the log."""
    topic = topic_of("trades", rig.cdc.generation)
    with rig.under_load(trial), closing(count_events(rig.cdc, ["trades"])) as counts:
        bulk, cut = Bulk.begin(rig.cdc, "copy"), 0
        since = oracles.log_ends(rig.cdc)
        for number in range(COPIES):
            before, first = next(counts), number * COPIED
            bulk.commit(partial(bulk.copy, first=first, last=first + COPIED - 1))
            wanted = before + trial.random.randint(300, COPIED // 2)
            rig.until("some of it", partial(sent_beyond, counts, wanted), 120)
            pid, sent = rig.kill("connect"), next(counts) - before
            cut += sent < COPIED
            trial.happened(f"SIGKILL of Connect, pid {pid}, with {sent:,} of {COPIED:,} sent")
            rig.wait_pid("connect", other_than=pid)
            rig.wait_ready("connect")
            rig.recover(trial, within_s=60)
        assert cut > 0, "each COPY was in the log before Connect died"
        trial.prove(bulk.settle(120))
        copied = [
            decoded(message)
            for message in oracles.events_since(rig.cdc, since)
            if message.topic() == topic and bulk.venue.encode() in message.key()
        ]
    positions = {event.source.lsn for event in copied}
    trial.note(f"{len(copied):,} events of COPY at {len(positions):,} LSNs")
    assert len(positions) < COPIES * COPIED / 10, "rows of a COPY did not share LSNs"


def decoded(message: Any) -> Envelope:
    return msgspec.json.decode(message.value(), type=Envelope)


@row("A12")
def test_a12_delete_insert_race(rig: Rig, trial: Trial) -> None:
    """Clients insert what others delete; their records lie in the log against the commits."""
    rig.sql("SELECT ensure_partition('trades', %s)", MOMENT.date())
    with rig.under_load(trial):
        since = oracles.log_ends(rig.cdc)
        clients = [Client(rig.dsn(Role.OWNER), trial.seed * 100 + n) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(RACE_S)
        for client in clients:
            client.end()
        done = sum((client.done for client in clients), Counter[str]())
        rig.recover(trial, within_s=60)
    trial.prove(reconcile(rig.cdc, since=MOMENT, tables=("gaps", "trades")))
    events = [each for each in oracles.events_since(rig.cdc, since) if adversarial(each)]
    inverted = inversions(events)
    trial.happened(
        f"{done['committed']:,} transactions; {inverted:,} of {len(events):,} changes lie below an "
        f"earlier transaction's change of their key ({100 * inverted / len(events):.2f} %)"
    )
    assert inverted > 0, "no change's LSN was lower than an earlier one's of its key"


def adversarial(message: Any) -> bool:
    return b"adversary" in (message.key() or b"")


def inversions(messages: list[Any]) -> int:
    """Changes that an order by plain LSN would put before a change that was committed earlier."""
    newest: dict[tuple[str, bytes], tuple[int, int]] = {}  # key → its LSN, the commit before it
    count = 0
    for message in messages:
        key = message.topic(), message.key()
        previous, lsn = sequence_of(decoded(message).source)
        before, commit = newest.get(key, (0, 0))
        count += lsn < before and previous > commit
        newest[key] = max((lsn, previous), (before, commit))
    return count


@row("A13")
def test_a13_transactions_across_the_snapshot(replica: Replica, trial: Trial) -> None:
    """Changes written before the snapshot's LSN, by transactions that commit behind it.

    Transactions overlap all the time, so that some are open wherever the slot begins.
    """
    late = 0
    for number in range(SNAPSHOTS):
        if number:
            replica.next_generation()
        with replica.sink():
            with overlapping(replica):
                applied = replica.tidemark("connector", "apply")
                assert applied.returncode == 0, applied.stderr
                time.sleep(2 * OPEN_S)
            trial.prove(reconcile(replica.settings, tables=("instruments",)))
        late += written_below_the_snapshot(replica)
    trial.happened(
        f"{late} changes, in {SNAPSHOTS} snapshots, were streamed though their LSNs are below the "
        "snapshot's"
    )
    assert late > 0, "no transaction spanned the snapshot"


@contextmanager
def overlapping(replica: Replica) -> Iterator[None]:
    """Several writers, each with a row of its own that it changes first, and commits later."""
    ended = threading.Event()

    def write(name: str, version: int = 0) -> None:
        dsn: dict[str, Any] = dict(replica.settings.postgres_dsn(Role.OWNER))
        with closing(psycopg2.connect(**dsn)) as connection:
            while not ended.is_set():
                version += 1
                with connection, connection.cursor() as cursor:
                    cursor.execute(UPSERT_INSTRUMENT, ("spanning", name, str(version), "1"))
                    time.sleep(OPEN_S)

    writers = [threading.Thread(target=write, args=(f"W{n}",)) for n in range(WRITERS)]
    try:
        for writer in writers:
            writer.start()
            time.sleep(OPEN_S / WRITERS)
        yield
    finally:
        ended.set()
        for writer in writers:
            writer.join(30)


def written_below_the_snapshot(replica: Replica) -> int:
    """Streamed changes with an LSN below that of the snapshot's rows."""
    log = read_log(replica.settings, ["instruments"])
    events = [each.envelope for partition in log.values() for each in partition]
    snapshot = max(each.source.lsn or 0 for each in events if each.op == "r")
    return sum(each.op != "r" and (each.source.lsn or 0) < snapshot for each in events)


@row("A26")
def test_a26_large_transaction_killed_midway(rig: Rig, trial: Trial) -> None:
    """Half a million rows in one transaction; Connect and the sink die while it flows."""
    with (
        rig.under_load(trial, settle_s=300),
        closing(count_events(rig.cdc, ["trades"])) as counts,
        highest_rss(rig, "connect", "sink") as highest,
    ):
        bulk, before = Bulk.begin(rig.cdc, "large"), next(counts)
        bulk.commit(partial(bulk.insert, first=1, last=LARGE))
        for share in (0.2, 0.5):
            wanted = before + int(LARGE * share)
            rig.until("a part of it", partial(sent_beyond, counts, wanted), 240)
            told = kill_together("connect", "sink")(rig, trial.random)
            trial.happened(f"{told} with {next(counts) - before:,} events of {LARGE:,} rows sent")
        began = time.monotonic()
        trial.prove(bulk.settle(400))
        trial.note(f"all of it arrived {time.monotonic() - began:.0f} s after the last kill")
        rig.recover(trial, within_s=60)
    trial.note(", ".join(f"{name} held {mb:.0f} MB at most" for name, mb in highest.items()))
    assert max(highest.values()) < RSS_MB


@contextmanager
def highest_rss(rig: Rig, *names: str) -> Iterator[dict[str, float]]:
    """The most resident memory in MB that each program has within the block."""
    most = dict.fromkeys(names, 0.0)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            for name in names:
                with suppress(psutil.Error):  # it has just died
                    if rig.pid(name):
                        most[name] = max(most[name], rig.rss_mb(name))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join(10)


def delivered(rig: Rig, trial: Trial) -> None:
    """5 MB of JSON: more than Kafka's usual limit, and within ours."""
    venue, at = insert_book(rig, 5 * MB)
    size = rig.until("the book is in Cassandra", lambda: in_cassandra(rig, venue, at), 60)
    trial.happened(f"a row of {size:,} bytes of JSON arrived")
    rig.recover(trial, within_s=60)


def refused(rig: Rig, trial: Trial) -> None:
    """9 MB: more than Kafka takes. Nothing is skipped; without the row, `resync` heals."""
    venue, at = insert_book(rig, 9 * MB)
    try:
        trial.note(rig.alarm("task_failed", "connector_stuck", "heartbeat_age"))
        reason = rig.until("the task tells of the size", lambda: size_refused(rig), 60)
        trial.happened(f"a row of 9 MB of JSON: {reason[:150]}")
        assert in_cassandra(rig, venue, at) is None
    finally:
        rig.sql("DELETE FROM depth WHERE venue = %s AND observed_at = %s", venue, at)
    rig.resync(trial)
    rig.recover(trial, within_s=120)


@row("A27")
@pytest.mark.parametrize("fate", [delivered, refused], ids=lambda fate: fate.__name__)
def test_a27_large_row(rig: Rig, trial: Trial, fate: Callable[[Rig, Trial], None]) -> None:
    """A book that is large arrives; one that is too large is an alarm, never dropped."""
    with rig.under_load(trial, settle_s=240):
        fate(rig, trial)


def size_refused(rig: Rig) -> str | None:
    """Why the task failed, where it is the size; each restart by the watch hides it for a while."""
    status = rig.pipeline.tidemark("connector", "status", "--json").stdout
    told = "RecordTooLarge" in status or "max.request.size" in status
    return status[status.find("reason") :] if told else None


def insert_book(rig: Rig, size: int) -> tuple[str, datetime]:
    """A book whose bids are about so many bytes of JSON; its venue and time."""
    venue = f"book-{time.time_ns()}"
    at = datetime.now(UTC).replace(microsecond=0)
    rig.sql(
        "INSERT INTO depth (venue, symbol, observed_at, last_update_id, bids, asks, best_bid, "
        "best_bid_quantity, best_ask, best_ask_quantity, spread, imbalance) "
        "SELECT %s, 'BOOK', %s, 1, jsonb_agg(jsonb_build_array(md5(n::text), md5(n::text || 'q'))),"
        " '[]', 1, 1, 1, 1, 0, 0 FROM generate_series(1, %s) AS n",
        venue,
        at,
        size // 72,  # bytes of one level: two digests of 32, their quotes, brackets
    )
    return venue, at


def in_cassandra(rig: Rig, venue: str, at: datetime) -> int | None:
    """How many bytes of bids are there; None where the row is not."""
    with keyspace.session(rig.cdc, Role.READER) as session:
        query = session.prepare(
            "SELECT bids FROM depth_by_hour "
            "WHERE venue = ? AND symbol = 'BOOK' AND hour = ? AND observed_at = ?"
        )
        hour = at.replace(minute=0, second=0)
        found = session.execute(query, (venue, hour, at)).one()
    return None if found is None else len(found.bids)
