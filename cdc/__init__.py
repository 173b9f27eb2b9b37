"""From PostgreSQL's WAL to Cassandra, and the proof that everything arrived.

    PostgreSQL ─► connector ─► Kafka ─► sink ─► Cassandra
                                          └───► dead_letters
        └─────────────── verification ──────────────┘

What several of them share stands beside them: what maps to what (`routes`), the order of changes
(`position`), the doors (`source`, `topics`, `keyspace`), what is remembered (`state`).
"""
