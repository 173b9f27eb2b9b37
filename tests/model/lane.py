"""The same histories through the real lane: JSON in, statements of a batch out, read back.

The model's rows are rows of `gaps`: a key is its `first_missing`, and the values stand in
`last_missing`, `cause` and `detail`; the last may come as an unchanged value's placeholder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cdc.errors import Poison
from cdc.routes import routes_of
from cdc.sink import packing
from cdc.sink.decoder import Decoder
from cdc.sink.gathering import Write as Statement
from cdc.sink.lane import Lane
from cdc.sink.router import Heads, Router
from cdc.sink.watermark import Span, Watermark
from cdc.tables import GAPS
from contracts.change import DELETE
from tests.model.cassandra import UNSET, Cell, Write
from tests.model.history import World
from tests.model.log import Event
from tests.model.postgres import Row
from tests.model.sink import Reader, Send, write_of

PLACEHOLDER = "__unchanged_in_the_model_01234567__"
MOMENT = "2026-11-20T22:07:10.123000Z"
(ROUTE,) = routes_of("gaps")
HEADS = {ROUTE.table: Heads(b"I:", b"D:")}
COLUMNS = [column.name for column in ROUTE.columns]
DECODER = Decoder(GAPS)


@dataclass(frozen=True, slots=True)
class Message:
    """What a Kafka message answers."""

    event: Event
    place: int

    def offset(self) -> int:
        return self.place

    def key(self) -> bytes:
        return b'{"first_missing":%d}' % self.event.key

    def value(self) -> bytes:
        return debezium_json(self.event)

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_795_212_430_555


def debezium_json(event: Event) -> bytes:
    """An event's bytes; those of an undecodable one have a text where a number should be."""
    row = row_json(event.key, event.row, unchanged=event.unchanged)
    if event.undecodable:
        row["last_missing"] = "junk"
    origin = event.origin
    source = {
        "table": "gaps",
        "ts_us": origin.ts_us,
        "lsn": origin.lsn,
        "sequence": origin.sequence,
        "txId": origin.tx_id,
        "snapshot": origin.snapshot,
    }
    side = "before" if event.op == DELETE else "after"
    return json.dumps({"op": event.op, side: row, "source": source, "ts_us": 1}).encode()


def row_json(key: int, row: Row | None, *, unchanged: bool) -> dict[str, Any]:
    """A row of `gaps`; a delete knows the key alone."""
    value, nullable, large = row or (0, None, 0)
    return {
        "venue": "model",
        "symbol": "S",
        "stream": "trades",
        "first_missing": key,
        "last_missing": value,
        "state": "open",
        "cause": None if nullable is None else str(nullable),
        "detail": PLACEHOLDER if unchanged else str(large),
        "detected_at": MOMENT,
        "as_of": MOMENT,
        "ingested_at": MOMENT,
    }


def _no_drift(table: str, committed_us: int) -> None:
    """The table's columns are as declared."""
    del table, committed_us


class LaneReader:
    """A real lane, its decoder and its router."""

    def __init__(self, generation: int, snapshot_lsn: int, start: int) -> None:
        router = Router(GAPS, HEADS, generation=generation, placeholder=PLACEHOLDER)
        self._lane = Lane(DECODER, router, generation, start, snapshot_lsn, _no_drift)
        self.overflown: set[int] = set()

    @property
    def watermark(self) -> Watermark:
        return self._lane.watermark

    def take(self, events: list[Event], offset: int, send: Send) -> None:
        def emit(statements: list[Statement]) -> None:
            for statement in statements:
                assert statement.span is not None
                send(read_back(statement), False, statement.span)

        def reject(message: Message, error: Poison, span: Span, timestamp: int | None) -> None:
            assert timestamp is not None, error
            send(write_of(message.event, timestamp), True, span)

        messages = [Message(event, place) for place, event in enumerate(events, offset)]
        self._lane.take(messages, 1, emit, reject)
        assert self._lane.halted is None
        if self._lane.order.take_oddities().rank_overflows:
            self.overflown |= {event.key for event in events}


class LaneWorld(World):
    """A history whose sinks are real lanes."""

    def reader(self, generation: int, snapshot_lsn: int, start: int) -> Reader:
        return LaneReader(generation, snapshot_lsn, start)


def read_back(statement: Statement) -> Write:
    """The model's write that a statement of a batch stands for."""
    values = list(_framed(statement.statement[2:]))
    if statement.statement.startswith(b"D:"):
        stamp, *key = values
        return Write(_number(key[-1]), _number(stamp), None)
    *columns, stamp = values
    row = dict(zip(COLUMNS, columns, strict=True))
    cells = (_number(row["last_missing"]), _text(row["cause"]), _text(row["detail"]))
    return Write(_number(row["first_missing"]), _number(stamp), cells)


def _framed(packed: bytes) -> Iterator[bytes | None]:
    """The values of a statement: b"" where unset, None where null."""
    at = 0
    while at < len(packed):
        head = packed[at : at + 4]
        at += 4
        if head == packing.UNSET:
            yield b""
        elif head == packing.NULL:
            yield None
        else:
            size = int.from_bytes(head)
            yield packed[at : at + size]
            at += size


def _number(value: bytes | None) -> int:
    assert value
    return int.from_bytes(value, signed=True)


def _text(value: bytes | None) -> Cell | str:
    if value is None:
        return None
    return int(value) if value else UNSET
