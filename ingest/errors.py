"""The errors of ingestion.

    IngestError
    ├── ExchangeError                 the other side
    │   ├── Unreachable      retryable   no whole answer: refused, timed out, dropped, 5xx, −1007
    │   ├── BadAnswer        retryable   an answer that is not what the endpoint promises
    │   ├── Banned           retryable   429, 418 or 403: silence until `until`
    │   ├── WeightExhausted  retryable   this minute's share of the weight is spent
    │   ├── QuotaSpent       retryable   a source's calls of this month are spent
    │   ├── RegionRefused    fatal       451 from every host
    │   ├── BadRequest       poison      the exchange refuses this very request (4xx, code)
    │   ├── ArchiveRefused   poison      a file of the archive that cannot be trusted or read
    │   └── UnknownSymbol    fatal       not in exchangeInfo
    ├── ScheduleTooHeavy     fatal       a limit or a plan cannot carry the settings
    ├── BadRange             fatal       a backfill's interval or dates make no sense
    └── StoreError                    our side
        ├── StoreUnavailable retryable   PostgreSQL is away, restarting or out of connections
        ├── StoreRefused     fatal       wrong password, missing table or right
        └── RowsRefused      poison      PostgreSQL refuses what these rows hold

`retryable`: the same call may succeed later. `poison`: this piece never will, the next one may.
`fatal`: nothing will until a person changes something; the message says what.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from contracts.market import Rejected

Severity = Literal["retryable", "poison", "fatal"]


class IngestError(Exception):
    """Base of all errors of this stage."""

    severity: ClassVar[Severity] = "fatal"

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.severity == "retryable"


class ExchangeError(IngestError):
    """Something about the exchange or its answer."""


class Unreachable(ExchangeError):
    """No whole answer came; asking again is harmless because every request is a GET."""

    severity = "retryable"

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host} gave no answer: {reason}")
        self.host = host
        self.reason = reason


class BadAnswer(ExchangeError):
    """An answer that cannot be read as a whole; `rejected` is its evidence for quarantine."""

    severity = "retryable"

    def __init__(self, endpoint: str, reason: str, rejected: Rejected | None = None) -> None:
        super().__init__(f"{endpoint}: {reason}")
        self.endpoint = endpoint
        self.reason = reason
        self.rejected = rejected


class Banned(ExchangeError):
    """The exchange wants silence until `until` (UTC)."""

    severity = "retryable"

    def __init__(self, status: int, until: datetime) -> None:
        super().__init__(
            f"the exchange answered {status}: no request until {until:%Y-%m-%d %H:%M:%S} UTC"
        )
        self.status = status
        self.until = until


class WeightExhausted(ExchangeError):
    """The share of this minute's weight is spent; `wait_s` seconds until it is not."""

    severity = "retryable"

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the request weight of this minute is spent; free in {wait_s:.1f} s")
        self.wait_s = wait_s


class QuotaSpent(ExchangeError):
    """All calls of a plan's month are spent; the next begins at `until` (UTC)."""

    severity = "retryable"

    def __init__(self, calls_a_month: int, until: datetime) -> None:
        super().__init__(
            f"all {calls_a_month} calls of this month are spent; "
            f"the next begins at {until:%Y-%m-%d %H:%M} UTC"
        )
        self.until = until


class RegionRefused(ExchangeError):
    """Every host refuses the place of this machine (451)."""

    def __init__(self, hosts: list[str]) -> None:
        super().__init__(
            f"the exchange refuses this machine's location (451 from {', '.join(hosts)}); "
            "run from another place, name other hosts in TIDEMARK_BINANCE_HOSTS, "
            "or use TIDEMARK_EXCHANGE=simulator"
        )
        self.hosts = hosts


class BadRequest(ExchangeError):
    """The exchange refuses this request; asking again gives the same answer."""

    severity = "poison"

    def __init__(self, endpoint: str, status: int, code: int, message: str) -> None:
        super().__init__(f"{endpoint}: the exchange refuses it ({status}, code {code}: {message})")
        self.endpoint = endpoint
        self.status = status
        self.code = code


class ArchiveRefused(ExchangeError):
    """A file of the archive that is not what its checksum or its name promises."""

    severity = "poison"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}. It is not taken: try again when it has been published anew, or "
            "take the exchange's REST pages (--source rest)"
        )
        self.path = path


class UnknownSymbol(ExchangeError):
    """Symbols that exchangeInfo does not list."""

    def __init__(self, venue: str, symbols: list[str]) -> None:
        names = ", ".join(symbols)
        noun = "symbol" if len(symbols) == 1 else "symbols"
        super().__init__(
            f"unknown {noun} on {venue}: {names} (names are as in exchangeInfo, e.g. BTCUSDT)"
        )
        self.symbols = symbols


class ScheduleTooHeavy(IngestError):
    """The schedule needs more than a limit allows: weight a minute, or calls of a plan."""


class BadRange(IngestError):
    """A backfill that cannot be planned: its interval or its dates are wrong."""


class StoreError(IngestError):
    """Something about PostgreSQL."""


class StoreUnavailable(StoreError):
    """PostgreSQL cannot be reached now."""

    severity = "retryable"


class StoreRefused(StoreError):
    """PostgreSQL is there and refuses us: password, right, or a schema that is not migrated."""


class RowsRefused(StoreError):
    """PostgreSQL refuses the rows themselves (a value out of range)."""

    severity = "poison"
