"""What is listed on a venue, and what changed since exchangeInfo was last read; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from contracts.market import Event, Instrument, Listing
from ingest.binance.exchange_info import ExchangeInfo
from ingest.errors import BadAnswer, UnknownSymbol
from ingest.listings import Listings

TRADING = "TRADING"
DELISTED = "DELISTED"  # ours: exchangeInfo no longer lists it
_BELIEVABLE_LOSS = 0.5  # an answer that lists fewer than this share of the known is not believed


class Changes(msgspec.Struct, frozen=True):
    """What is to be stored after exchangeInfo was read.

    `anew`: symbols that were listed anew, so that their trade ids may begin anew.
    """

    instruments: list[Instrument]
    events: list[Event]
    listings: list[Listing] = []
    anew: set[str] = set()


class Catalogue:
    """The instruments of one venue by symbol, and what each symbol stands for."""

    def __init__(
        self, venue: str, known: Iterable[Instrument], listings: Listings | None = None
    ) -> None:
        """`known` are those that the database holds."""
        self._venue = venue
        self._known = {one.symbol: one for one in known}
        self.listings = listings or Listings()

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._known

    def is_trading(self, symbol: str) -> bool:
        """Whether the symbol is traded now."""
        return symbol in self._known and self._known[symbol].status == TRADING

    def is_listed(self, symbol: str) -> bool:
        """Whether the exchange lists the symbol, traded or halted."""
        return symbol in self._known and self._known[symbol].status != DELISTED

    def listed(self) -> list[str]:
        """The symbols that the exchange lists."""
        return [symbol for symbol, one in self._known.items() if one.status != DELISTED]

    def quote_asset(self, symbol: str) -> str:
        """Quote asset; empty where the symbol is not listed."""
        return self._known[symbol].quote_asset if symbol in self._known else ""

    def require(self, symbols: Sequence[str]) -> None:
        """UnknownSymbol names those that were never listed."""
        unknown = [symbol for symbol in symbols if symbol not in self._known]
        if unknown:
            raise UnknownSymbol(self._venue, unknown)

    def learn(
        self, info: ExchangeInfo, last_sign: Callable[[str], datetime | None] = lambda _: None
    ) -> Changes:
        """Take a new exchangeInfo; the first one ever makes no events.

        `last_sign`: when a symbol was last known to be traded.
        """
        listed = {one.symbol: one for one in info.instruments}
        alive = {one.symbol for one in self._known.values() if one.status != DELISTED}
        if len(alive & listed.keys()) < len(alive) * _BELIEVABLE_LOSS:
            raise BadAnswer(
                "exchangeInfo",
                f"it lists {len(alive & listed.keys())} of {len(alive)} known symbols: "
                "not believed, nothing is marked as delisted",
            )
        # a symbol whose row is broken is not gone
        gone = [] if info.rejected else sorted(alive - listed.keys())
        events = self._compare(listed, gone) if self._known else []
        listings, anew = self._follow(listed, gone, info.server_time, last_sign)
        changed = [*listed.values()]
        for symbol in gone:
            known = self._known[symbol]
            left = msgspec.structs.replace(known, status=DELISTED, as_of=info.server_time)
            changed.append(left)
        self._known.update((one.symbol, one) for one in changed)
        return Changes(changed, events, listings, anew)

    def _follow(
        self,
        listed: dict[str, Instrument],
        gone: Sequence[str],
        at: datetime,
        last_sign: Callable[[str], datetime | None],
    ) -> tuple[list[Listing], set[str]]:
        """Rows of listings that begin and end, and the symbols that were listed before."""
        rows: list[Listing] = []
        anew: set[str] = set()
        for symbol, now in listed.items():
            begun = self.listings.begin(now, last_sign(symbol))
            rows += begun
            if begun and self.listings.anew_since(symbol) is not None:
                anew.add(symbol)
        for symbol in gone:
            rows += self.listings.end(symbol, at)
        return rows, anew

    def _compare(self, listed: dict[str, Instrument], gone: Sequence[str]) -> list[Event]:
        events, new = [], []
        for symbol, now in listed.items():
            before = self._known.get(symbol)
            if before is not None and _assets(before) != _assets(now):
                change = f"{_assets(before)} → {_assets(now)}"
                events.append(self._event("relisting", symbol, f"{symbol} is of others: {change}"))
            elif before is None or before.status == DELISTED:
                new.append(now)
                events.append(self._event("listing", symbol, f"{symbol} is listed ({now.status})"))
            elif before.status != now.status:
                kind = "resumption" if now.status == TRADING else "halt"
                change = f"{symbol}: {before.status} → {now.status}"
                events.append(self._event(kind, symbol, change))
        for symbol in gone:
            events.append(self._event("delisting", symbol, f"{symbol} is no longer listed"))
            events += self._renames(self._known[symbol], new)
        return events

    def _renames(self, gone: Instrument, new: Sequence[Instrument]) -> list[Event]:
        """The exchange does not say that a symbol was renamed; one that fits makes it likely."""
        fitting = [one for one in new if _steps(one) == _steps(gone)]
        if len(fitting) != 1:
            return []
        (one,) = fitting
        message = f"{gone.symbol} is gone, {one.symbol} is new and like it: probably renamed"
        return [self._event("rename", one.symbol, message)]

    def _event(self, kind: str, symbol: str, message: str) -> Event:
        severity = "warning" if kind in {"halt", "delisting", "relisting"} else "info"
        return Event(
            venue=self._venue, kind=kind, symbol=symbol, severity=severity, message=message
        )


def _assets(one: Instrument) -> str:
    return f"{one.base_asset}/{one.quote_asset}"


def _steps(one: Instrument) -> tuple[object, ...]:
    return one.quote_asset, one.tick_size, one.lot_size, one.min_notional
