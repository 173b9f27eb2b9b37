"""What the sink counts between two rounds, and shows to Prometheus once a second."""

from __future__ import annotations

from collections.abc import Mapping

from cdc.sink import metrics
from cdc.sink.consumer import Partition
from cdc.sink.lane import Lane
from cdc.sink.writer import Writer


class Metered:
    """Counts between two rounds: metrics are touched once a second, not once an event."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self._before = (0, 0)

    def show(
        self, lanes: Mapping[Partition, Lane], writer: Writer, lags: Mapping[Partition, int]
    ) -> None:
        for (topic, number), lane in lanes.items():
            for op, seen in lane.seen.items():
                metrics.EVENTS.labels(lane.table, op).inc(seen)
            lane.seen.clear()
            oddities = lane.order.take_oddities()
            metrics.RANK_OVERFLOWS.inc(oddities.rank_overflows)
            metrics.COMMITS_BACKWARDS.inc(oddities.commits_backwards)
            metrics.ACKNOWLEDGED.labels(topic, number).set(lane.watermark.acknowledged)
        for (topic, number), behind in lags.items():
            metrics.LAG.labels(topic, number).set(behind)
        for table, rows in self.rows.items():
            metrics.ROWS.labels(table).inc(rows)
        self.rows.clear()
        metrics.BATCHES.inc(writer.counts.batches - self._before[0])
        metrics.RETRIES.inc(writer.counts.retries - self._before[1])
        self._before = writer.counts.batches, writer.counts.retries
        metrics.IN_FLIGHT.set(writer.in_flight)
        metrics.PENDING.set(writer.pending_rows)
        metrics.FAILING.set(writer.failing_s)

    @staticmethod
    def forget(partition: Partition) -> None:
        """Show nothing of a partition that is another member's now."""
        for gauge in (metrics.ACKNOWLEDGED, metrics.LAG):
            gauge.remove_by_labels({"topic": partition[0], "partition": str(partition[1])})
