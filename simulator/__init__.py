"""The exchange, simulated: Binance spot's HTTP and WebSocket on loopback, over a seeded market.

    noise → path ─► fills ─► candles ─► rolling      (what happened: pure functions of the seed)
    assets → catalogue  └──► tape ────► book
                   market (the above with caches, asked at a time)
    wire, parameters, rest, streams                  (how the exchange says it)
    archive_files ─► archive                         (the same as daily and monthly zip files)
    limits, faults, corruption, journal, server      (how the exchange behaves)

Nothing here imports ingest or contracts, so that a parser's mistake cannot mirror itself.
"""
