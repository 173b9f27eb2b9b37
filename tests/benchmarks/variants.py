"""Ways to set up Debezium and its Connect worker: as the product does, and otherwise. Pure.

A variant is said as what it changes in the product's own files (debezium/), so that it stays beside
them whatever becomes of them. What is left out of a configuration has its maker's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Variant:
    """`less`: names of settings that are left to their defaults; `worker`: values of its own."""

    name: str
    title: str
    connector_less: frozenset[str] = frozenset()
    worker_less: frozenset[str] = frozenset()
    worker: Mapping[str, str] = field(default_factory=dict)

    def connector(self, config: Mapping[str, str]) -> dict[str, str]:
        """The connector's configuration, from the product's."""
        return {name: value for name, value in config.items() if name not in self.connector_less}

    def properties(self, text: str) -> str:
        """The worker's file, from the product's."""
        left = (line for line in text.splitlines() if _name(line) not in self._replaced)
        own = (f"{name}={value}" for name, value in self.worker.items())
        return "\n".join([*left, *own]) + "\n"

    @property
    def _replaced(self) -> frozenset[str]:
        return self.worker_less | self.worker.keys()


def _name(line: str) -> str:
    return line.partition("=")[0].strip()


OURS = Variant(name="ours", title="the settings of debezium/, exactly-once source off")
STOCK = Variant(
    name="stock",
    title="Debezium's and Kafka's defaults for all that we set for speed: `poll.interval.ms` 500, "
    "the producer's own linger, compression and buffer, offsets stored once a minute",
    # what says which rows come, how they look and how errors are met stays: else it is another log
    connector_less=frozenset(
        {
            "poll.interval.ms",
            "max.batch.size",
            "max.queue.size",
            "status.update.interval.ms",
            "extended.headers.enabled",
        }
    ),
    worker_less=frozenset(
        {
            "offset.flush.interval.ms",
            "offset.flush.timeout.ms",
            "producer.linger.ms",
            "producer.compression.type",
            "producer.buffer.memory",
            "producer.max.request.size",
            "producer.metadata.max.age.ms",
        }
    ),
)
EXACTLY_ONCE = Variant(
    name="exactly-once",
    title="our settings, exactly-once source on",
    worker={"exactly.once.source.support": "enabled"},
)

VARIANTS = (OURS, STOCK, EXACTLY_ONCE)
