"""Heal what differs, key by key, and look again: touch what is missing or different, delete extras.

A touched row travels through the log at a new position, right by construction. An extra row is
deleted at a position before the heartbeat of the fence after which PostgreSQL was seen not to have
it: whatever PostgreSQL commits later lies behind it and wins, in whichever order it arrives. What
cannot be outranked stays and is reported: a value that somebody wrote at a timestamp of the future.
"""

from __future__ import annotations

from typing import Any

from cassandra.concurrent import execute_concurrent_with_args

from cdc.healing import Healer
from cdc.mapping import Order
from cdc.position import LSN_STEP, Phase, write_timestamp
from cdc.verification.compare import Kind, Row
from cdc.verification.comparison import Comparison
from cdc.verification.recheck import Settled
from cdc.verification.target import KEYS_IN_FLIGHT, speaking

ATTEMPTS = 2  # a row that changed between its judgement and its repair is judged and healed again

OUTRANKED = (
    "Cassandra holds a write or a deletion of a later position than the log has: no change of this "
    "generation outranks it; `tidemark resync` begins a new one"
)
TIED = (
    "Cassandra holds another row of the same or a later market time: it stays until a newer one "
    "comes; a new generation (`tidemark resync`) outranks it"
)


class Repair:
    """Heals the differences of one comparison. `session`: of Role.SINK."""

    def __init__(
        self, comparison: Comparison, healer: Healer, session: Any, generation: int
    ) -> None:
        self._comparison = comparison
        self._healer = healer
        self._session = session
        self._generation = generation
        self._selection = comparison.selection
        self._route = self._selection.route
        with speaking():
            self._delete = session.prepare(self._selection.delete)

    @property
    def reason(self) -> str:
        """Why a difference that is left could not be healed, and what would."""
        return OUTRANKED if self._route.one_to_one else TIED

    def heal(self, settled: Settled) -> Settled:
        """Heal differences and judge their keys again at a fence; what is left is returned."""
        left = settled
        for _ in range(ATTEMPTS):
            if not left.differences:
                break
            self._act(left)
            again = self._comparison.judge([each.key for each in left.differences])
            again.unsettled = [*left.unsettled, *again.unsettled]
            left = again
        return left

    def _act(self, settled: Settled) -> None:
        lacking = [each.key for each in settled.differences if each.kind is not Kind.EXTRA]
        extra = [each.key for each in settled.differences if each.kind is Kind.EXTRA]
        if lacking:
            self._touch(lacking)
        if extra and self._route.one_to_one:
            self._remove([(key, settled.positions[key]) for key in extra])

    def _touch(self, keys: list[Row]) -> None:
        columns = [str(each.source) for each in self._selection.key]
        if self._route.order is Order.DOMAIN:  # the newest of many rows: name it whole
            newest = self._comparison.source.by_keys(keys)
            at = self._selection.order_index
            keys = [(*key, row[at]) for key, (row, _) in newest.items()]
            columns.append(str(self._route.order_by))
        self._healer.touch_keys(self._route.source, keys, columns)

    def _remove(self, extra: list[tuple[Row, int]]) -> None:
        bound = [
            (before(self._generation, position), *self._comparison.partitioner.whole_key(key))
            for key, position in extra
        ]
        with speaking():
            results = execute_concurrent_with_args(
                self._session, self._delete, bound, concurrency=KEYS_IN_FLIGHT
            )
            for result in results:
                _ = result.result_or_exc


def before(generation: int, position: int) -> int:
    """The write timestamp of a position of the stream, before any change at it."""
    return write_timestamp(generation, Phase.STREAM, position - position % LSN_STEP, 0)
