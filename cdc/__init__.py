"""Kafka → Cassandra: the sink, verification, dead letters; and the connector before it."""
