"""A query of a panel, a variable, an annotation or an alert, and what must hold for it.

The text is as Grafana keeps it: `${name:sqlstring}` is Grafana's to replace, `$__timeFrom` and
`$__timeTo` (ms since the epoch) the plugin's. `sqlstring` doubles a quote inside a value, as CQL
wants it; the `singlequote` of the plugin's own examples writes a backslash before it.

Time is asked from the end of the range backwards, for three reasons: the past can be looked at as
the present is; the server computes the buckets, so that a viewer's time zone does not matter; and a
range that is wider than the buckets of a query leaves its beginning empty, in sight, where buckets
of both ends would leave a hole in the middle. A panel's own `timeFrom` does none of it: Grafana
ignores it for absolute ranges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["panel", "variable", "annotation", "alert"]
Shape = Literal["series", "table"]


@dataclass(frozen=True)
class Query:
    """CQL and what it is for.

    `series` names the first column: the plugin makes a frame of each of its values. `days` is the
    widest range, back from its end, that the answer must hold whole; 0 where only the newest rows
    are asked. `back` is the first bucket that is read, 0 the one of the range's end. `nulls` are
    columns whose missing values the panel tells from zeros by itself.
    """

    text: str
    series: str
    shape: Shape = "series"
    role: Role = "panel"
    days: float = 0
    back: int = 0
    nulls: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Placed:
    """A query and where it stands: dashboard / panel / letter."""

    where: str
    query: Query


def cql(*parts: str) -> str:
    """One line of CQL from its parts."""
    return " ".join(" ".join(part.split()) for part in parts)


def texts(values: Iterable[str]) -> str:
    """Values as CQL texts, for IN; names of ours, without quotes in them."""
    return ", ".join(f"'{value}'" for value in values)


def buckets(column: str, *widths: str, count: int = 2, now: str = "(timestamp)$__timeTo") -> str:
    """The newest `count` buckets of each width up to the end of the range, oldest first."""
    starts = [bucket(width, back, now=now) for width in widths for back in range(count - 1, -1, -1)]
    return f"{column} IN ({', '.join(starts)})"


def bucket(width: str, back: int = 0, *, now: str = "(timestamp)$__timeTo") -> str:
    """The start of the bucket that is `back` widths before the one that holds the range's end."""
    if back == 0:
        return f"floor({now}, {width})"
    number, unit = re.fullmatch(r"(\d+)(\w+)", width).groups()  # type: ignore[union-attr]  # widths are ours
    return f"floor({now} - {int(number) * back}{unit}, {width})"


def within_range(column: str) -> str:
    """Rows of the dashboard's range."""
    return f"{column} >= $__timeFrom AND {column} <= $__timeTo"


def last(duration: str, column: str) -> str:
    """Rows of this long before the end of the dashboard's range."""
    return f"{column} >= (timestamp)$__timeTo - {duration} AND {column} <= $__timeTo"


_VARIABLE = re.compile(r"\$\{(\w+):sqlstring\}")


def expand(text: str, variables: Mapping[str, str], from_ms: int, to_ms: int) -> str:
    """The statement that Cassandra gets, as Grafana and the plugin would make it.

    KeyError where a variable has no value.
    """

    def quoted(match: re.Match[str]) -> str:
        return "'" + variables[match[1]].replace("'", "''") + "'"

    text = _VARIABLE.sub(quoted, text)
    return text.replace("$__timeFrom", str(from_ms)).replace("$__timeTo", str(to_ms))
