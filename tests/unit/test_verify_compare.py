"""The comparison of two sorted streams, against sets and dictionaries that cannot be wrong."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from cdc.verification.compare import Difference, KeyOrder, Kind, Row, differences, read_ahead

KEYS = st.tuples(st.text("abé😀", max_size=2), st.integers(-3, 3))
ROWS = st.dictionaries(KEYS, st.sampled_from([None, 1, 2]), max_size=12)
ORDERS = st.tuples(st.booleans(), st.booleans()).map(KeyOrder)


def _sorted(rows: dict[Row, object], order: KeyOrder) -> list[Row]:
    """Rows by key, by two stable sorts, the last key column first."""
    keys = list(rows)
    for index in reversed(range(order.width)):
        keys.sort(key=itemgetter(index), reverse=order.descending[index])
    return [(*key, rows[key]) for key in keys]


@given(ROWS, ROWS, ORDERS)
def test_every_difference_is_found_once_in_key_order(
    source: dict[Row, object], target: dict[Row, object], order: KeyOrder
) -> None:
    found = list(differences(_sorted(source, order), _sorted(target, order), order))
    changed = [key for key in source.keys() & target.keys() if source[key] != target[key]]
    expected = dict.fromkeys(source.keys() - target.keys(), Kind.MISSING)
    expected |= dict.fromkeys(target.keys() - source.keys(), Kind.EXTRA)
    expected |= dict.fromkeys(changed, Kind.DIFFERENT)
    assert {difference.key: difference.kind for difference in found} == expected
    assert len(found) == len(expected)
    keys = [difference.key for difference in found]
    assert keys == [row[:2] for row in _sorted(dict.fromkeys(keys), order)]


def test_decimals_are_compared_as_exact_numbers() -> None:
    """Cassandra keeps the scale that PostgreSQL's text had; a digit more is another value."""
    order = KeyOrder((False,))
    same = [(1, Decimal("1.0")), (2, Decimal("1E+2"))]
    scaled = [(1, Decimal("1.000000000000000000")), (2, Decimal(100))]
    assert list(differences(same, scaled, order)) == []
    nearly = [(1, Decimal("1.000000000000000001")), (2, Decimal(100))]
    assert list(differences(same, nearly, order)) == [Difference(Kind.DIFFERENT, (1,))]


def test_null_is_not_zero_nor_empty() -> None:
    order = KeyOrder((False,))
    found = differences([(1, None), (2, None)], [(1, 0), (2, "")], order)
    assert [difference.key for difference in found] == [(1,), (2,)]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=12),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_reading_ahead_changes_nothing_and_starts_each_partition_before_it_is_reached(
    runs: list[tuple[int, int]], rows: int, partitions: int
) -> None:
    pairs = [(name, (name, i)) for name, count in runs for i in range(count)]
    started: list[int] = []
    seen: list[tuple[int, Row]] = []
    ahead = read_ahead(pairs, started.append, rows, partitions)
    for reached, (name, group) in enumerate(groupby(ahead, itemgetter(0))):
        assert started[reached] == name
        assert len(started) - reached <= partitions + 1
        seen.extend(group)
    assert seen == pairs
    assert started == [name for name, _ in groupby(pairs, itemgetter(0))]
