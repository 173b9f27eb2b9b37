"""The window: retries with the same bytes, isolates what is refused, stops where it must."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, Unauthorized, WriteTimeout, WriteType
from cassandra.cluster import NoHostAvailable

from cdc.errors import AccessDenied, SchemaMismatch
from cdc.failures import Verdict, verdict
from cdc.settings import CdcSettings
from cdc.sink.gathering import Batch, Write
from cdc.sink.watermark import Watermark
from cdc.sink.writer import Done, Writer


class Wire:
    """A sender that keeps what it is given and answers when told."""

    def __init__(self) -> None:
        self.sent: list[tuple[Sequence[bytes], Done]] = []

    def send(self, statements: Sequence[bytes], done: Done) -> None:
        self.sent.append((list(statements), done))

    def answer(self, error: Exception | None = None) -> None:
        """Answer everything that is under way."""
        taken, self.sent = self.sent, []
        for _, done in taken:
            done(error)


class Bench:
    """A writer on a wire, with a clock that a test moves."""

    def __init__(self, **settings: Any) -> None:
        self.now = 0.0
        self.wire = Wire()
        self.written: list[Batch] = []
        self.refused: list[Write] = []
        self.writer = Writer(
            CdcSettings(**settings),
            self.wire.send,
            self.written.append,
            lambda write, _error: self.refused.append(write),
            clock=lambda: self.now,
        )

    def add(self, count: int, mark: Watermark | None = None) -> None:
        """Writes of one partition, and send them."""
        span = mark.begin() if mark is not None else None
        for number in range(count):
            if span is not None:
                span.pending += 1
            text = b"%d" % number
            self.writer.add([Write("t", b"p", text, number, text, span)])
        if span is not None:
            span.seal(count)
        self.writer.gather_for(0)
        self.writer.pump()


def timeout() -> Exception:
    """What the driver says when Cassandra does not answer in time."""
    error: Exception = OperationTimedOut({}, None)
    return error


def test_a_failed_write_is_sent_again_with_the_same_bytes() -> None:
    """The timestamp is among them: a late first try can do no harm."""
    bench = Bench(retry_first_ms=100)
    mark = Watermark(0)
    bench.add(3, mark)
    first = bench.wire.sent[0][0]
    bench.wire.answer(timeout())
    bench.writer.pump()
    assert bench.wire.sent == []
    bench.now = 0.1
    bench.writer.pump()
    assert bench.wire.sent[0][0] == first
    assert not mark.settled()
    bench.wire.answer()
    bench.writer.pump()
    assert mark.settled()
    assert mark.acknowledged == 3
    assert bench.writer.counts.retries == 1


def test_retries_have_no_end_and_grow_apart() -> None:
    """Up to the longest wait; the window tells since when nothing succeeds."""
    bench = Bench(retry_first_ms=100, retry_last_ms=1000)
    bench.add(1)
    waits = []
    for _ in range(12):
        bench.wire.answer(timeout())
        start = bench.now
        while not bench.wire.sent:
            bench.now += 0.05
            bench.writer.pump()
        waits.append(round(bench.now - start, 2))
    assert waits[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8], abs=0.11)
    assert waits[-1] == pytest.approx(1.0, abs=0.11)
    assert bench.writer.failing_s > 5
    bench.wire.answer()
    bench.writer.pump()
    assert bench.writer.failing_s == 0
    assert bench.writer.idle


def test_the_one_refused_row_is_found_and_the_others_are_written() -> None:
    """By halves; the refused row settles too, once it was handed over."""
    bench = Bench()
    mark = Watermark(0)
    bench.add(9, mark)
    while not bench.writer.idle:
        taken, bench.wire.sent = bench.wire.sent, []
        for statements, done in taken:
            done(InvalidRequest("bad value") if b"6" in statements else None)
        bench.writer.pump()
    assert [write.statement for write in bench.refused] == [b"6"]
    assert sum(len(batch.writes) for batch in bench.written) == 8
    assert mark.settled()


def test_no_more_batches_are_in_flight_than_allowed() -> None:
    """The rest is ready and waits."""
    bench = Bench(batches_in_flight=2, batch_rows=1, pending_rows=5)
    bench.add(4)
    assert len(bench.wire.sent) == bench.writer.in_flight == 2
    fullness = [bench.writer.full]
    bench.add(1)
    fullness.append(bench.writer.full)
    bench.wire.answer()
    bench.writer.pump()
    fullness.append(bench.writer.full)
    assert len(bench.wire.sent) == 2
    assert fullness == [False, True, False]


def test_batches_grow_while_the_window_is_full() -> None:
    """What comes meanwhile joins the batch of its partition instead of making one more."""
    bench = Bench(batches_in_flight=1, batch_rows=10, pending_rows=20)
    for _ in range(4):
        bench.add(1)
    bench.wire.answer()
    bench.writer.pump()
    assert len(bench.wire.sent[0][0]) == 3
    bench.wire.answer()
    bench.writer.pump()
    assert bench.writer.idle
    assert [batch.added for batch in bench.written] == [1, 3]


def test_a_sender_that_raises_is_a_failed_write() -> None:
    """The driver may have no connection at all."""
    bench = Bench()

    def broken(_statements: Sequence[bytes], _done: Done) -> None:
        raise OSError("no route")

    bench.writer.replace_sender(broken)
    bench.add(1)
    bench.writer.pump()
    bench.writer.replace_sender(bench.wire.send)
    bench.now = 1
    bench.writer.pump()
    bench.wire.answer()
    bench.writer.pump()
    assert bench.writer.idle


def test_what_is_nobodys_fault_stops_the_sink() -> None:
    """A dead letter for each row of a table that is gone would help no one."""
    with pytest.raises(SchemaMismatch, match="tidemark migrate"):
        verdict(InvalidRequest("unconfigured table prices_by_day"))
    for denied in (Unauthorized("no"), NoHostAvailable("none", {"h": Unauthorized("no")})):
        with pytest.raises(AccessDenied):
            verdict(denied)


def test_what_may_pass_is_tried_again() -> None:
    """Timeouts, no host, whatever is unknown."""
    for error in (
        timeout(),
        WriteTimeout("late", write_type=WriteType.SIMPLE),
        NoHostAvailable("none", {"h": OSError("refused")}),
        RuntimeError("unknown"),
    ):
        assert verdict(error) is Verdict.RETRY
    assert verdict(InvalidRequest("Expected 8 byte long")) is Verdict.SPLIT
