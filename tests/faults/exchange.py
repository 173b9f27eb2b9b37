"""The simulated exchange of a running stack: faults by script, and all that it has told (for O8).

It is asked from an address of its own, so that what the questions weigh is not ingest's. What it
told is read after its faults were taken away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

OURS, INGEST = "127.0.0.2", "127.0.0.1"
PAGE = 1000
MINUTE_MS = 60_000

Trade = tuple[int, Decimal, Decimal, Decimal, bool, int]  # id, price, quantities, side, ms
Candle = tuple[int, *tuple[Decimal, ...]]  # open time in ms, then its ten values


@dataclass(frozen=True)
class Tape:
    """O8 of one symbol: ids that are neither held nor in a gap, and those that are held wrong."""

    told: int = 0
    missing: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    lost: int = 0

    @property
    def whole(self) -> bool:
        """Whether every trade of the exchange is accounted for."""
        return not self.missing and not self.wrong


def judge(told: Sequence[Trade], held: Sequence[Trade], lost: Iterable[range]) -> Tape:
    """Compare a tape with the exchange's own.

    `lost`: the ids that a row of `gaps` says nobody has. One that is held twice, or otherwise than
    it was told, or that was never told, is wrong.
    """
    given_up = {trade_id for ids in lost for trade_id in ids}
    expected = {trade[0]: trade for trade in told}
    found: dict[int, Trade] = {}
    wrong: set[int] = set()
    for trade in held:
        if trade[0] in found or trade != expected.get(trade[0]):
            wrong.add(trade[0])
        found[trade[0]] = trade
    absent = expected.keys() - found.keys()
    return Tape(
        told=len(expected),
        missing=tuple(sorted(absent - given_up)),
        wrong=tuple(sorted(wrong)),
        lost=len(absent & given_up),
    )


class Exchange:
    """Its market data and its control."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(
            base_url=url,
            timeout=60,
            transport=httpx.HTTPTransport(local_address=OURS),
        )

    def close(self) -> None:
        self._http.close()

    # --- control ------------------------------------------------------------------------------

    def script(self, *rules: dict[str, Any]) -> None:
        """Add rules of simulator.faults."""
        self._http.post("/_simulator/faults", json={"rules": rules}).raise_for_status()

    def heal(self) -> None:
        """Take all faults away."""
        self._http.delete("/_simulator/faults").raise_for_status()

    def acted(self) -> dict[str, int]:
        """How often each rule acted since it was added, by its id."""
        rules = self._control("faults")["rules"]
        return {each["rule"]["id"]: each["acted"] for each in rules}

    def asked(self, since_ms: int, path: str = "/api/") -> list[dict[str, Any]]:
        """What ingest asked for since then, oldest first."""
        found = self._control("log", since_ms=since_ms, path=path)
        return [request for request in found if request["address"] == INGEST]

    def prices_told(self) -> dict[int, dict[str, Decimal]]:
        """What its stream of all prices told lately: by the event's time in ms, then by symbol."""
        told: dict[int, dict[str, Decimal]] = {}
        for frame in self._control("sent", path="stream:!miniTicker@arr"):
            for row in json.loads(frame["body"]):
                told.setdefault(row["E"], {})[row["s"]] = Decimal(row["c"])
        return told

    def now_ms(self) -> int:
        """The exchange's clock."""
        return int(self._control("health")["now_ms"])

    @property
    def weight_limit(self) -> int:
        """Request weight a minute; setting it forgets weights used and bans."""
        return int(self._control("health")["weight_limit"])

    @weight_limit.setter
    def weight_limit(self, limit: int) -> None:
        self._http.post("/_simulator/limits", json={"weight_limit": limit}).raise_for_status()

    def list_as(
        self, symbol: str, status: str, base: str | None = None, was: str | None = None
    ) -> None:
        """Change a listing from the next minute on; see simulator.listings."""
        change = {"symbol": symbol, "status": status, "base": base, "was": was}
        self._http.post("/_simulator/listings", json=change).raise_for_status()

    def _control(self, name: str, **parameters: Any) -> Any:
        answer = self._http.get(f"/_simulator/{name}", params=parameters)
        return answer.raise_for_status().json()

    # --- market data --------------------------------------------------------------------------

    def get(self, name: str, **parameters: Any) -> Any:
        """An answer of /api/v3."""
        return self._http.get(f"/api/v3/{name}", params=parameters).raise_for_status().json()

    def last_id(self, symbol: str) -> int:
        """The newest trade id."""
        return int(self.get("trades", symbol=symbol, limit=1)[0]["id"])

    def trades(self, symbol: str, ids: range) -> list[Trade]:
        """Its trades of these ids."""
        found: list[Trade] = []
        for first in range(ids.start, ids.stop, PAGE):
            limit = min(PAGE, ids.stop - first)
            rows = self.get("historicalTrades", symbol=symbol, fromId=first, limit=limit)
            found += [
                (
                    *(row["id"], Decimal(row["price"]), Decimal(row["qty"])),
                    *(Decimal(row["quoteQty"]), row["isBuyerMaker"], row["time"]),
                )
                for row in rows
            ]
        return found

    def candles(self, symbol: str, since_ms: int, until_ms: int) -> list[Candle]:
        """Its candles of one minute that opened in [since_ms, until_ms)."""
        found: list[Candle] = []
        for start in range(since_ms, until_ms, PAGE * MINUTE_MS):
            end = min(start + PAGE * MINUTE_MS, until_ms) - 1
            rows = self.get(
                "klines", symbol=symbol, interval="1m", startTime=start, endTime=end, limit=PAGE
            )
            found += [
                (row[0], *(Decimal(row[at]) for at in (*range(1, 6), *VALUES))) for row in rows
            ]
        return found


VALUES = (7, 8, 9, 10)  # quote volume, trades, taker's buys: base and quote
