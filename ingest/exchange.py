"""Which exchange we talk to: the real one, or the simulated one under a venue of its own."""

from __future__ import annotations

import asyncio
from typing import Literal

import httpx
import msgspec
import structlog

from ingest.binance.bans import BanBook
from ingest.binance.endpoints import ping
from ingest.binance.limits import utc_now
from ingest.errors import Unreachable
from ingest.settings import IngestSettings

log = structlog.get_logger(__name__)

_REGION_REFUSED = 451
_ARCHIVE = "https://data.binance.vision"


class Exchange(msgspec.Struct, frozen=True):
    """`venue` stands in every row; URLs, of requests and of streams, in order of preference.

    `archive_url`: of its daily and monthly files.
    """

    venue: Literal["binance", "simulator"]
    base_urls: tuple[str, ...]
    stream_urls: tuple[str, ...] = ()
    archive_url: str = ""


async def choose(settings: IngestSettings) -> Exchange:
    """The exchange that the settings mean.

    `auto` asks Binance's hosts once, briefly, and says loudly that it takes the simulator where
    none answers. `binance` and `simulator` ask nobody.
    """
    binance = Exchange(
        "binance",
        settings.binance_hosts,
        settings.binance_stream_hosts,
        settings.archive_url or _ARCHIVE,
    )
    url = settings.simulator_url
    stream_url = "ws" + url.removeprefix("http")
    simulator = Exchange("simulator", (url,), (stream_url,), settings.archive_url or url)
    if settings.exchange == "simulator":
        return simulator
    banned = BanBook(settings.run_dir, binance.venue).current(utc_now())
    if settings.exchange == "binance" or banned:  # a ban is an answer
        return binance
    reasons = await _try_all(binance.base_urls, settings.connect_timeout_s)
    if None in reasons.values():
        return binance
    log.warning(
        "BINANCE CANNOT BE REACHED: polling the SIMULATED exchange; rows say venue=simulator",
        simulator=settings.simulator_url,
        reasons={url: str(reason) for url, reason in reasons.items()},
        remedy="TIDEMARK_EXCHANGE=binance waits for the real one",
    )
    return simulator


async def _try_all(urls: tuple[str, ...], timeout_s: float) -> dict[str, Unreachable | None]:
    """Why each host cannot be used; None for one that can."""
    async with httpx.AsyncClient(timeout=timeout_s, follow_redirects=False) as http:
        return dict(await asyncio.gather(*(_try(http, url) for url in urls)))


async def _try(http: httpx.AsyncClient, url: str) -> tuple[str, Unreachable | None]:
    try:
        response = await http.get(url + ping().path)
    except (httpx.HTTPError, OSError) as error:
        return url, Unreachable(url, str(error) or type(error).__name__)
    status = response.status_code
    if status == _REGION_REFUSED:
        return url, Unreachable(url, "451: it refuses this machine's location")
    if status >= 500 or 300 <= status < 400:
        return url, Unreachable(url, f"status {status}")
    return url, None
