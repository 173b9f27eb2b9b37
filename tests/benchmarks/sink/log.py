"""The prefilled log: trades and candles in four partitions each, and what a table must hold of it.

A window reads the last `events` of it, so a slow contestant gets a shorter log than a fast one
and each takes about as long. Every event of a table goes to the partitions in runs, so that each
partition has all symbols, as keys that are hashed do it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from cdc import keyspace, state
from cdc.mapping import Route, Via
from cdc.routes import SOURCES, routes_of
from cdc.settings import CdcSettings
from cdc.state import Generation
from cdc.times import micros
from cdc.topics import Topics, topic_specs
from contracts.naming import Role, topic_of, topic_prefix
from tests.benchmarks.events import KEYS, Row, event, kline_row, trade_row

ROWS = {"trades": trade_row, "klines": kline_row}
SHARES = {"trades": 3, "klines": 1}  # of 4 events
WEIGHT = {"trades": "trade_id", "klines": "trade_count"}  # so that values may not change places
SYMBOLS = 10
PARTITIONS = 4
STEP = 800  # events: in each partition whole runs, and no transaction is cut
ALONE = SYMBOLS * PARTITIONS  # the last event of a partition is a transaction: it can be committed

WHOLE = sum(SHARES.values())

Sums = dict[str, dict[str, Decimal]]  # table → expression → its value over all rows
_EXACT = Context(prec=200)


def expressions(route: Route) -> dict[str, str]:
    """CQL expressions over a target table whose values tell its rows, by the columns they sum."""
    weight = WEIGHT[route.source.table]
    found = {"rows": "count(*)"}
    for column in route.columns:
        if column.cql == "decimal":
            found[column.name] = f"sum({column.name} * {weight})"
        elif column.cql == "bigint":
            # a sum of bigints would wrap
            found[column.name] = f"sum(cast({column.name} AS decimal))"
    return found


def _add(sums: dict[str, Decimal], route: Route, row: Row) -> None:
    """Add what a row means to each expression."""
    if route.condition and Decimal(row[route.condition.field]) <= route.condition.limit:
        return
    sums["rows"] += 1
    weight = Decimal(row[WEIGHT[route.source.table]])
    for column in route.columns:
        value = row[str(column.source)]
        if column.cql == "decimal":
            product = _EXACT.multiply(Decimal(value), weight)
            sums[column.name] = _EXACT.add(sums[column.name], product)
        elif column.cql == "bigint":
            sums[column.name] += micros(value) if column.via is Via.MICROS else value


def numbers(table: str, first: int, last: int) -> range:
    """Numbers of a table's events among those of the log."""
    return range(first * SHARES[table] // WHOLE, last * SHARES[table] // WHOLE)


def rows(table: str, first: int, last: int) -> Iterator[Row]:
    """The rows of a table's events among those of the log."""
    return (ROWS[table](number, SYMBOLS) for number in numbers(table, first, last))


@dataclass
class PrefilledLog:
    """`events` in all; `sums` of the whole after each STEP of events, the first for none."""

    settings: CdcSettings
    events: int
    sums: list[Sums] = field(default_factory=list)

    @property
    def topics(self) -> dict[str, str]:
        return {table: topic_of(table, self.settings.generation) for table in SHARES}

    def starts(self, events: int) -> dict[str, list[int]]:
        """Of each topic the first offset of each partition, for the last `events`."""
        return self._offsets(self.events - events)

    @property
    def ends(self) -> dict[str, list[int]]:
        return self._offsets(self.events)

    def _offsets(self, passed: int) -> dict[str, list[int]]:
        return {
            topic: [passed * SHARES[table] // WHOLE // PARTITIONS] * PARTITIONS
            for table, topic in self.topics.items()
        }

    def expected(self, events: int) -> Sums:
        """What the tables must hold of the last `events`."""
        first, last = self.sums[(self.events - events) // STEP], self.sums[-1]
        return {
            table: {
                name: _EXACT.subtract(value, first[table][name]) for name, value in sums.items()
            }
            for table, sums in last.items()
        }

    def fill(self) -> None:
        """Make the topics and produce all events, as the connector's worker would."""
        generation = self.settings.generation
        names = [topic_of(each.table, generation) for each in SOURCES]
        with Topics(self.settings) as topics:
            topics.ensure(topic_specs(self.settings, names, topic_prefix(generation)))
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "enable.idempotence": True,
                # as debezium/connect-distributed.properties and Kafka's own defaults
                "compression.type": "lz4",
                "linger.ms": 5,
                "batch.size": 16_384,
            }
        )
        sums: Sums = {
            route.table: dict.fromkeys(expressions(route), Decimal(0))
            for table in SHARES
            for route in routes_of(table)
        }
        self.sums = [_copy(sums)]
        for first in range(0, self.events, STEP):
            for table in SHARES:
                for number in numbers(table, first, first + STEP):
                    row = ROWS[table](number, SYMBOLS)
                    self._produce(producer, table, number, row)
                    for route in routes_of(table):
                        _add(sums[route.table], route, row)
            self.sums.append(_copy(sums))
        assert producer.flush(120) == 0, "Kafka took all events"

    def _produce(self, producer: Producer, table: str, number: int, row: Row) -> None:
        alone = number >= numbers(table, 0, self.events).stop - ALONE
        key, value = event(table, number, row, KEYS[table], alone=alone)
        partition = number // SYMBOLS % PARTITIONS
        while True:
            with contextlib.suppress(BufferError):
                producer.produce(self.topics[table], value, key, partition)
                break
            producer.poll(0.1)
        producer.poll(0)


def _copy(sums: Sums) -> Sums:
    return {table: dict(values) for table, values in sums.items()}


def prefilled(settings: CdcSettings, events: int, known: Path) -> PrefilledLog:
    """The log of this stack; `known` remembers one that was filled before."""
    if known.exists():
        told = json.loads(known.read_text(encoding="utf-8"))
        return PrefilledLog(settings, told["events"], [_decimals(sums) for sums in told["sums"]])
    log = PrefilledLog(settings, events - events % STEP)
    log.fill()
    with keyspace.session(settings, Role.SINK) as session:
        state.remember(session, _generation(settings.generation))
    told = {"events": log.events, "sums": log.sums}
    known.write_text(json.dumps(told, default=str), encoding="utf-8")
    return log


def _decimals(sums: dict[str, dict[str, Any]]) -> Sums:
    return {
        table: {name: Decimal(value) for name, value in values.items()}
        for table, values in sums.items()
    }


def _generation(number: int) -> Generation:
    """A generation whose events nobody captured."""
    return Generation(
        generation=number,
        system_identifier="bench",
        timeline=1,
        slot="none",
        topic_prefix=topic_prefix(number),
        placeholder="__unchanged_in_a_benchmark__",
    )
