"""The unrolled packer: what is usual goes through it, and no row comes out of it as other bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import Poison
from cdc.mapping import Field, Kind, Route
from cdc.routes import ROUTES
from cdc.sink import decoder
from cdc.sink.encoder import RouteEncoder
from cdc.sink.unrolled import UNUSUAL, unrolled

PLACEHOLDER = "__unchanged_0123456789abcdef__"
HEAD, TAIL = b"<head>", b"<tail>"
ENCODERS = {route.table: RouteEncoder(route, PLACEHOLDER) for route in ROUTES}
PACKERS = {route.table: unrolled(route, PLACEHOLDER) for route in ROUTES}
ROWS = {route.table: decoder.row_type(route.source) for route in ROUTES}

epoch = datetime(1970, 1, 1, tzinfo=UTC)
usual_time = st.integers(0, 2**52).map(
    lambda us: f"{epoch + timedelta(microseconds=us):%Y-%m-%dT%H:%M:%S.%f}Z"
)
USUAL: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: st.text(st.characters(codec="utf-8"), max_size=12),
    Kind.JSONB: st.just('[["1.0","2.0"]]'),
    Kind.BIGINT: st.integers(-(2**63), 2**63 - 1),
    Kind.INT: st.integers(-(2**31), 2**31 - 1),
    Kind.BOOLEAN: st.booleans(),
    Kind.DECIMAL: st.decimals(-(10**19), 10**19, places=18).map(lambda number: f"{number:f}"),
    Kind.TIMESTAMP: usual_time,
}
ODD: dict[Kind, st.SearchStrategy[Any]] = USUAL | {
    Kind.TEXT: st.sampled_from(["", "\ud800", PLACEHOLDER, "é"]),
    Kind.JSONB: st.sampled_from([PLACEHOLDER, "[]"]),
    Kind.BIGINT: st.sampled_from([2**63, -(2**63) - 1, 2**80, 0]),
    Kind.INT: st.sampled_from([2**31, -(2**31) - 1, 7]),
    Kind.DECIMAL: st.sampled_from(
        ["NAN", "infinity", "1E-18", "", "-0.00", "1_0", PLACEHOLDER, "9" * 60]
    ),
    Kind.TIMESTAMP: st.sampled_from(
        [
            "2026-11-20T21:40:21.123456+02:00",
            "2026-11-20T23:40:21.123456789Z",
            "2026-11-20T23:40:21Z",
            "2026-11-20T23:40Z",
            "2026-11-20T23:40:21.1234Z  ",
            "2026-13-20T23:40:21.123456Z",
            "1969-12-31T23:59:59.999999Z",
            "0026-11-20T23:40:21.123456Z",
            "+292278994-08-17T07:12:55.807Z",
            "+12026-11-20T21:40:21.1234Z",
            "-0044-03-15T12:00:00.000000Z",
            "",
            "no time",
            PLACEHOLDER,
        ]
    ),
}  # fmt: skip
INTERVALS = ["1s", "1m", "1h", "1d", "1M", "7m"]


def rows(route: Route, *, odd: bool) -> st.SearchStrategy[Any]:
    """Rows of a route's source, as the decoder gives them."""
    kinds = ODD if odd else USUAL

    def values(field: Field) -> st.SearchStrategy[Any]:
        if field.name == "interval":
            return st.sampled_from(INTERVALS if odd else INTERVALS[:-1])
        chosen = kinds[field.kind]
        return chosen if field.name in route.source.key else st.none() | chosen

    fields = {field.name: values(field) for field in route.source.fields}
    return st.fixed_dictionaries(fields).map(lambda row: ROWS[route.table](**row))


# made once: to make a strategy takes far longer than to draw from it
USUAL_ROWS = {route.table: rows(route, odd=False) for route in ROUTES}
ODD_ROWS = {route.table: rows(route, odd=True) for route in ROUTES}
SOME_USUAL = {table: st.lists(row, min_size=1, max_size=4) for table, row in USUAL_ROWS.items()}
SOME_ODD = {table: st.lists(row, min_size=1, max_size=4) for table, row in ODD_ROWS.items()}


def column_by_column(route: Route, row: Any) -> tuple[bytes, bytes, bytes]:
    partition, clustering, rest, _partial = ENCODERS[route.table].pack(row)
    return partition, clustering, b"".join((HEAD, partition, clustering, rest, TAIL))


def outcome(pack: Callable[[], Any]) -> Any:
    """What is packed, or why nothing is."""
    try:
        return pack()
    except Poison as error:
        return type(error), str(error), error.path


every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)


@every_route
@given(data=st.data())
def test_a_usual_row_takes_the_fast_way_to_the_same_bytes(
    route: Route, data: st.DataObject
) -> None:
    """Nulls too, and values at the ends of their types."""
    for row in data.draw(SOME_USUAL[route.table]):
        assert PACKERS[route.table](row, HEAD, TAIL) == column_by_column(route, row)


@every_route
@given(data=st.data())
def test_an_odd_row_is_packed_column_by_column_or_refused(
    route: Route, data: st.DataObject
) -> None:
    """Never other bytes: what the fast way cannot do, it says."""
    for row in data.draw(SOME_ODD[route.table]):
        try:
            quick = PACKERS[route.table](row, HEAD, TAIL)
        except UNUSUAL:
            continue
        assert quick == column_by_column(route, row)


@every_route
@given(data=st.data())
def test_an_odd_row_is_judged_by_the_general_way(route: Route, data: st.DataObject) -> None:
    """The statement, or the Poison with the path of what is wrong, as that says it."""
    row = data.draw(ODD_ROWS[route.table])
    encoder = ENCODERS[route.table]
    assert outcome(lambda: encoder.statement(row, HEAD, TAIL)[:3]) == outcome(
        lambda: column_by_column(route, row)
    )


def test_a_memo_of_partitions_never_confuses_two_intervals() -> None:
    """The same symbol and day, in buckets of a day, a month and ten years."""
    (route,) = (each for each in ROUTES if each.table == "klines")
    blank = dict.fromkeys((field.name for field in route.source.fields), None)
    found = set()
    for interval in INTERVALS[:-1]:
        row = ROWS["klines"](
            **blank
            | {"venue": "v", "symbol": "S", "interval": interval}
            | {"open_time": "2026-11-20T21:40:21.000000Z"}
        )
        quick = PACKERS["klines"](row, HEAD, TAIL)
        assert quick == column_by_column(route, row)
        found.add(quick[0])
    assert len(found) == len(INTERVALS) - 1
