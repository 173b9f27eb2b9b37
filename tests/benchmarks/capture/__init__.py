"""How fast changes leave PostgreSQL: `python -m tests.benchmarks.capture --rounds 5`.

One real stack without Cassandra. WAL is laid down while nobody reads it, then one contestant does:
Debezium by one variant or another, or a plain reader of the same kind of slot.

    captor (Debezium), raw (the slot itself) ─► flow (one window) ─► standings (rounds) ─► document
"""
