"""Judges a query by the schema and by what the Cassandra plugin can and cannot do. Pure.

Each rule is a generator of violations, in words that say what to write instead. Why a rule exists
stands in its docstring: most of these mistakes make no noise, only a panel slow, empty or wrong.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from grafana import cql, volume
from grafana.bucket_rules import buckets_are_whole
from grafana.errors import Unparsable
from grafana.query import Placed, Query
from grafana.result_rules import RESULT_RULES
from grafana.result_types import columns_of
from grafana.schema import Table
from grafana.statement import Expression, Literal, Macro, Select, Variable, walk
from grafana.window import Asked, window

MAX_PARTITIONS = 150
MAX_ROWS = 25_000
MAX_OPTIONS = 5_000
"""What a refresh may touch, and how many rows a variable: the most that is needed, rounded up, so
that a query that forgets a bound stands out."""

MACROS = frozenset({"timeFrom", "timeTo"})


@dataclass(frozen=True)
class Report:
    """What is wrong with a query, and what a refresh of it touches."""

    violations: tuple[str, ...]
    partitions: int = 0
    rows: int = 0


def lint(query: Query, tables: Mapping[str, Table]) -> Report:
    """The report on one query."""
    if not query.text.startswith("SELECT "):
        return Report(("the plugin takes only what starts with SELECT and a space",))
    try:
        select = cql.parse(query.text)
    except Unparsable as error:
        return Report((str(error),))
    table = tables.get(select.table)
    if table is None:
        return Report((f"there is no table {select.table}",))
    unknown = tuple(_unknown_columns(select, table))
    if unknown:
        return Report(unknown)
    asked = Asked(query, select, table)
    return Report(
        tuple(violation for rule in RULES for violation in rule(asked)),
        volume.partitions(select, table),
        volume.rows(select, table, window(asked)),
    )


def lint_all(asked: Sequence[Placed], tables: Mapping[str, Table]) -> dict[str, Report]:
    """{place: report} of all queries, also of what only several of a panel can do wrong."""
    reports = {placed.where: lint(placed.query, tables) for placed in asked}
    for where in _without_the_bucket_before(asked):
        report = reports[where]
        missing = "the bucket may have just begun: ask the one before in a second query"
        reports[where] = replace(report, violations=(*report.violations, missing))
    return reports


def _without_the_bucket_before(asked: Sequence[Placed]) -> Iterator[str]:
    """Places of queries of a single bucket whose panel does not ask the one before, too."""
    backs: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for placed in asked:
        if re.search(r" = floor\(", placed.query.text):
            panel = placed.where.rpartition(" / ")[0]
            backs[panel][placed.query.back] = placed.where
    for places in backs.values():
        if not places.keys() >= {0, 1}:
            yield from places.values()


def _unknown_columns(select: Select, table: Table) -> Iterator[str]:
    named = {name for value in _values(select) for name in columns_of(value)}
    named |= {relation.column for relation in select.where}
    named |= {column for column, _ in select.order_by}
    for name in sorted(named - table.columns.keys()):
        yield f"{table.name} has no column {name}"


def _values(select: Select) -> Iterator[Expression]:
    for selected in select.columns:
        yield selected.value
    yield from select.group_by
    for relation in select.where:
        yield from relation.values


def whole_partition_key_is_bound(asked: Asked) -> Iterator[str]:
    """Else every node reads every partition."""
    if asked.select.allow_filtering:
        yield "ALLOW FILTERING reads what it then throws away: ask another table"
    for name in asked.table.partition:
        operators = [each.operator for each in asked.select.where if each.column == name]
        if operators not in (["="], ["IN"]):
            yield f"bind {name}, a part of the partition key, once, by = or IN"


def other_conditions_follow_the_key(asked: Asked) -> Iterator[str]:
    """Cassandra refuses conditions on other columns, and on clustering columns out of order."""
    key = {name for name, _ in asked.table.clustering} | set(asked.table.partition)
    for relation in asked.select.where:
        if relation.column not in key:
            yield f"{relation.column} is no part of the key: a condition on it needs filtering"
    points = {each.column for each in asked.select.where if each.operator in {"=", "IN"}}
    bound = {each.column for each in asked.select.where}
    names = [name for name, _ in asked.table.clustering]
    reachable = len(list(takewhile(points.__contains__, names))) + 1
    for name in names[reachable:]:
        if name in bound:
            yield f"{name} can be bound only after the clustering columns before it"


def variables_are_formatted(asked: Asked) -> Iterator[str]:
    """A quote in a value would end the string: only `sqlstring` doubles it."""
    for value in _values(asked.select):
        for each in walk(value):
            if isinstance(each, Variable) and each.format != "sqlstring":
                yield f"write ${{{each.name}:sqlstring}}, without quotes of your own"
            if isinstance(each, Literal) and each.kind == "text" and re.search(r"\$", each.text):
                yield f"'{each.text}' is formatted by the viewer, in the viewer's time zone"


def macros_are_replaced(asked: Asked) -> Iterator[str]:
    """The plugin knows few macros, none in variables; alerts have no dashboard's variables."""
    found = [each for value in _values(asked.select) for each in walk(value)]
    for each in found:
        if isinstance(each, Macro) and each.name not in MACROS:
            yield f"the plugin has no macro $__{each.name}"
        elif isinstance(each, Macro) and asked.query.role == "variable":
            yield "macros are not replaced in variables: take currentTimestamp()"
        elif isinstance(each, Variable) and asked.query.role == "alert":
            yield f"an alert has no variable {each.name}"


def time_is_bounded(asked: Asked) -> Iterator[str]:
    """Without an upper bound the past cannot be looked at; without a lower one all is read."""
    time = asked.table.time
    if time is None or asked.query.role == "variable":
        return
    bounds = {each.operator for each in asked.select.where if each.column == time}
    if not bounds & {"<", "<="}:
        yield f"end at the range's end: {time} <= $__timeTo"
    if not bounds & {">", ">="} and not _limited(asked.select):
        yield f"bound {time} from below, or LIMIT the rows"


def limit_keeps_the_newest(asked: Asked) -> Iterator[str]:
    """A LIMIT takes the first rows, of the first partition first."""
    select, table = asked.select, asked.table
    if select.limit is not None and volume.partitions(select, table) > 1:
        yield "LIMIT empties the first partition before the next: PER PARTITION LIMIT"
    if table.name in volume.UNBOUNDED and not _limited(select):
        yield f"no schedule bounds {table.name}: LIMIT its rows"
    descending = select.order_by[0][1] if select.order_by else table.newest_first
    any_row_will_do = asked.query.role == "variable"
    if _limited(select) and table.time is not None and not descending and not any_row_will_do:
        yield f"this LIMIT keeps the oldest rows: ORDER BY {table.time} DESC"


def order_is_of_one_partition(asked: Asked) -> Iterator[str]:
    """Cassandra cannot page an ordered answer of several partitions; the plugin always pages."""
    select, table = asked.select, asked.table
    if not select.order_by:
        return
    if volume.partitions(select, table) > 1:
        yield "ORDER BY does not go with IN: ask one partition, or order in the panel"
    if not table.clustering or select.order_by[0][0] != table.clustering[0][0]:
        yield f"rows are ordered by {table.clustering[:1]} and by nothing else"


def refresh_is_cheap(asked: Asked) -> Iterator[str]:
    """A dashboard that is open all day asks each panel some thousands of times."""
    partitions = volume.partitions(asked.select, asked.table)
    rows = volume.rows(asked.select, asked.table, window(asked))
    if partitions > MAX_PARTITIONS:
        yield f"{partitions} partitions a refresh are more than {MAX_PARTITIONS}"
    limit = MAX_OPTIONS if asked.query.role == "variable" else MAX_ROWS
    if rows > limit:
        yield f"{rows:,} rows a refresh are more than {limit:,}"


def _limited(select: Select) -> bool:
    return select.limit is not None or select.per_partition_limit is not None


RULES = (
    whole_partition_key_is_bound,
    other_conditions_follow_the_key,
    variables_are_formatted,
    macros_are_replaced,
    buckets_are_whole,
    time_is_bounded,
    limit_keeps_the_newest,
    order_is_of_one_partition,
    refresh_is_cheap,
    *RESULT_RULES,
)
