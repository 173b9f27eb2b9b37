"""Settings of the local stack, and where its files lie below the state folder."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from runtime.endpoints import (
    CassandraEndpoint,
    ConnectEndpoint,
    KafkaEndpoint,
    Port,
    PostgresEndpoint,
)
from runtime.settings import PROJECT_ROOT

SERVICES = ("postgres", "kafka", "cassandra", "connect")
PROCESSES = ("simulator", "ingest", "sink", "watch", "page")
LOOPBACK = ("127.0.0.1", "localhost")


class StackSettings(PostgresEndpoint, KafkaEndpoint, ConnectEndpoint, CassandraEndpoint):
    """Ports come from the endpoints; what is here exists only where we run the services."""

    postgres_database: str = Field(default="tidemark", pattern=r"^[a-z][a-z0-9_]{0,62}$")
    stack: Literal["auto", "local", "docker"] = Field(
        default="auto", description="How services run; auto is local, docker only when asked"
    )
    artifacts_dir: Path | None = Field(
        default=None, description="Downloaded services; default <state_dir>/artifacts"
    )
    postgres_os_user: str = Field(
        default="", description="Runs PostgreSQL when we are root; default postgres, else nobody"
    )
    postgres_shared_buffers_mb: int = Field(default=256, ge=16)
    postgres_max_slot_wal_keep_mb: int = Field(
        default=4096, ge=64, description="WAL kept for a slot that lags; beyond it the slot is lost"
    )
    kafka_controller_port: Port = Field(default=19093, ge=1, le=65535)
    kafka_heap_mb: int = Field(default=512, ge=256)
    kafka_retention_hours: int = Field(default=168, ge=1)
    connect_heap_mb: int = Field(default=640, ge=256)
    connect_exactly_once: Literal["disabled", "preparing", "enabled"] = Field(
        default="disabled", description="Connect's exactly.once.source.support"
    )
    cassandra_storage_port: Port = Field(default=17000, ge=1, le=65535)
    cassandra_heap_mb: int = Field(default=1024, ge=512)
    grafana_port: Port = Field(
        default=13000, ge=0, le=65535, description="0: no Grafana is started"
    )
    ready_timeout_s: float = Field(
        default=180.0, gt=0, description="How long `up` waits for each service"
    )

    @field_validator("artifacts_dir")
    @classmethod
    def _artifacts_from_project_root(cls, path: Path | None) -> Path | None:
        return None if path is None else PROJECT_ROOT / path

    @model_validator(mode="after")
    def _ports_differ(self) -> StackSettings:
        taken: dict[int, str] = {}
        for name, port in self.ports.items():
            if port in taken:
                raise ValueError(f"port {port} is given to both {taken[port]} and {name}")
            taken[port] = name
        return self

    @property
    def kafka_port(self) -> int:
        """The broker's port: of the first bootstrap address."""
        return int(self.kafka_bootstrap.split(",")[0].rpartition(":")[2])

    @property
    def connect_port(self) -> int:
        return int(self.connect_url.rstrip("/").rpartition(":")[2])

    @property
    def ports(self) -> dict[str, int]:
        """Every port that the services listen on."""
        return {
            "postgres": self.postgres_port,
            "kafka": self.kafka_port,
            "kafka controller": self.kafka_controller_port,
            "connect": self.connect_port,
            "cassandra": self.cassandra_port,
            "cassandra storage": self.cassandra_storage_port,
        }

    @property
    def artifacts(self) -> Path:
        return self.artifacts_dir or self.state_dir / "artifacts"

    @property
    def secrets(self) -> Path:
        return self.secrets_dir or self.state_dir / "secrets"

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @property
    def run(self) -> Path:
        """Rendered configuration, pid files, the supervisor's socket and the lock."""
        return self.state_dir / "run"

    def data(self, service: str) -> Path:
        return self.state_dir / "data" / service

    def temporary(self, service: str) -> Path:
        """Emptied before each `up` that starts the service."""
        return self.run / "tmp" / service

    @property
    def identity(self) -> str:
        """Short stable name of this state folder, for paths and marks outside it."""
        return hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:12]


def postgres_architecture() -> str | None:
    """Suffix of PostgreSQL's artifact for this machine; None where there is none."""
    return {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}.get(
        platform.machine().lower()
    )
