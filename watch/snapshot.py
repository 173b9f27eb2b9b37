"""Everything that can be seen of the pipeline at one moment, gathered at once and in bounded time.

Whatever does not answer in time is `Unread` with its reason: a page about a broken pipeline has to
come at once too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from cdc import keyspace, state
from cdc.connector.client import ConnectClient, ConnectorStatus
from cdc.dead_letters.table import LetterTable
from cdc.readings import Count, counts
from cdc.routes import SOURCES
from cdc.verification import proof
from cdc.verification.proof import Proof
from contracts.naming import Role, slot_name
from watch import probes
from watch.alarms import RaisedAlarm
from watch.probes import Exchange, Flow, Heartbeats, Sink
from watch.settings import WatchSettings
from watch.shedding import Level
from watch.store import Ledger, Slot, Store

COUNTING_S: Final = 1.5  # for the rows of each side
ANSWER_S: Final = 0.3  # kept for closing and for handing over
WITHIN_S: Final = 8.0  # who is down says so at once; who is slow or frozen may take so long

T = TypeVar("T")


@dataclass(frozen=True)
class Unread:
    """A part that did not answer, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Truth:
    """PostgreSQL: the slot, what is shed for it, rows, alarms, rows set aside, the ledger."""

    slot: Slot | None
    shedding: Level
    rows: dict[str, Count]
    alarms: list[RaisedAlarm]
    quarantined: int
    ledger: Ledger


@dataclass(frozen=True, kw_only=True)
class History:
    """Cassandra: what arrives, what the sink published as applied, letters, proofs, rows."""

    heartbeats: Heartbeats
    applied: dict[str, int]  # next offset by <topic>/<partition>
    letters: Count  # dead letters that nobody has redriven
    proofs: dict[str, Proof]  # by target table
    rows: dict[str, Count]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment. `connector` None: there is none of this generation."""

    at: datetime
    generation: int
    postgres: Truth | Unread
    connect: ConnectorStatus | Unread | None
    kafka: Flow | Unread
    cassandra: History | Unread
    exchange: Exchange | Unread
    sink: Sink | Unread


def take(settings: WatchSettings, within_s: float = WITHIN_S) -> Snapshot:
    """Ask everybody at once; who has not answered within `within_s` is Unread."""
    deadline = time.monotonic() + within_s
    questions: dict[str, Callable[[], Any]] = {
        "postgres": lambda: _postgres(settings, deadline),
        "connect": lambda: _connect(settings),
        "kafka": lambda: probes.flow(settings),
        "cassandra": lambda: _cassandra(settings, deadline),
        "exchange": lambda: probes.exchange(settings.ingest_metrics_port),
        "sink": lambda: probes.sink(settings.sink_metrics_port),
    }
    at, answers = datetime.now(UTC), ask(questions, within_s)
    return Snapshot(at=at, generation=settings.generation, **answers)


def ask(questions: Mapping[str, Callable[[], T]], within_s: float) -> dict[str, T | Unread]:
    """Call all at once, each in a thread that may be left behind."""
    answers: dict[str, T | Unread] = {}

    def answer(name: str, question: Callable[[], T]) -> None:
        try:
            found: T | Unread = question()
        except Exception as error:  # noqa: BLE001 - any failure of a part is that part's answer
            lines = str(error).strip().splitlines()
            found = Unread(lines[0] if lines else type(error).__name__)
        answers.setdefault(name, found)

    threads = [
        threading.Thread(target=answer, args=item, name=item[0], daemon=True)
        for item in questions.items()
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for name in questions:
        answers.setdefault(name, Unread(f"no answer within {within_s:g} s"))
    return answers


def _postgres(settings: WatchSettings, deadline: float) -> Truth:
    store = Store(settings, timeout_s=COUNTING_S)
    try:
        return Truth(
            slot=store.slot(slot_name(settings.generation)),
            shedding=store.shedding(),
            alarms=store.open_alarms(),
            quarantined=store.quarantined(probes.LATELY),
            ledger=store.ledger(),
            rows=store.counts([source.table for source in SOURCES], _counting_s(deadline)),
        )
    finally:
        store.close()


def _connect(settings: WatchSettings) -> ConnectorStatus | None:
    with ConnectClient(settings) as client:
        return client.status()


def _cassandra(settings: WatchSettings, deadline: float) -> History:
    with keyspace.session(settings, Role.READER) as session:
        return History(
            heartbeats=probes.heartbeats(session, datetime.now(UTC)),
            applied=probes.by_name(state.positions(session, settings.sink_group)),
            proofs=proof.recall(session),
            letters=LetterTable(session).waiting(COUNTING_S / 3),
            rows=counts(session, _counting_s(deadline)),
        )


def _counting_s(deadline: float) -> float:
    """Time for counting: what else is to be said must not wait for it."""
    return max(0.0, min(COUNTING_S, deadline - ANSWER_S - time.monotonic()))
