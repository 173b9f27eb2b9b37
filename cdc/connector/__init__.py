"""PostgreSQL → Kafka: the Debezium connector, from its configuration to its guarded start.

It is told what to do (`config`) over Connect's REST API (`client`), and starts (`registration`)
only where nothing would be lost by it (`preflight`).
"""
