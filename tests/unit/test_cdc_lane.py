"""One partition through decoder, order and routes: which statements at which timestamps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from cdc.errors import HaltTable, LateSnapshot, Poison, SchemaDrift, Truncated
from cdc.position import Phase, event_timestamp, write_timestamp
from cdc.routes import ROUTES
from cdc.sink import packing
from cdc.sink.decoder import decoders
from cdc.sink.gathering import Write
from cdc.sink.lane import Lane
from cdc.sink.router import Heads, Router
from cdc.sink.watermark import Span

PLACEHOLDER = "__unchanged_0123456789abcdef__"
GENERATION = 4
HEADS = {route.table: Heads(b"I:", b"D:", b"V:") for route in ROUTES}
MOMENT = "2026-11-20T22:07:10.123000Z"
MOMENT_US = 1_795_212_430_123_000


@dataclass(frozen=True)
class Event:
    """What a Kafka message answers."""

    place: int
    raw: bytes | None
    name: bytes | None = b'{"id":1}'

    def topic(self) -> str:
        return "market.g4.public.t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.raw

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_795_212_430_555)


@dataclass
class Caught:
    """A lane and all that came out of it."""

    table: str
    snapshot_lsn: int | None = None
    writes: list[Write] = field(default_factory=list)
    rejects: list[tuple[int, Poison]] = field(default_factory=list)
    drift: HaltTable | None = None  # what the catalogue says of the table
    letters: list[tuple[str, int | None]] = field(default_factory=list)  # (path, write timestamp)
    offset: int = 0

    def __post_init__(self) -> None:
        decoder = decoders()[self.table]
        router = Router(decoder.source, HEADS, generation=GENERATION, placeholder=PLACEHOLDER)
        self.lane = Lane(decoder, router, GENERATION, 0, self.snapshot_lsn, self._drift_of)

    def _drift_of(self, table: str, committed_us: int) -> HaltTable | None:
        assert (table, committed_us) == (self.table, MOMENT_US)
        return self.drift

    def take(self, *events: bytes | None, key: bytes | None = b"k") -> list[Write]:
        """Feed events at the next offsets; the writes that came of them."""
        before = len(self.writes)
        messages = [Event(self.offset + n, raw, key) for n, raw in enumerate(events)]
        self.offset += len(events)

        def reject(message: Any, error: Poison, span: Span, timestamp: int | None) -> None:
            del span
            self.rejects.append((message.offset(), error))
            self.letters.append((error.path, timestamp))

        self.lane.take(messages, 1_795_212_430_600_000, self.writes.extend, reject)
        return self.writes[before:]


def event(
    op: str,
    row: dict[str, Any] | None,
    *,
    lsn: int = 8000,
    previous: int | None = None,
    tx: int | None = 1,
    snapshot: str = "false",
) -> bytes:
    """A Debezium event; a delete's row stands in `before`."""
    side = "before" if op == "d" else "after"
    source = {
        "table": "t",
        "ts_us": MOMENT_US,
        "lsn": lsn,
        "txId": tx,
        "snapshot": snapshot,
        "sequence": json.dumps([previous and str(previous), str(lsn)]),
    }
    return json.dumps({"op": op, side: row, "source": source, "ts_us": MOMENT_US + 1}).encode()


def price(**changes: Any) -> dict[str, Any]:
    """A row of prices."""
    return {
        "venue": "v",
        "symbol": "S",
        "observed_at": MOMENT,
        "price": "1.50",
        "ingested_at": MOMENT,
    } | changes


def trade(notional: str, **changes: Any) -> dict[str, Any]:
    """A row of trades."""
    return {
        "venue": "v",
        "symbol": "S",
        "trade_id": 7,
        "traded_at": MOMENT,
        "traded_at_us": MOMENT_US,
        "price": "1",
        "quantity": "1",
        "quote_quantity": "1",
        "notional_usd": notional,
        "is_buyer_maker": True,
        "is_best_match": False,
        "ingested_at": MOMENT,
    } | changes


def depth(bids: str) -> dict[str, Any]:
    """A row of depth."""
    amounts = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity", "spread")
    return {
        "venue": "v",
        "symbol": "S",
        "observed_at": MOMENT,
        "last_update_id": 5,
        "bids": bids,
        "asks": "[]",
        **dict.fromkeys((*amounts, "imbalance"), "1"),
        "ingested_at": MOMENT,
    }


def kinds(writes: list[Write]) -> list[tuple[str, str]]:
    """(table, I or D) of each write."""
    return [(each.table, each.statement[:1].decode()) for each in writes]


def test_a_row_is_inserted_whole_at_its_position() -> None:
    """Key, values and timestamp stand in the statement in the order of the routes' columns."""
    history, latest = Caught("prices").take(event("c", price()))
    stamp = write_timestamp(GENERATION, Phase.STREAM, 8000, 1)
    day = packing.pack_timestamp("2026-11-20T00:00:00Z")
    assert history.partition == packing.pack_text("v") + packing.pack_text("S") + day
    assert history.clustering == packing.pack_timestamp(MOMENT)
    assert history.statement == b"".join(
        (
            b"I:",
            history.partition,
            history.clustering,
            packing.pack_decimal("1.5"),
            packing.pack_bigint(MOMENT_US),
            packing.pack_timestamp_value(stamp),
        )
    )
    assert history.timestamp == stamp
    assert latest.timestamp == event_timestamp(GENERATION, MOMENT_US)


def test_the_newest_market_time_wins_in_latest_tables() -> None:
    """An older row that is sent again later does not come back."""
    caught = Caught("prices")
    _, newer = caught.take(event("c", price(observed_at="2026-11-20T22:07:11.000000Z"), lsn=8000))
    _, older = caught.take(event("c", price(), lsn=9000, tx=2))
    assert newer.timestamp > older.timestamp


def test_a_delete_removes_history_and_leaves_the_latest() -> None:
    """What was the latest can only be replaced by something newer."""
    writes = Caught("prices").take(event("d", price(price="0", ingested_at=MOMENT)))
    assert kinds(writes) == [("prices_by_day", "D")]


def test_a_small_trade_writes_nothing_among_the_large() -> None:
    """Above 100,000 USD, not at it; a delete deletes in both, an update that shrinks too."""
    caught = Caught("trades")
    tape, whales = "trades_by_hour", "large_trades_by_day"
    assert kinds(caught.take(event("c", trade("100000")))) == [(tape, "I")]
    assert kinds(caught.take(event("c", trade("100000.01")))) == [(tape, "I"), (whales, "I")]
    assert kinds(caught.take(event("u", trade("3")))) == [(tape, "I"), (whales, "D")]
    assert kinds(caught.take(event("d", trade("0")))) == [(tape, "D"), (whales, "D")]


def test_a_changed_key_is_a_delete_and_an_insert() -> None:
    """Debezium sends both with one LSN; they meet different rows."""
    deleted, created = Caught("instruments").take(
        event("d", {"venue": "v", "symbol": "OLD"}, lsn=8000),
        event("c", _instrument("NEW"), lsn=8000),
    )
    assert deleted.clustering != created.clustering
    assert kinds([deleted, created]) == [("instruments", "D"), ("instruments", "I")]


def test_an_unchanged_large_value_is_left_unset() -> None:
    """Its placeholder is nowhere in the statement, and an older write must stay beneath it."""
    (write, _latest) = Caught("depth").take(event("u", depth(PLACEHOLDER)))
    assert PLACEHOLDER.encode() not in write.statement
    assert packing.UNSET in write.statement
    assert write.partial
    (whole, _latest) = Caught("depth").take(event("u", depth("[]")))
    assert not whole.partial


def test_a_key_without_its_value_is_a_dead_letter() -> None:
    """A placeholder in a key would make a row that nobody can find."""
    caught = Caught("prices")
    assert caught.take(event("u", price(symbol=PLACEHOLDER))) == []
    assert [offset for offset, _ in caught.rejects] == [0]


@pytest.mark.parametrize("bad", ["NAN", "infinity", "-infinity"])
def test_a_number_that_is_none_is_a_dead_letter(bad: str) -> None:
    """And nothing of its event is written."""
    caught = Caught("trades")
    assert caught.take(event("c", trade(bad))) == []
    assert [error.cause for _, error in caught.rejects] == ["unrepresentable"]


def test_good_events_around_a_bad_one_pass() -> None:
    """Poison is taken out one by one; the span waits for its dead letter."""
    caught = Caught("prices")
    writes = caught.take(event("c", price()), b"{", event("c", price(symbol="T"), tx=2), None)
    assert len(writes) == 4
    assert [offset for offset, _ in caught.rejects] == [1]
    assert caught.lane.seen == {"c": 2, "undecodable": 1, "tombstone": 1}
    assert not caught.lane.watermark.settled()


def test_an_event_without_a_key_is_a_dead_letter() -> None:
    """Ranks are counted by it."""
    caught = Caught("prices")
    assert caught.take(event("c", price()), key=None) == []
    assert len(caught.rejects) == 1


def test_a_row_that_nobody_can_read_still_counts_in_its_transaction() -> None:
    """The next change of its key has the next rank, and its letter knows its own timestamp."""
    caught = Caught("prices")
    first, _ = caught.take(event("c", price(), lsn=7000, previous=8000))
    assert caught.take(event("u", price(price=5), lsn=7008, previous=8000)) == []
    third, _ = caught.take(event("u", price(), lsn=7016, previous=8000))
    rank = write_timestamp(GENERATION, Phase.STREAM, 8000, 0)
    assert (first.timestamp - rank, third.timestamp - rank) == (1, 3)
    assert caught.letters == [("$.after.price", rank + 2)]


def test_an_event_that_cannot_be_read_halts_a_table_that_has_changed() -> None:
    """Nothing of it is written or rejected, and a new sink begins with it."""
    caught = Caught("prices", drift=SchemaDrift("prices", ["column price is gone"], "0007"))
    good = caught.take(event("c", price()), event("c", price(price=5), tx=2), event("c", price()))
    assert len(good) == 2
    assert caught.lane.halted is caught.drift
    assert caught.rejects == []
    for write in good:
        assert write.span is not None
        write.span.pending -= 1
    caught.lane.watermark.advance()
    assert caught.lane.watermark.acknowledged == caught.lane.watermark.committable == 1


def test_bytes_that_are_no_event_never_halt_a_table() -> None:
    """They say nothing of its columns, whatever the catalogue says."""
    caught = Caught("prices", drift=SchemaDrift("prices", ["column price is gone"], "0007"))
    caught.take(b"{", b'{"source":{}}', event("c", price())[:-9])
    assert len(caught.rejects) == 3
    assert caught.lane.halted is None


def test_a_transaction_that_begins_with_poison_is_a_boundary() -> None:
    """Ranks are counted from it on, so the offset may be committed there."""
    caught = Caught("prices")
    good, _ = caught.take(event("c", price()), event("c", price(price=5), tx=2))
    assert good.span is not None
    assert good.span.boundary == 1


@pytest.mark.parametrize(
    ("raw", "key"), [(b"{", b"k"), (event("c", price(price=5)), None), (b'{"source":{}}', b"k")]
)
def test_an_event_without_an_envelope_has_no_place(raw: bytes, key: bytes | None) -> None:
    """Its letter says so; what is said of it is what was wrong first."""
    caught = Caught("prices")
    caught.take(raw, key=key)
    assert [timestamp for _, timestamp in caught.letters] == [None]
    assert caught.lane.seen == {"undecodable": 1}


def test_a_letter_names_the_column_that_cannot_be_written() -> None:
    """As a path in the event, for the row as for a delete's key."""
    caught = Caught("trades")
    caught.take(event("c", trade("1", quantity="NAN")), event("c", trade("NAN"), tx=2))
    caught.take(event("d", trade("0", traded_at="-5877611-06-22Z"), tx=3))
    assert [path for path, _ in caught.letters] == [
        "$.after.quantity",
        "$.after.notional_usd",
        "$.before.traded_at",
    ]
    assert all(timestamp is not None for _, timestamp in caught.letters)


def test_a_truncate_halts_the_table_before_it() -> None:
    """What came before it is applied, nothing after."""
    caught = Caught("prices")
    writes = caught.take(event("c", price()), event("t", None), event("c", price(symbol="T")))
    assert len(writes) == 2
    assert isinstance(caught.lane.halted, Truncated)
    assert caught.take(event("c", price())) == []
    for write in writes:
        assert write.span is not None
        write.span.pending -= 1
    caught.lane.watermark.advance()
    assert caught.lane.watermark.acknowledged == 1


def test_snapshot_rows_lose_against_the_stream_and_are_boundaries() -> None:
    """Rank 0, phase 0."""
    caught = Caught("prices", snapshot_lsn=8000)
    (row, _) = caught.take(event("r", price(), snapshot="true"))
    assert row.timestamp == write_timestamp(GENERATION, Phase.SNAPSHOT, 8000, 0)
    assert row.span is not None
    assert row.span.boundary == 0
    assert caught.lane.snapshot_seen_lsn == 8000


def test_a_second_snapshot_in_a_generation_halts() -> None:
    """It could not win against what the first one and the stream wrote."""
    caught = Caught("prices", snapshot_lsn=8000)
    assert caught.take(event("r", price(), snapshot="true", lsn=9000)) == []
    assert isinstance(caught.lane.halted, LateSnapshot)
    assert caught.lane.snapshot_seen_lsn == 0


def test_snapshot_rows_behind_streamed_ones_halt_even_where_no_snapshot_is_recorded() -> None:
    """Connect was killed before it had stored that its snapshot was complete, and took another."""
    caught = Caught("prices")
    assert len(caught.take(event("r", price(), snapshot="first", lsn=8000))) == 2
    assert len(caught.take(event("c", price(), lsn=8008))) == 2
    assert caught.take(event("r", price(), snapshot="true", lsn=9000)) == []
    assert isinstance(caught.lane.halted, LateSnapshot)


def test_rows_of_an_aborted_attempt_at_the_snapshot_do_not_halt() -> None:
    """They lie before the completed one's in the log, and are still unread after a restart."""
    caught = Caught("prices", snapshot_lsn=8000)
    assert len(caught.take(event("r", price(), snapshot="true", lsn=7992))) == 2
    assert caught.lane.halted is None


def test_a_heartbeat_carries_when_each_stage_had_it() -> None:
    """Its row holds the times, and the sink is told to mark when it became visible."""
    (write,) = Caught("heartbeat").take(event("c", {"source": "ingest", "beat_at": MOMENT}))
    assert write.beat is not None
    times = (MOMENT_US, MOMENT_US + 1, 1_795_212_430_555, 1_795_212_430_600_000)
    assert b"".join(map(packing.pack_bigint, times)) in write.statement


def _instrument(symbol: str) -> dict[str, Any]:
    return {
        "venue": "v",
        "symbol": symbol,
        "base_asset": "B",
        "quote_asset": "Q",
        "status": "TRADING",
        "tick_size": "1",
        "lot_size": "1",
        "min_notional": "0",
        "as_of": MOMENT,
        "ingested_at": MOMENT,
    }
