"""Where the outside parts listen. Mixed into a stage's settings, so that each address has one name.

Passwords never stand here: they are files, read by `Settings.secret`.
"""

from __future__ import annotations

from pydantic import Field

from runtime.settings import Settings

Port = int

# A PostgreSQL that vanished without a farewell (a frozen host, a lost network) is noticed in half
# a minute, by who waits for an answer (keepalives) and by who has sent something (user_timeout)
NOTICE_HALF_OPEN = {
    "keepalives": 1,
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,  # ms
}


class PostgresEndpoint(Settings):
    postgres_host: str = "127.0.0.1"
    postgres_port: Port = Field(default=15432, ge=1, le=65535)
    postgres_database: str = "tidemark"

    def postgres_dsn(self, role: str) -> dict[str, object]:
        """Keyword arguments of psycopg2.connect for a role (`tidemark_ingest`, …)."""
        return {
            "host": self.postgres_host,
            "port": self.postgres_port,
            "dbname": self.postgres_database,
            "user": role,
            "password": self.secret(role),
            "application_name": role,
            "connect_timeout": 5,
            **NOTICE_HALF_OPEN,
            "options": "-c timezone=UTC",
        }


class KafkaEndpoint(Settings):
    kafka_bootstrap: str = Field(default="127.0.0.1:19092", description="host:port[,host:port]")


class ConnectEndpoint(Settings):
    connect_url: str = Field(
        default="http://127.0.0.1:18083", description="Kafka Connect's REST API"
    )


class CassandraEndpoint(Settings):
    cassandra_hosts: str = Field(default="127.0.0.1", description="comma-separated contact points")
    cassandra_port: Port = Field(default=19042, ge=1, le=65535)
    cassandra_keyspace: str = Field(default="tidemark", pattern=r"^[a-z][a-z0-9_]{0,47}$")

    @property
    def cassandra_contact_points(self) -> list[str]:
        """The contact points as a list."""
        return [host.strip() for host in self.cassandra_hosts.split(",") if host.strip()]
