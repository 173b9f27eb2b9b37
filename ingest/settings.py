"""What is polled, how often, from where; checked when the process starts.

The default schedule is ten USDT pairs in full and the prices and 24 h statistics of every trading
symbol: 4,064 of the 4,800 weight a minute that its share of Binance's limit allows
(`ingest.schedule` shows the arithmetic).
"""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ingest.fields import Names, Seconds, is_pattern, without_twins
from ingest.intervals import INTERVALS
from ingest.sampling import Sampling
from ingest.source_settings import SourceSettings
from runtime.endpoints import Port, PostgresEndpoint

MARKET_DATA_HOST = "https://data-api.binance.vision"
_DEFAULT_HOSTS = (
    MARKET_DATA_HOST,
    "https://api.binance.com",
    "https://api-gcp.binance.com",
    "https://api1.binance.com",
    "https://api2.binance.com",
    "https://api3.binance.com",
    "https://api4.binance.com",
)
_DEFAULT_STREAM_HOSTS = (
    "wss://data-stream.binance.vision",
    "wss://stream.binance.com:9443",
    "wss://stream.binance.com",
)
_DEFAULT_ASSETS = ("BTC", "ETH", "XRP", "BNB", "SOL", "DOGE", "TRX", "ADA", "SUI", "LINK")
_DEFAULT_SYMBOLS = tuple(f"{asset}USDT" for asset in _DEFAULT_ASSETS)


class IngestSettings(PostgresEndpoint, SourceSettings):
    """Lists are comma-separated in the environment."""

    exchange: Literal["auto", "binance", "simulator"] = "auto"
    simulator_url: str = "http://127.0.0.1:18080"
    binance_hosts: Names = _DEFAULT_HOSTS

    archive_url: str = Field(
        default="", description="of daily and monthly files; empty: the exchange's own"
    )

    streams: Literal["on", "off"] = "off"
    binance_stream_hosts: Names = _DEFAULT_STREAM_HOSTS
    streams_a_connection: int = Field(default=200, ge=1, le=1024)

    symbols: Names = Field(
        default=_DEFAULT_SYMBOLS, description="names, and patterns such as *USDT"
    )
    symbols_top: int = Field(
        default=0, ge=0, le=1000, description="the most traded of what patterns match; 0: all"
    )
    symbols_top_every_s: Seconds = 3600
    kline_intervals: Names = ("1m",)
    prices_every_s: Seconds = 10
    ticker_24h_every_s: Seconds = 15
    depth_every_s: Seconds = 5
    trades_every_s: Seconds = 5
    klines_every_s: Seconds = 10
    exchange_info_every_s: Seconds = 3600
    depth_limit: int = Field(default=100, ge=1, le=1000, description="levels of a side")
    trades_limit: int = Field(default=1000, ge=1, le=1000)
    trade_repair_limit: int = Field(
        default=5000, ge=0, description="a hole of more trades is left to repair, not polled back"
    )

    contracts: Literal["on", "off"] = Field(
        default="on", description="prices also as events on crypto.prices.raw, bad ones on .dlq"
    )
    contract_prices_every_s: Seconds = Field(
        default=60, description="of a symbol that is not in TIDEMARK_SYMBOLS; of those each price"
    )
    readback_limit: int = Field(
        default=5_000_000,
        ge=0,
        description="a hole of more trades is not asked for by ids; it is unprovable",
    )
    audit_share: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="of a connection's time, for looking through what is held",
    )

    weight_share: float = Field(
        default=0.8, gt=0, le=1, description="of the exchange's weight limit that we may use"
    )
    movers_quotes: Names = ("USDT",)
    movers_ranks: int = Field(default=5, ge=1, le=100)
    movers_min_quote_volume: Decimal = Field(default=Decimal(1_000_000), ge=0)
    usd_quotes: Names = Field(
        default=("USDT", "USDC", "FDUSD", "TUSD", "USDP", "BUSD", "USD", "DAI"),
        description="quote assets that count as one US dollar",
    )

    request_timeout_s: float = Field(default=10, gt=0, le=60)
    connect_timeout_s: float = Field(default=3, gt=0, le=60)
    body_limit_mb: int = Field(default=32, ge=1, le=256, description="a longer answer is cut off")
    attempts: int = Field(default=4, ge=1, le=20, description="tries of one request")
    backoff_s: float = Field(default=0.5, gt=0, le=60, description="before the second try")
    firewall_pause_s: float = Field(
        default=300, gt=0, description="silence after 403, and after 451 from every host"
    )
    spool_mb: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="answers kept in memory while PostgreSQL is away; then polling pauses",
    )
    shedding_valid_s: float = Field(
        default=600,
        ge=30,
        description="a level of shedding that the watch has not confirmed for so long is ignored",
    )
    backfill_symbols_at_once: int = Field(default=4, ge=1, le=32)
    backfill_pages_in_flight: int = Field(default=4, ge=1, le=32, description="of one symbol")
    archive_file_limit_mb: int = Field(
        default=1024, ge=1, description="of a longer file of a month, the days are taken"
    )
    ingest_metrics_port: Port | Literal[0] = 19101

    def sampling(self) -> Sampling | None:
        """Which prices become events of the contract, with an empty memory; None: none do."""
        return Sampling(self.contract_prices_every_s) if self.contracts == "on" else None

    @property
    def run_dir(self) -> Path:
        """Where a ban is remembered, for other processes and after a restart."""
        return self.state_dir / "run"

    @field_validator("binance_hosts", "simulator_url")
    @classmethod
    def _safe_urls(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if not value:
            raise ValueError("name at least one host, e.g. https://data-api.binance.vision")
        for url in (value,) if isinstance(value, str) else value:
            _check_url(url)
        return value.rstrip("/") if isinstance(value, str) else tuple(u.rstrip("/") for u in value)

    @field_validator("archive_url")
    @classmethod
    def _safe_archive(cls, url: str) -> str:
        if url:
            _check_url(url, with_path=True)
        return url.rstrip("/")

    @field_validator("binance_stream_hosts")
    @classmethod
    def _safe_stream_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("name at least one host, e.g. wss://data-stream.binance.vision")
        for url in urls:
            _check_url(url, "wss")
        return tuple(url.rstrip("/") for url in urls)

    @field_validator("simulator_url")
    @classmethod
    def _simulator_is_local(cls, url: str) -> str:
        host = urlsplit(url).hostname or ""
        if "binance" in host:
            raise ValueError(f"{url} is the real exchange, not a simulator")
        return url

    @field_validator("symbols", "kline_intervals", "movers_quotes", "usd_quotes")
    @classmethod
    def _no_twins(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return without_twins(names)

    @field_validator("symbols")
    @classmethod
    def _some_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if not symbols:
            raise ValueError("name at least one symbol, e.g. BTCUSDT,ETHUSDT, or a pattern")
        return symbols

    @field_validator("kline_intervals")
    @classmethod
    def _known_intervals(cls, intervals: tuple[str, ...]) -> tuple[str, ...]:
        for interval in intervals:
            if interval not in INTERVALS:
                raise ValueError(f"{interval!r} is no interval; choose from {' '.join(INTERVALS)}")
        return intervals

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if self.connect_timeout_s > self.request_timeout_s:
            raise ValueError(
                f"TIDEMARK_CONNECT_TIMEOUT_S={self.connect_timeout_s:g} is longer than "
                f"TIDEMARK_REQUEST_TIMEOUT_S={self.request_timeout_s:g}"
            )
        if self.symbols_top and not any(map(is_pattern, self.symbols)):
            raise ValueError(
                "TIDEMARK_SYMBOLS_TOP chooses among what a pattern matches: name one in "
                "TIDEMARK_SYMBOLS, e.g. *USDT"
            )
        if not self.movers_quotes:
            raise ValueError("TIDEMARK_MOVERS_QUOTES: name at least one quote asset, e.g. USDT")
        return self


def _check_url(url: str, scheme: str = "https", *, with_path: bool = False) -> None:
    """ValueError unless the URL is scheme://host[:port]; off this machine never without TLS."""
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}") from error
    plain = scheme.removesuffix("s")
    path = "" if with_path else parts.path.strip("/")
    if parts.scheme not in {scheme, plain} or not parts.hostname or path or parts.query:
        raise ValueError(f"{url!r} is not of the form {scheme}://host[:port]")
    if parts.username or parts.password:
        raise ValueError("a URL must not hold a user or a password")
    if parts.scheme == plain and not is_loopback(url):
        raise ValueError(f"{url}: only {scheme}, except on this machine (127.0.0.1)")


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
