"""What replication remembers about itself, in Cassandra (cassandra/0002_cdc_state.cql).

`cdc_state` has a row a generation: the PostgreSQL cluster, slot and topics that its positions are
counted in. `sink_positions` is what the sink has had acknowledged, which fences wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contracts.naming import SINK_GROUP

Session = Any  # cassandra.cluster.Session, which ships no types


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation of positions.

    `snapshot_lsn` is its completed snapshot's, None where it was not seen: of an empty one no event
    tells it. `snapshot_seen_lsn` is the highest of an initial snapshot's row that the sink read:
    once the snapshot is complete and all its rows are applied, the snapshot's own. `swept`: what
    that snapshot does not have was removed (cdc.sweep). `broken`: why it must never go on, ''
    where it may.
    """

    generation: int
    system_identifier: str
    timeline: int
    slot: str
    topic_prefix: str
    placeholder: str
    snapshot_lsn: int | None = None
    snapshot_completed: bool = False
    snapshot_seen_lsn: int | None = None
    by_resync: bool = False
    swept: bool = False
    broken: str = ""


def recall(session: Session) -> dict[int, Generation]:
    """Every generation that this keyspace has seen, by number."""
    rows = session.execute(
        "SELECT generation, system_identifier, timeline, slot, topic_prefix, placeholder, "
        "snapshot_lsn, snapshot_completed_at, snapshot_seen_lsn, resync_begun_at, swept_at, "
        "broken "
        "FROM cdc_state"
    )
    return {
        row.generation: Generation(
            generation=row.generation,
            system_identifier=row.system_identifier,
            timeline=row.timeline,
            slot=row.slot,
            topic_prefix=row.topic_prefix,
            placeholder=row.placeholder,
            snapshot_lsn=row.snapshot_lsn,
            snapshot_completed=row.snapshot_completed_at is not None,
            snapshot_seen_lsn=row.snapshot_seen_lsn,
            by_resync=row.resync_begun_at is not None,
            swept=row.swept_at is not None,
            broken=row.broken or "",
        )
        for row in rows
        if row.system_identifier is not None  # deleted and half-written rows remember nothing
    }


def snapshot_lsn(known: Generation) -> int:
    """LSN of a generation's complete and applied snapshot; 0 where none is known, or of no row.

    Connect tells it only until the first streamed event; then the rows that were read do, once the
    generation is swept, before which they may all be of an attempt that failed.
    """
    return max(known.snapshot_lsn or 0, (known.snapshot_seen_lsn or 0) if known.swept else 0)


def remember(session: Session, state: Generation) -> None:
    """Keep a generation, at its first start and after an accepted change of timeline."""
    session.execute(
        "INSERT INTO cdc_state (generation, system_identifier, timeline, slot, topic_prefix, "
        "placeholder, started_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            state.generation,
            state.system_identifier,
            state.timeline,
            state.slot,
            state.topic_prefix,
            state.placeholder,
            datetime.now(UTC),
        ),
    )


def newest(session: Session) -> int:
    """The newest generation that this keyspace has seen; 0 where it has seen none."""
    rows = session.execute("SELECT generation, system_identifier FROM cdc_state")
    return max((row.generation for row in rows if row.system_identifier is not None), default=0)


def begin_resync(session: Session, generation: int) -> None:
    """Record that a resync began this generation: it goes on with it until it is swept."""
    _note_moment(session, generation, "resync_begun_at")


def unfinished_resync(session: Session) -> int | None:
    """The generation that a resync began, and that is not swept; None where there is none.

    Also one of which nothing else is known yet: then what was before it is stopped already.
    """
    rows = list(
        session.execute(
            "SELECT generation, system_identifier, resync_begun_at, swept_at FROM cdc_state"
        )
    )
    current = max((row.generation for row in rows if row.system_identifier is not None), default=0)
    begun = [row for row in rows if row.resync_begun_at is not None and row.swept_at is None]
    return max((row.generation for row in begun if row.generation >= current), default=None)


def complete_sweep(session: Session, generation: int) -> None:
    """Record that what the generation's snapshot does not have was removed."""
    _note_moment(session, generation, "swept_at")


def break_generation(session: Session, generation: int, why: str) -> None:
    """Record that rows of this generation are lost although its traces will vanish."""
    session.execute("UPDATE cdc_state SET broken = %s WHERE generation = %s", (why, generation))


def _note_moment(session: Session, generation: int, column: str) -> None:
    session.execute(
        f"UPDATE cdc_state SET {column} = %s WHERE generation = %s",  # noqa: S608 - a constant
        (datetime.now(UTC), generation),
    )


def complete_snapshot(session: Session, generation: int, lsn: int | None) -> None:
    """Record that the initial snapshot is complete; snapshot rows beyond its LSN must then halt."""
    _note_moment(session, generation, "snapshot_completed_at")
    if lsn is not None:
        session.execute(
            "UPDATE cdc_state SET snapshot_lsn = %s WHERE generation = %s", (lsn, generation)
        )


def note_snapshot_row(session: Session, generation: int, lsn: int) -> None:
    """Keep the LSN of an initial snapshot's row, unless a higher one is kept already."""
    session.execute(
        "UPDATE cdc_state USING TIMESTAMP %s SET snapshot_seen_lsn = %s WHERE generation = %s",
        (lsn, lsn, generation),
    )


def publish_positions(
    session: Session, positions: Mapping[tuple[str, int], int], group: str = SINK_GROUP
) -> None:
    """Publish {(topic, partition): next offset}: everything before it Cassandra has acknowledged.

    The offset is its own write timestamp, so a zombie or a clock that leaps cannot take it back.
    """
    now = datetime.now(UTC)
    for (topic, partition), offset in positions.items():
        session.execute(
            "INSERT INTO sink_positions (group_id, topic, partition, next_offset, at) "
            "VALUES (%s, %s, %s, %s, %s) USING TIMESTAMP %s",
            (group, topic, partition, offset, now, offset),
        )


def positions(session: Session, group: str = SINK_GROUP) -> dict[tuple[str, int], int]:
    """The published next offsets by (topic, partition)."""
    rows = session.execute(
        "SELECT topic, partition, next_offset FROM sink_positions WHERE group_id = %s", (group,)
    )
    return {(row.topic, row.partition): row.next_offset for row in rows}
