"""Settings of the simulated exchange: TIDEMARK_SIMULATOR_*."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from runtime.settings import Settings
from simulator.catalogue import DEFAULT_TRADES_PER_SECOND, MAX_TRADES_PER_SECOND


class SimulatorSettings(Settings):
    """Where it listens, which market it serves and how strict it is."""

    simulator_url: str = Field(
        default="http://127.0.0.1:18080", description="Loopback only; the port is taken from here"
    )
    simulator_seed: int = Field(default=20260101, description="Another seed is another market")
    simulator_trades_per_second: float = Field(
        default=DEFAULT_TRADES_PER_SECOND,
        gt=0,
        le=MAX_TRADES_PER_SECOND,
        description="All ten watched pairs together; part of the market's identity like the seed",
    )
    simulator_weight_limit: int = Field(
        default=6000, ge=0, description="Request weight a minute and address; 0 lifts it"
    )
    simulator_faults: Path | None = Field(default=None, description="JSON file of fault rules")
    simulator_now: datetime | None = Field(
        default=None, description="The market's time at start (ISO 8601); default: the wall clock"
    )
    simulator_metrics_port: int = Field(default=19104, ge=0, le=65535)

    @field_validator("simulator_url")
    @classmethod
    def _on_loopback(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not _is_loopback(parts.hostname):
            raise ValueError(
                f"{url!r} is not of the form http://127.0.0.1:PORT; "
                "the simulator listens on loopback only"
            )
        return url

    @field_validator("simulator_now")
    @classmethod
    def _aware(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("give the time zone too, for example 2026-07-01T12:00:00Z")
        return moment

    @property
    def host(self) -> str:
        """The address to listen on."""
        return urlsplit(self.simulator_url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The port to listen on; 0 means any free one."""
        port = urlsplit(self.simulator_url).port
        return 80 if port is None else port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
