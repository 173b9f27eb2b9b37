"""What the exchange's own log says of a span of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

PAGE = 1000  # rows; a request for fewer is a probe
REFUSED = {418, 429}


@dataclass(frozen=True)
class Asked:
    """Pages of candles that were answered, what they weighed, and how many were refused."""

    pages: int
    weight: int
    refused: int

    @property
    def rows(self) -> int:
        return self.pages * PAGE

    def share(self, limit: int, seconds: float) -> float:
        """Of the weight that the exchange allows in that time; 0 where it allows any."""
        return self.weight / (limit * seconds / 60) if limit else 0.0


def is_page(request: Mapping[str, Any]) -> bool:
    """Whether a request of the log asked for a whole page of candles."""
    wanted = parse_qs(str(request["query"])).get("limit", [""])[0]
    return bool(request["path"] == "/api/v3/klines" and wanted == str(PAGE))


def asked(log: Iterable[Mapping[str, Any]], start_ms: float, end_ms: float) -> Asked:
    """Of the requests in [start, end): the pages. All others count only where they are refused."""
    pages = weight = refused = 0
    for request in log:
        if not start_ms <= request["at_ms"] < end_ms:
            continue
        refused += request["status"] in REFUSED
        if request["status"] == 200 and is_page(request):
            pages += 1
            weight += request["weight"]
    return Asked(pages, weight, refused)
