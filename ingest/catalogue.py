"""What is listed on a venue, and what changed since exchangeInfo was last read; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from contracts.market import Event, Instrument
from ingest.binance.exchange_info import ExchangeInfo
from ingest.errors import BadAnswer, UnknownSymbol

TRADING = "TRADING"
DELISTED = "DELISTED"  # ours: exchangeInfo no longer lists it
_BELIEVABLE_LOSS = 0.5  # an answer that lists fewer than this share of the known is not believed


class Changes(msgspec.Struct, frozen=True):
    """What is to be stored after exchangeInfo was read."""

    instruments: list[Instrument]
    events: list[Event]


class Catalogue:
    """The instruments of one venue by symbol."""

    def __init__(self, venue: str, known: Iterable[Instrument]) -> None:
        """`known` are those that the database holds."""
        self._venue = venue
        self._known = {one.symbol: one for one in known}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._known

    def is_trading(self, symbol: str) -> bool:
        """Whether the symbol is traded now."""
        return symbol in self._known and self._known[symbol].status == TRADING

    def is_listed(self, symbol: str) -> bool:
        """Whether the exchange lists the symbol, traded or halted."""
        return symbol in self._known and self._known[symbol].status != DELISTED

    def listed(self) -> list[str]:
        """The symbols that the exchange lists, as it orders them."""
        return [symbol for symbol, one in self._known.items() if one.status != DELISTED]

    def quote_asset(self, symbol: str) -> str:
        """Quote asset; empty where the symbol is not listed."""
        return self._known[symbol].quote_asset if symbol in self._known else ""

    def require(self, symbols: Sequence[str]) -> None:
        """UnknownSymbol names those that were never listed."""
        unknown = [symbol for symbol in symbols if symbol not in self._known]
        if unknown:
            raise UnknownSymbol(self._venue, unknown)

    def learn(self, info: ExchangeInfo) -> Changes:
        """Take a new exchangeInfo; the first one ever makes no events."""
        listed = {one.symbol: one for one in info.instruments}
        alive = {one.symbol for one in self._known.values() if one.status != DELISTED}
        if len(alive & listed.keys()) < len(alive) * _BELIEVABLE_LOSS:
            raise BadAnswer(
                "exchangeInfo",
                f"it lists {len(alive & listed.keys())} of {len(alive)} known symbols: "
                "not believed, nothing is marked as delisted",
            )
        events = [] if not self._known else self._compare(listed)
        changed = list(listed.values())
        if not info.rejected:  # a symbol whose row is broken is not gone
            for symbol in sorted(alive - listed.keys()):
                gone = msgspec.structs.replace(
                    self._known[symbol], status=DELISTED, as_of=info.server_time
                )
                changed.append(gone)
                events.append(self._event("delisting", symbol, f"{symbol} is no longer listed"))
        self._known.update((one.symbol, one) for one in changed)
        return Changes(changed, events)

    def _compare(self, listed: dict[str, Instrument]) -> list[Event]:
        events = []
        for symbol, now in listed.items():
            before = self._known.get(symbol)
            if before is None or before.status == DELISTED:
                events.append(self._event("listing", symbol, f"{symbol} is listed ({now.status})"))
            elif before.status != now.status:
                kind = "resumption" if now.status == TRADING else "halt"
                change = f"{symbol}: {before.status} → {now.status}"
                events.append(self._event(kind, symbol, change))
        return events

    def _event(self, kind: str, symbol: str, message: str) -> Event:
        severity = "warning" if kind in {"halt", "delisting"} else "info"
        return Event(
            venue=self._venue, kind=kind, symbol=symbol, severity=severity, message=message
        )
