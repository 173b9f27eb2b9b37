"""The ingest beside its peers: `python -m tests.benchmarks.ingest --parts limited,free,upserts`.

`limited`, `free`: a backfill of candles from the simulated exchange, with its limit and without.
`upserts`: rows from memory into the real tables.

    peers, ways (programs) ─► loading, upserting (clock, CPU, rows) ─► standings ─► document
"""
