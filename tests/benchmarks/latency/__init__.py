"""How late a change is in Cassandra: `python -m tests.benchmarks.latency --rounds 5`.

One real stack and the real sink; Debezium and its worker take turns as variants.

    load, probe (processes) ─► referee ─► quantiles (one window) ─► standings (rounds) ─► document
"""
