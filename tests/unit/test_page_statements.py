"""Every question of the page against the schema: whole partitions, bounded rows, real columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.mapping import Bucket
from cdc.routes import ROUTES
from cdc.times import bucket_of_interval, bucket_start
from page import buckets, statements
from page.reader import TABLES
from runtime.settings import PROJECT_ROOT

STATEMENTS = {name: text for name, text in vars(statements).items() if name.isupper()}
SELECT = re.compile(
    r"SELECT (?P<columns>[\w, ]+) FROM (?P<table>\w+) WHERE (?P<where>.+?)"
    r"(?: ORDER BY (?P<order>[\w, ]+))? LIMIT (?P<limit>\d+)"
)
MAX_ROWS = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Table:
    columns: frozenset[str]
    partition: tuple[str, ...]
    clustering: tuple[str, ...]


def schema() -> dict[str, Table]:
    """Every table of the `.cql` files, with the columns that later files add."""
    paths = sorted((PROJECT_ROOT / "cassandra").glob("*.cql"))
    text = re.sub(r"--.*", "", "\n".join(path.read_text(encoding="utf-8") for path in paths))
    tables = {}
    for name, body in re.findall(
        r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)\)\s*(?:WITH|;)", text, re.DOTALL
    ):
        added = set(re.findall(rf"ALTER TABLE {name} ADD IF NOT EXISTS (\w+)", text))
        columns = set(
            re.findall(r"(?m)^\s*(\w+)\s+(?:text|timestamp|decimal|bigint|int|boolean|blob)", body)
        )
        whole = re.search(r"PRIMARY KEY \(\(([\w, ]+)\)(?:, )?([\w, ]*)\)", body)
        key = whole or re.search(r"(\w+) \w+ PRIMARY KEY()", body)
        assert key is not None, name
        partition, clustering = (tuple(filter(None, part.split(", "))) for part in key.groups())
        tables[name] = Table(frozenset(columns | added), partition, clustering)
    return tables


SCHEMA = schema()


def faults(text: str) -> list[str]:
    """What is wrong with a question; empty where it is a good one."""
    match = SELECT.fullmatch(text)
    if match is None:
        return ["it is not SELECT … FROM … WHERE … [ORDER BY …] LIMIT n"]
    table = SCHEMA[match["table"]]
    terms = match["where"].split(" AND ")
    equal = [term.removesuffix(" = ?") for term in terms if term.endswith(" = ?")]
    ranged = re.findall(r"(?<!\w)(\w+) (?:>=|<) \?", match["where"])
    wrong = [f"{name} is not bound" for name in table.partition if name not in equal]
    wrong += [f"no column {c}" for c in match["columns"].split(", ") if c not in table.columns]
    if len(equal) + len(ranged) != len(terms):
        wrong.append("it compares with something else than a bound value")
    prefix = table.clustering[: len(equal) - len(table.partition)]
    if set(equal) != {*table.partition, *prefix}:
        wrong.append("it binds what is not the front of the key")
    rest = table.clustering[len(prefix) :]
    if set(ranged) - set(rest[:1]):
        wrong.append("its range is not on the next clustering column")
    if int(match["limit"]) > MAX_ROWS:
        wrong.append("it takes too many rows")
    if match["order"]:
        ordered = [each.removesuffix(" DESC") for each in match["order"].split(", ")]
        if ordered != list(table.clustering[: len(ordered)]):
            wrong.append("its order is not the table's, reversed")
    return wrong


@pytest.mark.parametrize("name", STATEMENTS)
def test_question_reads_whole_partitions_and_so_many_rows(name: str) -> None:
    """No scan, no filtering, no column that is not there."""
    assert faults(STATEMENTS[name]) == []


@pytest.mark.parametrize(
    "worse",
    [
        statements.CANDLES.replace("bucket = ? AND ", ""),
        statements.MOVERS.replace(" AND day = ?", ""),
        statements.TICKERS.replace(" LIMIT 10000", ""),
        statements.TICKERS.replace("LIMIT 10000", "LIMIT 100000"),
        statements.TICKERS.replace("WHERE venue = ? ", ""),
        statements.BOOK.replace("venue = ? AND ", ""),
        statements.TRADES.replace("traded_at DESC, trade_id", "trade_id DESC, traded_at"),
        statements.LARGE_TRADES.replace("day = ?", "day = ? AND symbol = ?"),
        statements.GAPS.replace("venue = ?", "venue = ? AND first_missing >= ?"),
        statements.EVENTS + " ALLOW FILTERING",
        statements.PRICES.replace("price,", "prize,"),
        statements.PRICES.replace("venue = ?", "venue = 'binance'"),
    ],
)
def test_worse_question_would_be_found(worse: str) -> None:
    """The check itself can fail."""
    assert worse not in STATEMENTS.values()
    assert faults(worse)


def test_verified_tables_are_those_that_are_replicated() -> None:
    """A table that a route adds is missing on no page."""
    assert set(TABLES) == {each.table for each in ROUTES}
    assert len(set(TABLES)) == len(TABLES)


@given(
    st.datetimes(
        timezones=st.just(UTC),
        min_value=datetime(2017, 1, 1),  # noqa: DTZ001 - hypothesis wants its limits without a zone
        max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis wants its limits without a zone
    )
)
def test_buckets_are_those_that_the_sink_writes_into(moment: datetime) -> None:
    """Another bucket by a millisecond would show nothing."""
    ms = (moment - EPOCH) // timedelta(milliseconds=1)
    for ours, bucket in (
        (buckets.hour, Bucket.HOUR),
        (buckets.day, Bucket.DAY),
        (buckets.month, bucket_of_interval("1m")),
    ):
        assert (ours(moment) - EPOCH) // timedelta(milliseconds=1) == bucket_start(bucket, ms)
