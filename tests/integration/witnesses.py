"""What an end-to-end test needs of the exchange and of time, without any of our readers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import httpx
import pytest

MINUTE = timedelta(minutes=1)
T = TypeVar("T")


class Exchange:
    """The exchange's own word, by HTTP."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=30)

    def get(self, path: str, /, **params: str | int) -> Any:
        return self._http.get(path, params=params).raise_for_status().json()

    def sent(self, path: str) -> list[tuple[dict[str, str], Any]]:
        """(query, body) of its latest answers of a path, oldest first."""
        return [
            (dict(parse_qsl(answer["query"])), json.loads(answer["body"]))
            for answer in self.get("/_simulator/sent", path=path)
        ]

    def trades(self, symbol: str, first_id: int, last_id: int) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        while first_id <= last_id:
            page = self.get("/api/v3/historicalTrades", symbol=symbol, fromId=first_id, limit=1000)
            found |= {row["id"]: row for row in page if row["id"] <= last_id}
            first_id = page[-1]["id"] + 1
        return found

    def klines(self, symbol: str, start: datetime, end: datetime) -> dict[datetime, list[Any]]:
        """Candles of one minute with start ≤ open time < end."""
        found: dict[datetime, list[Any]] = {}
        while start < end:
            page = self.get(
                "/api/v3/klines",
                symbol=symbol,
                interval="1m",
                startTime=epoch_ms(start),
                endTime=epoch_ms(end) - 1,
                limit=1000,
            )
            if not page:
                break
            found |= {moment(row[0]): row for row in page}
            start = moment(page[-1][0]) + MINUTE
        return found


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def epoch_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def until(what: str, look: Callable[[], T | None], seconds: float = 120) -> T:
    """Wait for `look` to find something; fail with `what` was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.5)
    return pytest.fail(f"waited {seconds} s for {what}")


def newest(width: timedelta) -> list[datetime]:
    """Starts of the current and the previous bucket of a width (a test may cross midnight)."""
    since = datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    start = datetime(1970, 1, 1, tzinfo=UTC) + since // width * width
    return [start, start - width]


def numbers(*strings: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(each) for each in strings)
