"""Candles and trades of the past: planned by cost, then applied, resumable, idempotent.

plan.py      what a piece costs, and the cheapest mix of REST pages and archive files; pure
survey.py    asks what there is and what is stored already, and makes the plan
asking.py    questions to the exchange, with patience
klines.py    the candles of a piece, what is missing among them asked for again
trades.py    the trades of a piece, likewise by their ids
apply.py     carries a plan out: several symbols side by side, a transaction at a time
"""
