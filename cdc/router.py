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

from cdc import packing
from cdc.decoder import Change
from cdc.encoder import Key, RouteEncoder, Row
from cdc.errors import Undecodable
from cdc.gathering import Beat, Write
from cdc.mapping import Route, Source, Via
from cdc.packing import pack_bigint
from cdc.position import event_timestamp
from cdc.routes import routes_of
from contracts.change import DELETE, UPDATE


class Heads(NamedTuple):
    """What stands before the values of a route's prepared statements in a batch."""

    insert: bytes
    delete: bytes
    mark_visible: bytes = b""


class Arrival(NamedTuple):
    """Where and when an event came: the record's time in ms, the sink's in µs."""

    produced_ms: int
    received_us: int


@dataclass(slots=True)
class _Target:
    route: Route
    encoder: RouteEncoder
    heads: Heads
    timed: bool


class Router:
    """The routes of one source table, with their prepared statements."""

    def __init__(
        self, source: Source, heads: Mapping[str, Heads], *, generation: int, placeholder: str
    ) -> None:
        self.table = source.table
        self._generation = generation
        self._placeholder = placeholder.encode()
        self._targets = [
            _Target(
                route,
                RouteEncoder(route, placeholder),
                heads[route.table],
                timed=any(each.via is Via.SINK for each in route.columns),
            )
            for route in routes_of(source.table)
        ]

    def writes(self, change: Change, timestamp: int, raw: bytes, arrival: Arrival) -> list[Write]:
        """Return the writes of a change at its position; Poison where one cannot be made.

        `raw` is the event's JSON, looked at for the placeholder of unchanged large values.
        """
        partial = self._placeholder in raw
        made = []
        for target in self._targets:
            write = self._write(target, change, timestamp, arrival, partial=partial)
            if write is not None:
                made.append(write)
        return made

    def _write(
        self, target: _Target, change: Change, timestamp: int, arrival: Arrival, *, partial: bool
    ) -> Write | None:
        encoder, route = target.encoder, target.route
        row = change.row
        if change.op == DELETE:
            return self._delete(target, row, timestamp) if route.one_to_one else None
        if not encoder.applies(row):
            return self._delete(target, row, timestamp) if change.op == UPDATE else None
        if not route.one_to_one:
            timestamp = self._event_timestamp(encoder, row)
        key = encoder.key(row)
        if partial:
            self._refuse_unknown_key(key)
            rest, partial = encoder.rest_with_gaps(row)
        else:
            rest = encoder.rest(row)
        beat = None
        if target.timed:
            beat = Beat(
                source=row.source,
                committed_us=change.source.ts_us,
                captured_us=change.ts_us,
                produced_ms=arrival.produced_ms,
                received_us=arrival.received_us,
            )
            rest += b"".join(
                map(
                    pack_bigint,
                    (beat.committed_us, beat.captured_us, beat.produced_ms, beat.received_us),
                )
            )
        statement = (
            target.heads.insert
            + key.partition
            + key.clustering
            + rest
            + packing.pack_timestamp_value(timestamp)
        )
        return Write(
            route.table,
            key.partition,
            key.clustering,
            timestamp,
            statement,
            None,
            None,
            partial,
            beat,
        )

    def _delete(self, target: _Target, row: Row, timestamp: int) -> Write:
        key = target.encoder.key(row)
        statement = (
            target.heads.delete
            + packing.pack_timestamp_value(timestamp)
            + key.partition
            + key.clustering
        )
        return Write(
            target.route.table, key.partition, key.clustering, timestamp, statement, None, None
        )

    def _event_timestamp(self, encoder: RouteEncoder, row: Row) -> int:
        try:
            return event_timestamp(self._generation, encoder.event_us(row))
        except ValueError as error:
            raise Undecodable(f"{self.table}: {error}") from error

    def _refuse_unknown_key(self, key: Key) -> None:
        if self._placeholder in key.partition or self._placeholder in key.clustering:
            raise Undecodable(f"{self.table}: a key column is missing from the event (TOAST)")


def visible(write: Write, heads: Heads, visible_us: int) -> Write:
    """The write that says when a heartbeat's row was acknowledged, at that row's timestamp."""
    statement = (
        heads.mark_visible
        + write.partition
        + write.clustering
        + pack_bigint(visible_us)
        + packing.pack_timestamp_value(write.timestamp)
    )
    return Write(
        write.table,
        write.partition,
        write.clustering,
        write.timestamp,
        statement,
        None,
        write.event,
        partial=True,
    )
