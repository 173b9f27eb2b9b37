"""The outside world on one machine without Docker: Kafka, Connect, PostgreSQL, Cassandra."""
