"""Redriving: apply a dead letter by today's contracts, at its own position in the order.

Straight into Cassandra, and harmless: whatever changed the row later has a higher write timestamp
and stays. That needs three things, else the row is to be touched in PostgreSQL instead:

- the letter has a position;
- no snapshot was taken since: it brought the row, or said by silence that it is gone;
- no tombstone that outranks the letter can have been forgotten (gc_grace_seconds).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from cdc.dead_letters import topic
from cdc.dead_letters.letter import Letter
from cdc.dead_letters.remedy import touch_remedy
from cdc.dead_letters.table import LetterTable
from cdc.errors import Poison, Unreachable
from cdc.position import Phase, write_timestamp
from cdc.settings import CdcSettings
from cdc.sink import packed_batch
from cdc.sink.decoder import Decoder, decoders
from cdc.sink.gathering import Batch, Write
from cdc.sink.prepared import prepare
from cdc.sink.router import Router
from cdc.sink.watermark import Span
from cdc.sink.writer import Writer
from cdc.state import recall, snapshot_lsn
from contracts.change import TRUNCATE
from contracts.naming import parse_topic

Session = Any  # cassandra.cluster.Session, which ships no types

_LETTERS_AT_ONCE = 500
_GRACE_MARGIN = timedelta(hours=1)  # clocks differ
_PATIENCE_S = 60.0  # with a Cassandra that takes nothing
_WAIT_S = 0.1
_GRACE = "SELECT table_name, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = %s"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came, or would come, of a letter. `writes`: (INSERT or DELETE, target table).

    `why_not`: what stands against it, with the way on; None where it can be written.
    """

    letter: Letter
    writes: tuple[tuple[str, str], ...] = ()
    why_not: str | None = None


class Hindered(Exception):
    """Why a letter cannot be redriven, and what to do instead."""


class Redriver:
    """Redrives letters over a session of the sink's role. `contracts`: a decoder for each table."""

    def __init__(
        self,
        settings: CdcSettings,
        session: Session,
        contracts: Mapping[str, Decoder] | None = None,
    ) -> None:
        self._settings = settings
        self._decoders = decoders() if contracts is None else contracts
        self._prepared = prepare(session, settings.cassandra_keyspace)
        self._table = LetterTable(session)
        self._generations = recall(session)
        self._grace = _shortest_grace(session, settings.cassandra_keyspace, self._prepared.heads)
        self._routers: dict[tuple[str, int], Router] = {}
        self._refusals: dict[str, str] = {}
        send = partial(packed_batch.send, session)
        timeout_s = settings.request_timeout_ms / 1000
        self._writer = Writer(
            settings,
            lambda statements, done: send(statements, timeout_s, done),
            _nothing,
            self._note_refusal,
        )

    def plan(self, letters: Iterable[Letter]) -> Iterator[Outcome]:
        """What redriving would do to each; nothing is written."""
        for letter in letters:
            yield self._plan(letter)[0]

    def redrive(self, letters: Iterable[Letter]) -> Iterator[Outcome]:
        """Write each that can be written; what came of it is kept in the table of letters."""
        under_way: list[tuple[Outcome, Span]] = []
        for letter in letters:
            outcome, writes = self._plan(letter)
            span = Span()
            span.seal(0)
            for write in writes:
                write.span, write.event = span, letter
            span.pending += len(writes)
            self._writer.add(writes)
            under_way.append((outcome, span))
            if self._writer.full or len(under_way) >= _LETTERS_AT_ONCE:
                yield from self._settle(under_way)
                under_way = []
        yield from self._settle(under_way)

    def _settle(self, under_way: list[tuple[Outcome, Span]]) -> Iterator[Outcome]:
        """Wait until all is written or refused; Unreachable where Cassandra takes nothing."""
        while any(span.pending for _, span in under_way):
            self._writer.gather_for(0)
            self._writer.wait(_WAIT_S)
            if self._writer.failing_s > _PATIENCE_S:
                raise Unreachable(
                    "Cassandra takes no write; `tidemark status`, then redrive again: "
                    "what was written already is harmless"
                )
        now = datetime.now(UTC)
        for outcome, _ in under_way:
            refusal = self._refusals.pop(outcome.letter.id, None)
            done = outcome if refusal is None else replace(outcome, why_not=refusal)
            if done.why_not is None:
                self._table.mark_redriven(done.letter, now, _said(done.writes))
            else:
                self._table.note_attempt(done.letter, done.why_not)
            yield done

    def _note_refusal(self, write: Write, error: Exception) -> None:
        text = " ".join(str(error).split())[:200]
        self._refusals[write.event.id] = f"Cassandra refuses it: {write.table}: {text}"

    def _plan(self, letter: Letter) -> tuple[Outcome, list[Write]]:
        try:
            writes = self._writes(letter)
        except Poison as error:
            why_not = f"still {error.cause}: {error}" + (f" at {error.path}" if error.path else "")
            return Outcome(letter=letter, why_not=why_not), []
        except Hindered as error:
            return Outcome(letter=letter, why_not=str(error)), []
        deletes = {table: heads.delete for table, heads in self._prepared.heads.items()}
        said = tuple(
            ("DELETE" if each.statement.startswith(deletes[each.table]) else "INSERT", each.table)
            for each in writes
        )
        return Outcome(letter=letter, writes=said), writes

    def _writes(self, letter: Letter) -> list[Write]:
        """The writes of a letter; Poison as for any event, Hindered where it would do harm."""
        timestamp, router = self._placed(letter)
        change = self._decoders[letter.table].decode(self._bytes_of(letter))
        if change.op == TRUNCATE:
            raise Hindered("a TRUNCATE is never applied; docs/runbook.md, chapter table_halted")
        logged_ms = int(letter.logged_at.timestamp() * 1000)
        return router.writes(change, timestamp, logged_ms, time.time_ns() // 1000)

    def _placed(self, letter: Letter) -> tuple[int, Router]:
        """Its write timestamp and its routes, where writing it is harmless."""
        touch = touch_remedy(letter)
        try:
            generation, table = parse_topic(letter.topic)
        except ValueError as error:
            raise Hindered(f"it is no event of ours; {touch}") from error
        if letter.write_timestamp is None or table != letter.table or table not in self._decoders:
            raise Hindered(f"it has no position in the order; {touch}")
        newest = max(self._generations, default=generation)
        if generation != newest:
            raise Hindered(
                f"it is of generation {generation}, and the snapshot of generation {newest} "
                f"has said how its row is; {touch}"
            )
        if letter.write_timestamp < self._snapshot_floor(generation):
            raise Hindered(
                f"it is of an attempt at the snapshot that failed, and the next one has said how "
                f"its row is; {touch}"
            )
        if datetime.now(UTC) - letter.logged_at > self._grace:
            raise Hindered(
                f"it is older than {self._grace.days} days: Cassandra may have forgotten that its "
                f"row was deleted since; {touch}"
            )
        return letter.write_timestamp, self._router(table, generation)

    def _snapshot_floor(self, generation: int) -> int:
        """The least write timestamp of the completed snapshot's rows; 0 where none is known."""
        known = self._generations.get(generation)
        lsn = 0 if known is None else snapshot_lsn(known)
        return write_timestamp(generation, Phase.SNAPSHOT, lsn, 0) if lsn else 0

    def _router(self, table: str, generation: int) -> Router:
        if (table, generation) not in self._routers:
            known = self._generations.get(generation)
            if known is None:
                raise Hindered(f"nothing is known of its generation {generation}")
            self._routers[table, generation] = Router(
                self._decoders[table].source,
                self._prepared.heads,
                generation=generation,
                placeholder=known.placeholder,
            )
        return self._routers[table, generation]

    def _bytes_of(self, letter: Letter) -> bytes:
        """The event's bytes, from the table or, where they are many, from the topic."""
        value = topic.value_of(self._settings, letter) if letter.value is None else letter.value
        if value is None:
            raise Hindered(f"its bytes are no longer in the topic; {touch_remedy(letter)}")
        if len(value) != letter.value_bytes:
            kept = f"only {len(value)} of its {letter.value_bytes} bytes were kept"
            raise Hindered(f"{kept}; {touch_remedy(letter)}")
        return value


def _nothing(_batch: Batch) -> None:
    """Spans say what is written."""


def _said(writes: Iterable[tuple[str, str]]) -> str:
    return "written: " + (", ".join(f"{verb} {table}" for verb, table in writes) or "nothing")


def _shortest_grace(session: Session, keyspace: str, tables: Iterable[str]) -> timedelta:
    """For how long every target table surely remembers a delete."""
    wanted = set(tables)
    rows = session.execute(_GRACE, (keyspace,))
    seconds = min(row.gc_grace_seconds for row in rows if row.table_name in wanted)
    return timedelta(seconds=seconds) - _GRACE_MARGIN
