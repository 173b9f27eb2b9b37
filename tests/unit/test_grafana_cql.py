"""The parser of panels' SELECT statements, and what Grafana and the plugin make of a query."""

from __future__ import annotations

import re

import pytest

from grafana import cql
from grafana.errors import Unparsable
from grafana.query import bucket, buckets, expand
from grafana.statement import (
    Arithmetic,
    Call,
    Cast,
    Column,
    Literal,
    Macro,
    Relation,
    Select,
    Selected,
    Variable,
)

FROM_MS, TO_MS = 1_795_130_000_000, 1_795_132_800_000


def test_every_part_of_a_statement_is_understood() -> None:
    """Columns, conditions, groups, order and limits, each where it belongs."""
    parsed = cql.parse(
        "select (text)'it''s' as id, Price, max(a - b * 2) AS \"Most\" FROM t "
        "WHERE v = ${v:sqlstring} AND d IN (floor((timestamp)$__timeTo - 1d, 1d)) "
        "AND at >= 5 GROUP BY v, floor(at, 5m) "
        "ORDER BY at DESC PER PARTITION LIMIT 3 LIMIT 4 ALLOW FILTERING"
    )
    end = Cast("timestamp", Macro("timeTo"), hint=True)
    day = Call(
        "floor",
        (Arithmetic("-", end, Literal("duration", "1d")), Literal("duration", "1d")),
    )
    twice = Arithmetic("*", Column("b"), Literal("integer", "2"))
    assert parsed == Select(
        columns=(
            Selected(Cast("text", Literal("text", "it's"), hint=True), "id"),
            Selected(Column("price"), "price"),
            Selected(Call("max", (Arithmetic("-", Column("a"), twice),)), "Most"),
        ),
        table="t",
        where=(
            Relation("v", "=", (Variable("v", "sqlstring"),)),
            Relation("d", "IN", (day,)),
            Relation("at", ">=", (Literal("integer", "5"),)),
        ),
        group_by=(Column("v"), Call("floor", (Column("at"), Literal("duration", "5m")))),
        order_by=(("at", True),),
        per_partition_limit=3,
        limit=4,
        allow_filtering=True,
    )


def test_subtraction_is_done_from_the_left_and_brackets_before() -> None:
    """A - b - c is (a - b) - c; brackets change it."""
    left = cql.parse("SELECT a - b - c FROM t").columns[0].value
    right = cql.parse("SELECT a - (b - c) FROM t").columns[0].value
    a, b, c = (Column(name) for name in "abc")
    assert left == Arithmetic("-", Arithmetic("-", a, b), c)
    assert right == Arithmetic("-", a, Arithmetic("-", b, c))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("UPDATE t SET a = 1", 0),
        ("SELECT a FROM t; DROP TABLE t", 15),
        ("SELECT a FROM t WHERE b LIKE 'x'", 24),
        ("SELECT a FROM t WHERE b = 'x' OR c = 'y'", 30),
        ("SELECT a FROM t LIMIT", 21),
        ("SELECT a FROM t WHERE b = 'x", 26),
        ("SELECT a,, b FROM t", 9),
        ("SELECT * FROM t", 7),
    ],
)
def test_what_is_not_known_is_refused_where_it_stands(text: str, at: int) -> None:
    """Nothing is skipped: a rule that cannot see a part of a query cannot judge it."""
    with pytest.raises(Unparsable) as refused:
        cql.parse(text)
    assert refused.value.at == at


def test_buckets_reach_back_from_the_end_of_the_range() -> None:
    """Oldest first, each computed by the server."""
    assert buckets("hour", "1h", count=3) == (
        "hour IN (floor((timestamp)$__timeTo - 2h, 1h), floor((timestamp)$__timeTo - 1h, 1h), "
        "floor((timestamp)$__timeTo, 1h))"
    )
    assert bucket("10y", 2) == "floor((timestamp)$__timeTo - 20y, 10y)"


def test_a_query_is_expanded_as_the_server_gets_it() -> None:
    """Values are quoted, quotes in them doubled, times are ms."""
    text = "SELECT a FROM t WHERE s = ${s:sqlstring} AND at >= $__timeFrom AND at <= $__timeTo"
    assert expand(text, {"s": "B'TC"}, FROM_MS, TO_MS) == (
        f"SELECT a FROM t WHERE s = 'B''TC' AND at >= {FROM_MS} AND at <= {TO_MS}"
    )


def test_an_injected_quote_stays_a_value() -> None:
    """What would end the string is one value that no row has."""
    text = "SELECT a FROM t WHERE s = ${s:sqlstring}"
    attack = "BTC' OR '1'='1"
    parsed = cql.parse(expand(text, {"s": attack}, FROM_MS, TO_MS))
    assert parsed.where == (Relation("s", "=", (Literal("text", attack),)),)


def test_a_variable_without_a_value_is_an_error() -> None:
    """Not an empty text, which would be a question that nobody asked."""
    with pytest.raises(KeyError, match=re.escape("s")):
        expand("SELECT a FROM t WHERE s = ${s:sqlstring}", {}, FROM_MS, TO_MS)
