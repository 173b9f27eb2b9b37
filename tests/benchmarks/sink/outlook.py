"""What more cores and more nodes would carry, by calculation from the measured costs a row. Pure.

Two bounds, of which the lower counts: a sink is one thread, so it carries at most a core of its own
CPU a row; and a node, or the one machine, has only so many cores for everything on it.
"""

from __future__ import annotations

from dataclasses import dataclass

CORES = 16
NODES = 3
PARTITIONS = 4  # of a topic: more sinks than that have nothing to read


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU a row, µs: of the sink, of Cassandra (one replica) and of Kafka."""

    sink: float
    cassandra: float
    kafka: float


def one_machine(costs: Costs, cores: int) -> float:
    """Rows/s where all of it runs on one machine of so many cores, with a sink a partition."""
    sinks = min(PARTITIONS, cores) * 1e6 / costs.sink
    return min(sinks, cores * 1e6 / (costs.sink + costs.cassandra + costs.kafka))


def cluster(costs: Costs, cores: int) -> tuple[float, float]:
    """Rows/s of three nodes that each hold every row, and the cores that sinks need for them."""
    rows = cores * 1e6 / costs.cassandra
    return rows, rows * costs.sink / 1e6


def told(costs: Costs) -> str:
    """The calculation, for the document."""
    here, there = one_machine(costs, 2), one_machine(costs, CORES)
    rows, sinks = cluster(costs, CORES)
    return (
        f"By calculation from these costs (CPU a row: {costs.sink:.1f} µs of the sink, "
        f"{costs.cassandra:.1f} of Cassandra, {costs.kafka:.1f} of Kafka): 2 cores allow "
        f"{here:,.0f} rows/s; {CORES} cores {there:,.0f}, with a sink for each of {PARTITIONS} "
        f"partitions; {NODES} nodes of {CORES} cores, each with every row, {rows:,.0f}, for which "
        f"sinks need {sinks:.0f} cores and as many partitions. Disks and the network are not in it."
    )
