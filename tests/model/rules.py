"""What a history is lived by: the order of writes, and what follows when a generation begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cdc.position import Oddities, PartitionOrder, Phase, write_timestamp
from contracts.change import Origin


class Order(Protocol):
    """What `cdc.position.PartitionOrder` is to the sink."""

    oddities: Oddities

    def place(self, origin: Origin, key: bytes) -> tuple[int, bool]:
        """(write timestamp, whether a reader may begin there)."""


MakeOrder = Callable[[int], Order]  # of a generation
Limit = Callable[[int, int], int]  # (generation, its snapshot's LSN) → a write timestamp


def below_the_snapshot(generation: int, snapshot_lsn: int) -> int:
    """Below every row of the completed snapshot, above all that came before it."""
    return write_timestamp(generation, Phase.SNAPSHOT, snapshot_lsn, 0) - 1


@dataclass(frozen=True, slots=True)
class Rules:
    """The defaults are Tidemark's.

    `sweep`: the timestamp at which rows are deleted that the new snapshot does not have.
    `redriven_above`: dead letters up to this timestamp stay letters: what became of their rows
    since, the snapshot knows and the stream does not.
    `drops_unverified`: retention drops partitions before their generation was swept and verified.
    """

    make_order: MakeOrder = PartitionOrder
    sweep: Limit = below_the_snapshot
    redriven_above: Limit = below_the_snapshot
    drops_unverified: bool = False


TIDEMARK = Rules()
