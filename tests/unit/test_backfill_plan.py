"""The cheapest mix: what is worth a file, what is done already, and the arithmetic shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.backfill.plan import (
    BYTES_A_S,
    ROWS_A_S,
    Piece,
    Prefer,
    SymbolPlan,
    Tariff,
    cheapest,
    joined,
    not_stored,
    seconds,
)
from ingest.backfill.survey import Survey
from ingest.binance.archive_files import ArchiveFile, of_day, of_month
from ingest.errors import Unreachable
from ingest.span import Grid, Span, in_ms

MINUTE, DAY = 60_000, 86_400_000
KLINES = Tariff(page_weight=2, weight_a_s=80)
TRADES = Tariff(page_weight=25, weight_a_s=80)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def ms(month: int, day: int, hour: int = 0) -> int:
    return in_ms(datetime(2026, month, day, hour, tzinfo=UTC))


class Files:
    """An archive that has these files, by path; it counts questions."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.asked: list[str] = []

    async def size(self, path: str) -> int | None:
        self.asked.append(path)
        return self.sizes.get(path)


class Silent:
    """An archive that nobody reaches."""

    async def size(self, path: str) -> int | None:
        raise Unreachable("https://archive", path)


class Clock:
    """What a survey asks for the time."""

    venue = "simulator"

    def now(self) -> datetime:
        return NOW


def mix(
    archive: object,
    stream: str,
    span: Span,
    tariff: Tariff,
    rows_a_day: int,
    prefer: Prefer = "auto",
) -> list[tuple[int, int, str]]:
    """(start, end, file or rest) of the pieces that a span is cut into."""
    survey = Survey(Clock(), None, archive, prefer=prefer, file_limit_mb=100)  # type: ignore[arg-type]

    def rows_in(part: Span) -> int:
        return (part.end - part.start) * rows_a_day // DAY

    pieces = joined(asyncio.run(survey._mix(("X", stream), span, rows_in, tariff)))
    return [(p.span.start, p.span.end, p.file.path if p.file else "rest") for p in pieces]


def month(stream: str, number: int) -> str:
    return of_month("X", stream, Span(ms(number, 1), ms(number, 2))).path


def day(stream: str, number: int, of: int) -> str:
    return of_day("X", stream, Span(ms(number, of), ms(number, of) + DAY)).path


def test_whole_months_of_minutes_are_files_and_the_rest_is_pages() -> None:
    """A month's file costs half a second, its 45 pages a second; a day's two pages cost less."""
    files = Files({month("klines_1m", n): 2_000_000 for n in (1, 2)})
    span = Span(ms(1, 1), ms(3, 10, 12))
    assert mix(files, "klines_1m", span, KLINES, 1440) == [
        (ms(1, 1), ms(2, 1), month("klines_1m", 1)),
        (ms(2, 1), ms(3, 1), month("klines_1m", 2)),
        (ms(3, 1), ms(3, 10, 12), "rest"),
    ]
    assert files.asked == [month("klines_1m", 1), month("klines_1m", 2)]


def test_nobody_asks_for_files_of_hours() -> None:
    """A page of REST holds six weeks of them."""
    files = Files({month("klines_1h", n): 30_000 for n in (1, 2)})
    span = Span(ms(1, 1), ms(3, 1))
    assert mix(files, "klines_1h", span, KLINES, 24) == [(span.start, span.end, "rest")]
    assert files.asked == []


def test_days_stand_in_for_a_month_that_is_not_published_yet() -> None:
    """And pages for a day that is not; the day that is not over is asked for by nobody."""
    files = Files({day("trades", 3, n): 20_000_000 for n in (1, 2)})
    span = Span(ms(3, 1), ms(3, 10, 12))
    found = mix(files, "trades", span, TRADES, 700_000)
    assert [each[2] for each in found] == [day("trades", 3, 1), day("trades", 3, 2), "rest"]
    assert found[-1][:2] == (ms(3, 3), ms(3, 10, 12))
    assert day("trades", 3, 10) not in files.asked


def test_days_are_taken_where_a_month_is_too_long_a_file() -> None:
    """A gigabyte would have to begin anew after each interruption."""
    sizes = {month("trades", 1): 101 * 1024 * 1024}
    sizes |= {day("trades", 1, n): 3_000_000 for n in range(1, 32)}
    found = mix(Files(sizes), "trades", Span(ms(1, 1), ms(2, 1)), TRADES, 700_000)
    assert [each[2] for each in found] == [day("trades", 1, n) for n in range(1, 32)]


def test_a_month_is_not_downloaded_for_one_day_of_it() -> None:
    """Nor a day's file for a symbol that hardly trades."""
    sizes = {month("trades", 1): 60_000_000, day("trades", 1, 5): 2_000_000}
    one_day = Span(ms(1, 5), ms(1, 6))
    found = mix(Files(sizes), "trades", one_day, TRADES, 100_000)
    assert [each[2] for each in found] == [day("trades", 1, 5)]
    assert [each[2] for each in mix(Files(sizes), "trades", one_day, TRADES, 300)] == ["rest"]


def test_a_person_may_prefer_pages() -> None:
    """Whatever they cost."""
    span, files = Span(ms(1, 1), ms(2, 1)), Files({month("trades", 1): 60_000_000})
    assert mix(files, "trades", span, TRADES, 700_000, "rest") == [(span.start, span.end, "rest")]
    assert files.asked == []


def test_a_person_may_prefer_files() -> None:
    """Those of days, where a day is wanted; where there is none, the month's; else pages."""
    one_day = Span(ms(1, 5), ms(1, 6))
    sizes = {month("trades", 1): 60_000_000, day("trades", 1, 5): 200}

    def source(files: dict[str, int]) -> str:
        return mix(Files(files), "trades", one_day, TRADES, 10, "archive")[0][2]

    assert source(sizes) == day("trades", 1, 5)
    assert source({month("trades", 1): 60_000_000}) == month("trades", 1)
    assert source({}) == "rest"


def test_an_archive_that_is_away_costs_weight_not_the_backfill() -> None:
    """Unless a person insists on it."""
    span = Span(ms(1, 1), ms(2, 1))
    assert mix(Silent(), "trades", span, TRADES, 700_000) == [(span.start, span.end, "rest")]
    with pytest.raises(Unreachable):
        mix(Silent(), "trades", span, TRADES, 700_000, "archive")


spans = st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda s: Span(s[0], s[0] + s[1]))


@given(spans, st.lists(spans))
def test_what_is_not_stored_is_exactly_the_rest(wanted: Span, stored: list[Span]) -> None:
    """Whatever overlaps what; in order, and without neighbours that touch."""
    rest = not_stored(wanted, stored)
    points = {t for span in stored for t in range(span.start, span.end)}
    assert [t for span in rest for t in range(span.start, span.end)] == [
        t for t in range(wanted.start, wanted.end) if t not in points
    ]
    assert all(a.end < b.start for a, b in pairwise(rest))


def test_cost_is_what_the_pieces_need() -> None:
    """Pages of 1000 rows, two requests a file; of line, weight and PostgreSQL the slowest."""
    span = Span(ms(1, 1), ms(3, 1))
    pieces = (
        Piece(Span(ms(1, 1), ms(2, 1)), 44_640, ArchiveFile("a.zip", span), 40 * BYTES_A_S),
        Piece(Span(ms(2, 1), ms(3, 1)), 40_320),
    )
    plan = SymbolPlan(
        symbol="X", stream="klines_1m", span=span, rows=84_960, pieces=pieces, tariff=KLINES,
        grid=Grid("1m", 0),
    )  # fmt: skip
    cost = plan.cost
    assert (cost.weight, cost.requests, cost.bytes) == (82, 43, 40 * BYTES_A_S)
    assert cost.rows == 84_960
    assert seconds([plan]) == pytest.approx(40.3)
    assert seconds([plan] * 3) == pytest.approx(3 * 40.3)
    many = SymbolPlan(
        symbol="X", stream="klines_1m", span=span, rows=10**6, pieces=(Piece(span, 10**6),),
        tariff=KLINES,
    )  # fmt: skip
    assert seconds([many]) == pytest.approx(10**6 / ROWS_A_S)


@given(st.integers(0, 10**7), st.integers(0, 10**9))
def test_the_cheaper_one_is_cheaper(rows: int, size: int) -> None:
    """By the seconds that each takes of its own source."""
    rest = Piece(Span(0, DAY), rows)
    file = Piece(Span(0, DAY), rows, ArchiveFile("a.zip", Span(0, DAY)), size)
    (chosen,) = cheapest([[rest], [file]], TRADES)
    assert chosen.seconds(TRADES) == min(file.seconds(TRADES), rest.seconds(TRADES))
