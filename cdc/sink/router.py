"""From one change event to the writes it means, for each route of its table. Pure.

- create, update, snapshot row → INSERT of the whole row at its position;
- delete → DELETE of its key at its position; a changed key comes as delete + create;
- a route with a condition: a row that does not meet it writes nothing, but an update deletes, for
  the old version may have met it;
- a route ordered by the event's own time (latest_*) ignores deletes: an older row would have to
  come back, and only a newer one can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cdc.errors import Undecodable
from cdc.mapping import Source, Via
from cdc.position import event_timestamp
from cdc.routes import routes_of
from cdc.sink.decoder import Change
from cdc.sink.encoder import RouteEncoder, Row
from cdc.sink.gathering import Beat, Write
from cdc.sink.packing import pack_bigint, pack_timestamp_value
from contracts.change import DELETE, UPDATE


class Heads(NamedTuple):
    """What stands before the values of a route's prepared statements in a batch."""

    insert: bytes
    delete: bytes
    mark_visible: bytes = b""


@dataclass(frozen=True, slots=True)
class _Target:
    """A route, ready to write. `timed`: its rows hold when each stage had them."""

    table: str
    encoder: RouteEncoder
    heads: Heads
    one_to_one: bool
    timed: bool


class Router:
    """The routes of one source table, with their prepared statements."""

    def __init__(
        self, source: Source, heads: Mapping[str, Heads], *, generation: int, placeholder: str
    ) -> None:
        self.table = source.table
        self._generation = generation
        self._targets = [
            _Target(
                table=route.table,
                encoder=RouteEncoder(route, placeholder),
                heads=heads[route.table],
                one_to_one=route.one_to_one,
                timed=any(each.via is Via.SINK for each in route.columns),
            )
            for route in routes_of(source.table)
        ]

    def writes(
        self, change: Change, timestamp: int, produced_ms: int, received_us: int
    ) -> list[Write]:
        """Return the writes of a change at its position; Poison where one cannot be made.

        `produced_ms` and `received_us`: when Kafka and the sink got the event.
        """
        if change.op == DELETE:
            return [
                _delete(target, change.before, timestamp, "before")
                for target in self._targets
                if target.one_to_one
            ]
        row = change.after
        made = []
        for target in self._targets:
            encoder = target.encoder
            if encoder.applies is not None and not encoder.applies(row):
                if change.op == UPDATE:
                    made.append(_delete(target, row, timestamp))
                continue
            at = timestamp if target.one_to_one else self._event_timestamp(encoder, row)
            beat = _beat(change, produced_ms, received_us) if target.timed else None
            tail = pack_timestamp_value(at) if beat is None else _timed_tail(beat, at)
            partition, clustering, statement, partial = encoder.statement(
                row, target.heads.insert, tail
            )
            made.append(
                Write(
                    target.table, partition, clustering, at, statement, partial=partial, beat=beat
                )
            )
        return made

    def _event_timestamp(self, encoder: RouteEncoder, row: Row) -> int:
        try:
            return event_timestamp(self._generation, encoder.event_us(row))
        except ValueError as error:
            path = f"$.after.{encoder.route.order_by}"
            raise Undecodable(f"{self.table}: {error}", path) from error


def _delete(target: _Target, row: Row, timestamp: int, side: str = "after") -> Write:
    partition, clustering, _rest, _partial = target.encoder.pack_key(row, side)
    stamp = pack_timestamp_value(timestamp)
    statement = b"".join((target.heads.delete, stamp, partition, clustering))
    return Write(target.table, partition, clustering, timestamp, statement)


def _beat(change: Change, produced_ms: int, received_us: int) -> Beat:
    return Beat(
        source=change.after.source,
        committed_us=change.source.ts_us,
        captured_us=change.ts_us,
        produced_ms=produced_ms,
        received_us=received_us,
    )


def _timed_tail(beat: Beat, timestamp: int) -> bytes:
    """When each stage had the row, then its write timestamp."""
    times = (beat.committed_us, beat.captured_us, beat.produced_ms, beat.received_us)
    return b"".join(map(pack_bigint, times)) + pack_timestamp_value(timestamp)


def visible(write: Write, heads: Heads, visible_us: int) -> Write:
    """The write that says when a heartbeat's row was acknowledged, at that row's timestamp."""
    statement = (
        heads.mark_visible
        + write.partition
        + write.clustering
        + pack_bigint(visible_us)
        + pack_timestamp_value(write.timestamp)
    )
    return Write(
        write.table,
        write.partition,
        write.clustering,
        write.timestamp,
        statement,
        event=write.event,
        partial=True,
    )
