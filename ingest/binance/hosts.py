"""Which host to ask: the first that is well. Pure, with an injected clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ingest.errors import BadRequest, RegionRefused
from ingest.settings import MARKET_DATA_HOST

REST_S = 60.0  # a host that failed is asked last for so long


class Hosts:
    """Hosts in order of preference. One that fails is put last for a while.

    One that refuses our region (451) is not asked at all, until `forgive`.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back."""
        self._urls = tuple(urls)
        self._clock = clock
        self._well_from = dict.fromkeys(urls, 0.0)
        self._refused: set[str] = set()

    def pick(self, *, market_data: bool = True) -> str:
        """The host to ask now; RegionRefused where every host refuses us."""
        serving = [url for url in self._urls if market_data or url != MARKET_DATA_HOST]
        if not serving:
            raise BadRequest("hosts", 0, 0, "none of TIDEMARK_BINANCE_HOSTS serves this endpoint")
        willing = [url for url in serving if url not in self._refused]
        if not willing:
            raise RegionRefused(serving)
        now = self._clock()
        return min(willing, key=lambda url: max(self._well_from[url] - now, 0.0))

    def failed(self, url: str) -> None:
        """It gave no answer or a broken one."""
        self._well_from[url] = self._clock() + REST_S

    def refused(self, url: str) -> None:
        """It refuses our region."""
        self._refused.add(url)

    def forgive(self) -> None:
        """Ask those again that refused our region: places and rules change."""
        self._refused.clear()
