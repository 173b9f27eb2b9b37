"""Candles and trades of the past: planned by cost, then applied, resumable, idempotent.

plan.py         what a piece costs, and the cheapest mix of REST pages and archive files; pure
survey.py       asks what there is and what is stored already, and makes the plan
asking.py       questions to the exchange, with patience
ahead.py        several of them on their way at once
klines.py       the candles of a piece, what is missing among them asked for again
trades.py       the trades of a piece, likewise by their ids
past_prices.py  what a trade was worth in dollars when it happened
downloads.py    the files of a plan, the next one on its way while the last one is read
block.py        what is stored together
calm.py         waits while the watch sheds load
apply.py        carries a symbol's plan out, a transaction at a time
session.py      what all that needs open, and symbols side by side
"""
