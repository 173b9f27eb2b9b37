"""What loading a span costs from either source, and which mix of them is the cheapest. Pure.

Costs are compared in seconds: of weight, which one address has only so much of a minute, or of
bytes and round trips, which cost no weight. What is assumed of the line is said in `Tariff`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import msgspec

from ingest.binance.archive_files import ArchiveFile
from ingest.binance.endpoints import PAGE
from ingest.span import Grid, Span

Prefer = Literal["auto", "rest", "archive"]
"""The cheapest mix; REST alone; files wherever there is one, and REST for the rest."""

FILE_S: Final = 0.3  # two requests of a file: its checksum and itself
REQUESTS_A_FILE: Final = 2
BYTES_A_S: Final = 8_000_000
_DISLIKED_WEIGHT_A_S: Final = 1e-6
ROWS_A_S: Final = 10_000  # into PostgreSQL while everything runs, as measured (docs/benchmarks.md)


class Tariff(msgspec.Struct, frozen=True):
    """What REST costs: a page of PAGE rows weighs `page_weight`, `weight_a_s` may be spent."""

    page_weight: int
    weight_a_s: float

    def disliked(self) -> Tariff:
        """The same, so dear that any file is cheaper."""
        return Tariff(self.page_weight, _DISLIKED_WEIGHT_A_S)

    def rest_s(self, rows: int) -> float:
        """Seconds of weight; pages are counted in parts, for neighbours share them."""
        return rows / PAGE * self.page_weight / self.weight_a_s


class Cost(msgspec.Struct, frozen=True):
    """`bytes` are those of archive files; `rows` those that PostgreSQL gets."""

    weight: int = 0
    requests: int = 0
    bytes: int = 0
    rows: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.weight + other.weight,
            self.requests + other.requests,
            self.bytes + other.bytes,
            self.rows + other.rows,
        )


class Piece(msgspec.Struct, frozen=True):
    """A span that comes from one source: a file of `size` bytes, or REST. `rows`: about so many."""

    span: Span
    rows: int
    file: ArchiveFile | None = None
    size: int = 0

    def seconds(self, tariff: Tariff) -> float:
        """What it takes of the source that it comes from."""
        if self.file is None:
            return tariff.rest_s(self.rows)
        return FILE_S + self.size / BYTES_A_S

    def cost(self, tariff: Tariff) -> Cost:
        """As the plan shows it."""
        if self.file is not None:
            return Cost(requests=REQUESTS_A_FILE, bytes=self.size, rows=self.rows)
        pages = -(-self.rows // PAGE)
        return Cost(weight=pages * tariff.page_weight, requests=pages, rows=self.rows)


class SymbolPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be loaded of a symbol's stream.

    `span`: what of the wanted time exists; `pieces` are what of it is not stored yet, by rising
    time; `rows`: about how many the span has; `grid`: the open times of candles; `reissued`: paths
    of files that were loaded, and have been published anew since; `certifying`: what proves that
    the pieces are whole; `failure`: why there is no plan.
    """

    symbol: str
    stream: str
    span: Span
    rows: int
    pieces: tuple[Piece, ...]
    tariff: Tariff
    grid: Grid | None = None
    reissued: tuple[str, ...] = ()
    certifying: Cost = Cost()
    failure: str = ""

    @property
    def cost(self) -> Cost:
        """Of all pieces, and of what proves that they are whole."""
        return sum((piece.cost(self.tariff) for piece in self.pieces), self.certifying)


def seconds(plans: Sequence[SymbolPlan]) -> float:
    """About how long they take together: weight, line and PostgreSQL are used side by side."""
    weight_s = sum(plan.cost.weight / plan.tariff.weight_a_s for plan in plans)
    line_s = sum(
        piece.seconds(plan.tariff) for plan in plans for piece in plan.pieces if piece.file
    )
    return max(weight_s, line_s, sum(plan.cost.rows for plan in plans) / ROWS_A_S)


def not_stored(wanted: Span, stored: Iterable[Span]) -> list[Span]:
    """What of a span is in none of the others."""
    rest: list[Span] = []
    start = wanted.start
    for span in sorted(stored, key=lambda each: each.start):
        if span.start == span.end:
            continue
        if span.start > start:
            rest.append(Span(start, min(span.start, wanted.end)))
        start = max(start, span.end)
        if start >= wanted.end:
            return rest
    return [*rest, Span(start, wanted.end)] if start < wanted.end else rest


def worth_a_file(rows: int, tariff: Tariff) -> bool:
    """Whether any file could be cheaper than REST for so many rows."""
    return tariff.rest_s(rows) > FILE_S


def month_wins(month: Piece, days: Sequence[Piece], whole_month_days: int, tariff: Tariff) -> bool:
    """Whether a month's file is cheaper than any mix of its days could be.

    `days` are by REST; what their files would cost is guessed from the month's.
    """
    file_s = FILE_S + month.size / whole_month_days / BYTES_A_S
    return month.seconds(tariff) <= sum(min(file_s, day.seconds(tariff)) for day in days)


def cheapest(options: Iterable[Sequence[Piece]], tariff: Tariff) -> Sequence[Piece]:
    """The option that takes the fewest seconds; of equal ones the first."""
    return min(options, key=lambda pieces: sum(piece.seconds(tariff) for piece in pieces))


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Neighbours from REST as one piece."""
    result: list[Piece] = []
    for piece in pieces:
        last = result[-1] if result else None
        if last and not last.file and not piece.file and last.span.end == piece.span.start:
            whole = Span(last.span.start, piece.span.end)
            result[-1] = Piece(whole, last.rows + piece.rows)
        else:
            result.append(piece)
    return tuple(result)


RowsIn = Callable[[Span], int]
"""About how many rows a span has."""
