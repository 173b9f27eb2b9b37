"""A day of trades through the whole pipeline: `python -m tests.benchmarks.size --rows 10000000`.

past (what panels read beside it) ─► day (the clock, samples) ─► disk ─► questions ─► document
"""
