"""Settings of the page: where it listens, how often it looks, how long it waits."""

from __future__ import annotations

from pydantic import Field

from runtime.endpoints import CassandraEndpoint, Port

ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound by default


class PageSettings(CassandraEndpoint):
    """The page beside the stack."""

    page_port: Port = Field(default=18501, ge=0, le=65535, description="0: no page")
    page_address: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="where it listens; a container that publishes on loopback says 0.0.0.0",
    )
    page_refresh_s: float = Field(default=1.5, ge=0.2, description="between two looks of a view")
    page_timeout_ms: int = Field(
        default=2000, ge=100, description="of a question to Cassandra; then it counts as down"
    )

    @property
    def page_url(self) -> str:
        """What a person opens on this machine."""
        host = "127.0.0.1" if self.page_address in ANYWHERE else self.page_address
        return f"http://{host}:{self.page_port}"
