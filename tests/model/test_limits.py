"""Where the order ends: two cases in which it cannot tell newer from older, both for one key.

They are named in docs/decisions, write timestamps; verification finds and heals them.
"""

from __future__ import annotations

from cdc.position import MAX_RANK, PartitionOrder
from tests.model.cassandra import Cassandra
from tests.model.log import Event, stream_events
from tests.model.postgres import Change, Commit, Row
from tests.model.sink import write_of

KEY = 1


def lifted(changes: int) -> list[Event]:
    """A transaction that changes one key, and commits after one that wrote later records."""
    rows: list[Row] = [(changes - number, None, 0) for number in range(changes)]
    updates = [Change(800 + 8 * number, "u", KEY, row) for number, row in enumerate(rows)]
    other = Commit(xid=2, lsn=800_000, time_us=1, changes=[Change(799_000, "c", 2, (0, None, 0))])
    return stream_events([other, Commit(xid=1, lsn=900_000, time_us=2, changes=updates)])[1:]


def applied(*partitions: list[Event]) -> object:
    """The key's row after these partitions were read, each by an order of its own."""
    cassandra = Cassandra()
    for partition in partitions:
        order = PartitionOrder(1)
        cassandra.apply(write_of(event, order.place(event.origin, b"k")[0]) for event in partition)
    return cassandra.rows()[KEY]


def test_511_lifted_changes_of_a_key_are_told_apart_and_no_more() -> None:
    """Of the 512th and later the larger values win; it is counted where it may happen."""
    last = (1, None, 0)
    assert applied(lifted(MAX_RANK)) == last
    assert applied(lifted(MAX_RANK + 1)) == (2, None, 0)


def test_a_partition_added_inside_a_lifted_transaction_ranks_anew() -> None:
    """Kafka moves the key to another partition; the rest of its changes is counted from 1 there."""
    events = lifted(4)
    assert applied(events) == (1, None, 0)
    assert applied(events[:3], events[3:]) == (2, None, 0)
