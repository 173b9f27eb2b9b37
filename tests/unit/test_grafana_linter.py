"""The linter accepts every query that is written, and none of them with a mistake in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cli.dashboards import dashboards
from grafana import cql, linter, schema, written
from grafana.query import Placed, Query, Role, buckets
from tests.unit.cql_mutations import mutations, text

TABLES = schema.read()
PLACED = written.queries()

every_query = pytest.mark.parametrize("placed", PLACED, ids=lambda placed: placed.where)


def test_every_query_is_accepted() -> None:
    """As `make check` sees them."""
    reports = linter.lint_all(PLACED, TABLES)
    assert {where: r.violations for where, r in reports.items() if r.violations} == {}
    assert len(reports) == len(PLACED), "two queries have the same place"


@every_query
def test_every_mistake_is_caught(placed: Placed) -> None:
    """Each mutation of each query breaks a rule."""
    select = cql.parse(placed.query.text)
    made = list(mutations(placed.query, select, TABLES[select.table]))
    assert len(made) > 10
    missed = [
        f"{name}: {query.text}" for name, query in made if not linter.lint(query, TABLES).violations
    ]
    assert missed == []


def test_every_kind_of_mistake_was_made() -> None:
    """No kind of mutation is left out because no query has what it would break."""
    kinds: Counter[str] = Counter()
    for placed in PLACED:
        select = cql.parse(placed.query.text)
        kinds.update(name for name, _ in mutations(placed.query, select, TABLES[select.table]))
    for part in (
        "without bucket",
        "decimal",
        "ungrouped",
        "LIMIT",
        "oldest first",
        "wider",
        "macro",
    ):
        assert any(part in kind for kind in kinds), part


@every_query
def test_a_statement_that_is_written_anew_is_the_same(placed: Placed) -> None:
    """What mutations are made of loses nothing of the query."""
    select = cql.parse(placed.query.text)
    assert cql.parse(text(select)) == select
    assert linter.lint(replace(placed.query, text=text(select)), TABLES).violations == ()


@every_query
def test_a_wider_range_needs_more_buckets(placed: Placed) -> None:
    """A query that claims more than its buckets hold is refused."""
    if placed.query.days:
        claimed = replace(placed.query, days=placed.query.days * 4_000)
        assert linter.lint(claimed, TABLES).violations


@every_query
def test_another_series_column_is_refused(placed: Placed) -> None:
    """The first column is the one that was meant."""
    assert linter.lint(replace(placed.query, series="something"), TABLES).violations


@pytest.mark.parametrize("placed", [each for each in PLACED if each.query.nulls])
def test_missing_values_must_be_known_of(placed: Placed) -> None:
    """A column that may be null is refused unless the panel says that it tells it apart."""
    for name in placed.query.nulls:
        unaware = replace(placed.query, nulls=placed.query.nulls - {name})
        assert any(name in each for each in linter.lint(unaware, TABLES).violations)


@pytest.mark.parametrize("placed", [each for each in PLACED if each.query.back])
def test_the_newest_bucket_alone_is_refused(placed: Placed) -> None:
    """A panel of single buckets that forgets the one before is empty as each begins."""
    others = [each for each in PLACED if each != placed]
    panel = placed.where.rpartition(" / ")[0]
    wrong = {where for where, r in linter.lint_all(others, TABLES).items() if r.violations}
    assert {where.rpartition(" / ")[0] for where in wrong} == {panel}


def asked(where: str, selected: str = "venue, at, id", role: Role = "panel") -> Query:
    """A query of events, for rules that no panel comes near to."""
    text = f"SELECT {selected} FROM events_by_day WHERE venue = 'v' AND {buckets('day', '1d')}"
    return Query(f"{text} {where}", series="venue", role=role)


def test_an_alert_is_told_apart() -> None:
    """No variable of a dashboard, no rows whose last is the oldest, no series without a number."""
    end = "AND at <= $__timeTo PER PARTITION LIMIT 5"
    assert linter.lint(asked(end), TABLES).violations == ()
    newest_first = linter.lint(asked(end, role="alert"), TABLES).violations
    assert any("oldest" in each for each in newest_first)
    words = linter.lint(asked(end, "venue, at, kind", role="alert"), TABLES).violations
    assert any("value" in each for each in words)
    alert = asked(end, role="alert")
    with_variable = replace(alert, text=alert.text.replace("'v'", "${v:sqlstring}"))
    assert any("no variable" in each for each in linter.lint(with_variable, TABLES).violations)


def test_a_table_is_one_frame() -> None:
    """A first column of many values tears a table apart, in random order."""
    query = asked("AND at <= $__timeTo PER PARTITION LIMIT 5", "kind, at, id")
    for shape in ("table", "series"):
        changed = replace(query, series="kind", shape=shape)
        assert linter.lint(changed, TABLES).violations


def test_cost_is_estimated_from_what_is_read_not_from_what_comes_back() -> None:
    """A LIMIT bounds rows, groups do not."""
    beats = (
        "SELECT source, max(beat_at) AS time, max(visible_us) AS seen FROM heartbeats_by_day "
        f"WHERE source = 'ingest' AND {buckets('day', '1d')} "
        "AND beat_at >= (timestamp)$__timeTo - 1d AND beat_at <= $__timeTo GROUP BY source, day"
    )
    report = linter.lint(Query(beats, series="source"), TABLES)
    assert (report.partitions, report.rows) == (2, 86_400)
    assert any("86,400" in each for each in report.violations)
    limited = linter.lint(asked("AND at <= $__timeTo PER PARTITION LIMIT 7"), TABLES)
    assert (limited.partitions, limited.rows) == (2, 14)


def test_the_command_prints_what_a_refresh_touches() -> None:
    """A line a query; done without a mistake."""
    result = CliRunner().invoke(dashboards, ["lint"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert len(lines) == len(PLACED) + 2
    assert any(line.split()[:2] == ["17", "17"] and "Verified" in line for line in lines)


def test_the_command_fails_on_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the place and what to write instead."""
    wrong = replace(PLACED[0], query=replace(PLACED[0].query, text="SELECT price FROM klines"))
    monkeypatch.setattr(written, "queries", lambda: (wrong, *PLACED[1:]))
    result = CliRunner().invoke(dashboards, ["lint"])
    assert result.exit_code == 1
    assert wrong.where in result.output
    assert "klines has no column price" in result.output
