"""Batches: one partition each, bounded, coalesced to the newest, settled as a whole."""

from __future__ import annotations

from cdc.sink.gathering import Batch, Gathering, Write
from cdc.sink.watermark import Span


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(
    key: bytes,
    timestamp: int,
    *,
    table: str = "t",
    partition: bytes = b"p",
    span: Span | None = None,
    partial: bool = False,
) -> Write:
    """A write whose statement has one byte for each digit of its timestamp."""
    statement = b"%d" % timestamp
    return Write(table, partition, key, timestamp, statement, span=span, partial=partial)


def closed(gathering: Gathering, since: float = float("inf")) -> list[Batch]:
    """Every batch that began at that time or before, in its turn."""
    return list(iter(lambda: gathering.oldest(since), None))


def test_the_newest_change_of_a_key_is_the_one_that_is_sent() -> None:
    """Whatever order they come in; the older one's span is settled with the batch."""
    gathering, span = Gathering(rows=10, bytes_=1000), Span()
    for timestamp in (5, 9, 7):
        assert gathering.add(write(b"k", timestamp, span=span)) == []
    (batch,) = closed(gathering)
    assert [each.timestamp for each in batch.writes] == [9]
    assert batch.counts == {span: 3}
    assert (batch.added, batch.added_bytes) == (3, 3)


def test_what_is_partial_or_equally_new_is_left_to_cassandra() -> None:
    """A write with unset columns needs the older one beneath it."""
    for second in (write(b"k", 9, partial=True), write(b"k", 5)):
        gathering = Gathering(rows=10, bytes_=1000)
        gathering.add(write(b"k", 5))
        gathering.add(second)
        (batch,) = closed(gathering)
        assert len(batch.writes) == 2


def test_a_batch_holds_one_partition_of_one_table() -> None:
    """That is what makes it one mutation."""
    gathering = Gathering(rows=10, bytes_=1000)
    for table, partition in (("t", b"p"), ("t", b"q"), ("u", b"p"), ("t", b"p")):
        gathering.add(write(b"%d" % len(gathering), 1, table=table, partition=partition))
    batches = closed(gathering)
    assert sorted((each.table, each.partition, len(each.writes)) for each in batches) == [
        ("t", b"p", 2),
        ("t", b"q", 1),
        ("u", b"p", 1),
    ]


def test_a_batch_is_closed_by_rows_and_by_bytes() -> None:
    """Neither bound is passed; a row beyond the bytes goes alone."""
    gathering = Gathering(rows=3, bytes_=10)
    full = [batch for n in range(7) for batch in gathering.add(write(b"%d" % n, n))]
    assert [len(each.writes) for each in full] == [3, 3]
    big = Write("t", b"p", b"big", 1, b"x" * 50)
    assert [len(each.writes) for each in gathering.add(big)] == [1]
    assert [len(each.writes) for each in closed(gathering)] == [1]


def test_young_batches_go_on_gathering() -> None:
    """Only what has waited long enough is taken."""
    clock = Clock()
    gathering = Gathering(rows=10, bytes_=1000, clock=clock)
    gathering.add(write(b"a", 1))
    clock.now = 1.0
    gathering.add(write(b"b", 1, partition=b"q"))
    assert [each.partition for each in closed(gathering, since=0.5)] == [b"p"]
    assert len(gathering) == 1


def test_what_began_first_is_closed_first() -> None:
    """Also where a batch of its partition was full and another began since."""
    clock = Clock()
    gathering = Gathering(rows=2, bytes_=1000, clock=clock)
    for number, partition in enumerate((b"p", b"q", b"p", b"p", b"r")):
        clock.now = float(number)
        gathering.add(write(b"%d" % number, 1, partition=partition))
    assert [each.partition for each in closed(gathering)] == [b"q", b"p", b"r"]


def test_a_split_batch_settles_when_its_last_part_does() -> None:
    """However deep it was split to find the row that is refused."""
    span = Span()
    gathering = Gathering(rows=4, bytes_=1000)
    (whole,) = (batch for n in range(4) for batch in gathering.add(write(b"%d" % n, n, span=span)))
    span.pending = 4
    left, right = whole.split()
    first, second = left.split()
    assert [len(each.writes) for each in (right, first, second)] == [2, 1, 1]
    assert right.settle() is None
    assert second.settle() is None
    assert span.pending == 4
    assert first.settle() is whole
    assert span.pending == 0
