"""Kafka → Cassandra: the sink, a process of its own (`service`) around one loop (`loop`).

    consumer ─► lane (decoder, router, encoder) ─► gathering ─► writer ─► Cassandra
       ▲                                                           │
       └──────── watermark: offsets of what is acknowledged ◄──────┘

What cannot be applied leaves by `cdc.dead_letters`.
"""
