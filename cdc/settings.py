"""Settings of the replication: what it reads, where it writes, how much it holds in flight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.naming import DEAD_LETTER_TOPIC, MAX_GENERATION, SINK_GROUP
from runtime.endpoints import (
    CassandraEndpoint,
    ConnectEndpoint,
    KafkaEndpoint,
    Port,
    PostgresEndpoint,
)

Days = Annotated[int, Field(ge=0, le=36_500)]


class CdcSettings(KafkaEndpoint, ConnectEndpoint, CassandraEndpoint, PostgresEndpoint):
    """PostgreSQL → Debezium → Kafka → Cassandra, for one generation."""

    generation: int = Field(
        default=1,
        ge=1,
        le=MAX_GENERATION,
        description="Where to begin; a newer one that Cassandra remembers goes before it",
    )

    # Debezium on Connect; the addresses as Connect sees them, where that differs from here
    connect_postgres_host: str | None = None
    connect_postgres_port: Port | None = Field(default=None, ge=1, le=65535)
    connect_secrets_dir: Path | None = None
    topic_partitions: int = Field(default=4, ge=1, le=1000, description="of each data topic")
    topic_retention_days: int = Field(
        default=7, ge=1, le=3650, description="how long the sink may be away and lose nothing"
    )

    contract_partitions: int = Field(
        default=4, ge=1, le=1000, description="of crypto.prices.raw and crypto.prices.dlq"
    )
    contract_retention_days: int = Field(
        default=7, ge=1, le=3650, description="how long readers of those two may be away"
    )

    # Retention: whole days before today that PostgreSQL keeps; 0: for ever. Cassandra keeps all
    retain_prices_days: Days = 3
    retain_depth_days: Days = 3
    retain_trades_days: Days = 3
    retain_ticker_24h_history_days: Days = 7
    retain_movers_24h_days: Days = 7
    retain_certificates_days: Days = 7
    retain_heartbeat_days: Days = 3
    retain_outbox_days: Days = 1
    retain_quarantine_days: Days = 30

    # Verification
    fence_timeout_s: float = Field(default=60.0, gt=0, description="of each stage of a fence")
    verify_rounds: int = Field(
        default=8, ge=1, le=100, description="looks at a row that keeps changing before giving up"
    )
    verify_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="of the time, in which a verification works; 1: no rest",
    )

    # Kafka
    sink_group: str = Field(default=SINK_GROUP, min_length=1)
    dead_letter_topic: str = Field(default=DEAD_LETTER_TOPIC, min_length=1)
    dead_letter_max_bytes: int = Field(default=8_000_000, ge=1024)
    poll_messages: int = Field(default=2000, ge=1, le=100_000, description="events a poll, at most")
    poll_timeout_ms: int = Field(default=20, ge=1, le=1000)
    commit_interval_ms: int = Field(default=1000, ge=10)
    session_timeout_ms: int = Field(default=10_000, ge=6000)
    max_poll_interval_ms: int = Field(default=300_000, ge=10_000)

    # Cassandra
    cassandra_replication_factor: int = Field(default=1, ge=1)
    request_timeout_ms: int = Field(default=10_000, ge=100)
    batch_rows: int = Field(default=128, ge=1, le=1000, description="rows a batch, at most")
    batch_bytes: int = Field(default=1_000_000, ge=1024, description="bytes a batch, at most")
    batches_in_flight: int = Field(default=48, ge=1, le=1000)
    pending_rows: int = Field(
        default=20_000, ge=1, description="rows held unacknowledged; more stops the reading"
    )
    pending_bytes: int = Field(default=64_000_000, ge=1_000_000)
    gather_ms: int = Field(
        default=250, ge=0, description="longest wait of a small batch while there is a backlog"
    )
    retry_first_ms: int = Field(default=100, ge=1)
    retry_last_ms: int = Field(default=10_000, ge=1)
    reconnect_after_s: float = Field(
        default=30.0, gt=0, description="of failing writes, before a new session is tried"
    )
    preflight_patience_s: float = Field(
        default=30.0, ge=0, description="how long a start waits for PostgreSQL and Connect"
    )

    schema_check_s: float = Field(
        default=5.0, gt=0, description="between two looks at the columns that PostgreSQL has"
    )

    sink_metrics_port: Port = Field(default=19102, ge=0, le=65535)
    sink_linger_s: float = Field(
        default=15.0, ge=0, description="a sink that stops for good still says why for so long"
    )

    def retain_days(self, table: str) -> int:
        """How many whole days before today PostgreSQL keeps of a partitioned table; 0: all."""
        days: int = getattr(self, f"retain_{table}_days")
        return days

    @model_validator(mode="after")
    def _window_holds_its_batches(self) -> Self:
        if self.pending_rows < self.batch_rows:
            raise ValueError(
                f"TIDEMARK_PENDING_ROWS ({self.pending_rows}) is smaller than one batch "
                f"(TIDEMARK_BATCH_ROWS = {self.batch_rows}); raise it"
            )
        if self.pending_bytes < self.batch_bytes:
            raise ValueError(
                "TIDEMARK_PENDING_BYTES is smaller than TIDEMARK_BATCH_BYTES; raise it"
            )
        if self.retry_last_ms < self.retry_first_ms:
            raise ValueError("TIDEMARK_RETRY_LAST_MS is smaller than TIDEMARK_RETRY_FIRST_MS")
        return self
