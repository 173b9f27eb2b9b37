"""Faults by script: which requests go wrong, and how.

A script is JSON, {"rules": [rule, …]}; a rule says whom it meets and what it does to them:

    {"path": "/api/v3/klines", "symbol": "BTCUSDT", "skip": 2, "count": 3,
     "from_s": 0, "until_s": 60, "probability": 1.0,
     "action": {"do": "limit", "status": 429, "retry_after_s": 5}}

Everything but `action` may be left out. The archive's files (simulator.archive) are met by
"/data/*"; what spoils rows there makes an earlier issue of the file, whose checksum is right, so
that without the rule it is published anew. The first rule that meets a request acts; a `delay` lets
the following rules act too. Times count from when the rule was loaded.
"""

from __future__ import annotations

import fnmatch
import random
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from simulator.errors import ScriptError

Row: TypeAlias = int | Literal["all"]


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """What happens to a request."""


class Limit(Action, frozen=True, tag="limit"):
    """Refuse the address: 429 (too many) or 418 (banned) with Retry-After, and mean it."""

    status: Literal[429, 418] = 429
    retry_after_s: int = 5


class Page(Action, frozen=True, tag="page"):
    """Answer something else: see simulator.pages for the names. `status` overrides the page's."""

    name: str
    status: int | None = None


class Delay(Action, frozen=True, tag="delay"):
    """Answer late."""

    seconds: float


class Drop(Action, frozen=True, tag="drop"):
    """Close the connection without an answer."""


class Cut(Action, frozen=True, tag="cut"):
    """Send a share of the body: then close the connection, or claim that this was all.

    `gzip`: of the compressed body, whose Content-Encoding says so.
    """

    share: float = 0.5
    close: bool = True
    gzip: bool = False


class Replace(Action, frozen=True, tag="replace"):
    """Put a value into a field (a name, or the place in a kline) of a row or of those `where`.

    `bare` writes a string unquoted, so that NaN and Infinity come as no JSON value.
    """

    field: str | int
    value: str | int | float | bool | None
    row: Row = 0
    where: dict[str, str | int] = {}
    bare: bool = False


class Rescale(Action, frozen=True, tag="rescale"):
    """Times in a wrong unit: whole numbers from 10^12 on are multiplied."""

    factor: float = 1000.0


class Omit(Action, frozen=True, tag="omit"):
    """Leave a field out."""

    field: str | int
    row: Row = 0


class Duplicate(Action, frozen=True, tag="duplicate"):
    """Say every row `times` times."""

    times: int = 2


class Reverse(Action, frozen=True, tag="reverse"):
    """Rows, or frames of a stream that go out together, in the wrong order."""


class Hide(Action, frozen=True, tag="hide"):
    """Leave out rows whose field is between first and last: ids that the exchange lost."""

    first: int
    last: int
    field: str | int = "id"


class HoldBack(Action, frozen=True, tag="hold_back"):
    """Send events of a stream after those that come next: frames out of order."""


class HangUp(Action, frozen=True, tag="hang_up"):
    """Close a stream's connection after a while; `notice`: after a serverShutdown event.

    The event is said after `after_s`, and the end comes `notice_s` later.
    """

    after_s: float = 0.0
    notice: bool = False
    notice_s: float = 0.0


class Silence(Action, frozen=True, tag="silence"):
    """A half-open stream: from some time on nothing arrives, and nothing is closed."""

    after_s: float = 0.0


class WrongChecksum(Action, frozen=True, tag="wrong_checksum"):
    """A CHECKSUM file of the archive that is not of its zip file."""


class Header(Action, frozen=True, tag="header"):
    """A file of the archive whose first line names the columns."""


Corruption: TypeAlias = Replace | Rescale | Omit | Duplicate | Reverse | Hide
AnyAction: TypeAlias = (
    Limit
    | Page
    | Delay
    | Drop
    | Cut
    | Corruption
    | HoldBack
    | HangUp
    | Silence
    | WrongChecksum
    | Header
)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a fault meets, and the fault. `path` may hold * and ?."""

    action: AnyAction
    id: str = ""
    path: str = "/api/*"
    symbol: str | None = None
    skip: int = 0
    count: int | None = None
    from_s: float = 0.0
    until_s: float | None = None
    probability: float = 1.0


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    rules: list[Rule]


@dataclass(slots=True)
class _Armed:
    """A rule at work."""

    rule: Rule
    since_s: float
    chance: random.Random
    met: int = 0
    acted: int = 0


@dataclass(slots=True)
class Script:
    """The rules at work. Times are given by the caller, in seconds."""

    _armed: list[_Armed] = field(default_factory=list)
    _loaded: int = 0

    def load(self, text: bytes | str, now_s: float) -> list[str]:
        """Add the rules of a script; their ids. ScriptError says what is wrong with it."""
        try:
            rules = msgspec.json.decode(text, type=_Script).rules
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ScriptError(f"the fault script cannot be used: {error}") from error
        for rule in rules:
            self._loaded += 1
            named = msgspec.structs.replace(rule, id=rule.id or f"fault-{self._loaded}")
            self._armed.append(_Armed(named, now_s, random.Random(named.id)))
        return [armed.rule.id for armed in self._armed[-len(rules) :]] if rules else []

    def rules(self) -> list[Rule]:
        """The rules in the order in which they are tried."""
        return [armed.rule for armed in self._armed]

    def clear(self) -> None:
        """Take all rules away."""
        self._armed.clear()

    def meet(self, path: str, symbol: str | None, now_s: float) -> list[Rule]:
        """The rules that act on a request: delays, then at most one other. Counts them."""
        acting: list[Rule] = []
        for armed in self._armed:
            if not _meets(armed, path, symbol, now_s):
                continue
            armed.met += 1
            if armed.met <= armed.rule.skip or armed.chance.random() >= armed.rule.probability:
                continue
            armed.acted += 1
            acting.append(armed.rule)
            if not isinstance(armed.rule.action, Delay):
                break
        return acting

    def state(self) -> list[dict[str, object]]:
        """Every rule with how many requests it met and acted on."""
        return [
            {"rule": msgspec.to_builtins(each.rule), "met": each.met, "acted": each.acted}
            for each in self._armed
        ]


def _meets(armed: _Armed, path: str, symbol: str | None, now_s: float) -> bool:
    rule = armed.rule
    age_s = now_s - armed.since_s
    return (
        fnmatch.fnmatchcase(path, rule.path)
        and (rule.symbol is None or rule.symbol == symbol)
        and (rule.count is None or armed.acted < rule.count)
        and age_s >= rule.from_s
        and (rule.until_s is None or age_s < rule.until_s)
    )
