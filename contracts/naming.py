"""Names on which two stages must agree: topics, slot, connector, roles.

The generation is part of the topic prefix, the slot and the connector, so that an old topic that is
replayed stays old (docs/decisions: write timestamps).
"""

from __future__ import annotations

import re

SCHEMA = "public"
PUBLICATION = "tidemark"
DEAD_LETTER_TOPIC = "tidemark.dead-letters"
SINK_GROUP = "tidemark-sink"

OUTBOX = "outbox"  # its rows are events of the topics that they name, not changes of a table
PRICES_TOPIC = "crypto.prices.raw"
DEAD_PRICES_TOPIC = "crypto.prices.dlq"
CONTRACT_TOPICS = (PRICES_TOPIC, DEAD_PRICES_TOPIC)

_TOPIC = re.compile(r"^market\.g(\d{1,3})\.public\.([a-z0-9_]+)$")
MAX_GENERATION = 126  # generation << 56 must stay below 2^63


def topic_prefix(generation: int) -> str:
    return f"market.g{generation}"


def slot_name(generation: int) -> str:
    return f"tidemark_g{generation}"


def connector_name(generation: int) -> str:
    return f"tidemark-g{generation}"


def topic_of(table: str, generation: int) -> str:
    """Topic that carries the changes of a source table."""
    return f"{topic_prefix(generation)}.{SCHEMA}.{table}"


def parse_topic(topic: str) -> tuple[int, str]:
    """(generation, source table) of a change topic; ValueError where it is none of ours."""
    match = _TOPIC.match(topic)
    if match is None:
        raise ValueError(f"{topic!r} is not a change topic (market.g<generation>.public.<table>)")
    return int(match[1]), match[2]


class Role:
    """Login roles, the same names in PostgreSQL and Cassandra where both have them."""

    POSTGRES_ADMIN = "postgres"  # superuser of the cluster; used only to make the others
    OWNER = "tidemark_owner"  # owns schema and keyspace; migrations
    INGEST = "tidemark_ingest"
    CDC = "tidemark_cdc"  # Debezium: REPLICATION, SELECT on what is published
    REPAIR = "tidemark_repair"  # verification and healing: SELECT, UPDATE, INSERT on the heartbeat
    WATCH = "tidemark_watch"
    READER = "tidemark_reader"  # PostgreSQL and Cassandra: Grafana, people
    SINK = "tidemark_sink"  # Cassandra: MODIFY and SELECT on the keyspace
