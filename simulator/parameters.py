"""Query parameters, read as strictly as the exchange reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from multidict import MultiMapping

from simulator.errors import ApiError, illegal, invalid, missing
from simulator.intervals import INTERVALS, Interval

_SYMBOL = r"^[\w\-._&&[^a-z]]{1,50}$"  # as the exchange prints it; not a Python pattern
_SYMBOL_CHARACTERS = re.compile(r"^[^\Wa-z]([^\Wa-z]|[-.])*$")
_NUMBER = "^[0-9]{1,20}$"
_LONGEST_SYMBOL = 50
_MICROSECONDS_FROM = 10**14  # a time in ms stays below until the year 5138
STATUSES = ("TRADING", "HALT", "BREAK")


class Parameters:
    """The parameters of one request; what nobody has read in the end is an error."""

    def __init__(self, query: MultiMapping[str]) -> None:
        self._query = query
        self._read: set[str] = set()
        for name in query:
            if len(query.getall(name)) > 1:
                raise ApiError(-1101, f"Duplicate values for parameter '{name}'.")

    def text(self, name: str) -> str | None:
        """A parameter as it was sent, None where it was not."""
        self._read.add(name)
        value = self._query.get(name)
        if value == "":
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
        return value

    def symbol(self) -> str:
        """The mandatory `symbol`."""
        value = self.optional_symbol()
        if value is None:
            raise missing("symbol")
        return value

    def optional_symbol(self) -> str | None:
        """`symbol`, with legal characters only."""
        value = self.text("symbol")
        if value is not None and not _legal(value):
            raise illegal("symbol", _SYMBOL)
        return value

    def symbols(self, name: str = "symbols") -> list[str] | None:
        """A JSON array of names, as in symbols=["BTCUSDT","ETHUSDT"]."""
        value = self.text(name)
        if value is None:
            return None
        pattern = r'^\["[\w\-._&&[^a-z]]{1,50}"(,"[\w\-._&&[^a-z]]{1,50}"){0,}\]$'
        try:
            names = json.loads(value)
        except ValueError as error:
            raise illegal(name, pattern) from error
        if not isinstance(names, list) or not names:
            raise illegal(name, pattern)
        if not all(isinstance(item, str) and _legal(item) for item in names):
            raise illegal(name, pattern)
        if len(set(names)) < len(names):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")
        return names

    def number(self, name: str) -> int | None:
        """A whole number ≥ 0."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,20}", value):
            raise illegal(name, _NUMBER)
        if int(value) >= 1 << 63:
            raise ApiError(-1108, f"Parameter '{name}' overflowed.")
        return int(value)

    def limit(self, default: int, most: int) -> int:
        """`limit`: what is more than `most` is cut to it."""
        value = self.number("limit")
        if value == 0:
            raise invalid("limit")
        return min(default if value is None else value, most)

    def time_us(self, name: str) -> int | None:
        """A time in ms or µs since the epoch, as µs."""
        value = self.number(name)
        if value is None:
            return None
        return value if value >= _MICROSECONDS_FROM else value * 1000

    def interval(self) -> Interval:
        """The mandatory `interval`, case-sensitive."""
        value = self.text("interval")
        if value is None:
            raise missing("interval")
        if value not in INTERVALS:
            raise ApiError(-1120, "Invalid interval.")
        return INTERVALS[value]

    def shift(self) -> int:
        """`timeZone` in minutes east of UTC: −12:00 … +14:00."""
        value = self.text("timeZone")
        if value is None:
            return 0
        found = re.fullmatch(r"([+-]?)(\d{1,2})(?::([0-5]\d))?", value)
        if found is None:
            raise invalid("timeZone")
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        minutes = -minutes if found[1] == "-" else minutes
        if not -12 * 60 <= minutes <= 14 * 60:
            raise invalid("timeZone")
        return minutes

    def choice(self, name: str, values: Collection[str], error: ApiError) -> str | None:
        """One of the values, or the error."""
        value = self.text(name)
        if value is not None and value not in values:
            raise error
        return value

    def status(self) -> str | None:
        """`symbolStatus`."""
        return self.choice("symbolStatus", STATUSES, ApiError(-1122, "Invalid symbolStatus."))

    def finish(self) -> None:
        """Refuse parameters that the endpoint does not know."""
        sent = len(self._query)
        read = len(self._read & set(self._query))
        if sent == read:
            return
        if not self._read:
            raise ApiError(-1101, f"Too many parameters; expected '0' and received '{sent}'.")
        raise ApiError(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.",
        )


def _legal(symbol: str) -> bool:
    return len(symbol) <= _LONGEST_SYMBOL and bool(_SYMBOL_CHARACTERS.match(symbol))
