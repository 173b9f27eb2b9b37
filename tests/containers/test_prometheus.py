"""Prometheus among the containers: what it scrapes, and that charts and alert rules find it there.

The unit tests know the names of metrics; only here is an expression evaluated on what processes
serve.
"""

from __future__ import annotations

import os
import subprocess

import httpx
import pytest

from tests.conftest import Pipeline
from tests.containers import engine, promql
from tests.containers.engine import Containers
from tests.containers.promql import Asked, Prometheus
from tests.integration.witnesses import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PROCESSES = {"ingest", "sink", "watch", "simulator"}
ASKED = [*promql.of_dashboards(), *promql.of_rules()]
# of these two only one has an answer
RAISED, NOT_RAISED = "max by (alarm) (tidemark_alarm) > 0", "sum(tidemark_alarm) == 0"
# a series of these comes with the first thing that is wrong, and nothing has to be
WRONG = {
    "sum by (endpoint) (rate(tidemark_ingest_quarantined_total[5m])) * 300",
    "tidemark_ingest_open_gaps",
    "sum by (state) (tidemark_ingest_unsettled_minutes)",
}
MAY_BE_EMPTY = {RAISED, NOT_RAISED, *WRONG}


@pytest.fixture(scope="module")
def prometheus(pipeline: Pipeline) -> Prometheus:
    """Started beside what runs, as docs/containers.md says: `tidemark up` does not."""
    subprocess.run(
        [*engine.compose_command().split(), "up", "--detach", "prometheus"],
        env=os.environ | pipeline.env,
        check=True,
    )
    found = Prometheus(f"http://127.0.0.1:{pipeline.env['PROMETHEUS_PORT']}")

    def ready() -> bool | None:
        try:
            answer = httpx.get(f"{found.url}/-/ready", trust_env=False)
        except httpx.TransportError:
            return None
        return True if answer.is_success else None

    until("a Prometheus that is ready", ready)
    return found


def healthy(prometheus: Prometheus, silent: set[str]) -> dict[str, str]:
    """Wait until all targets answer but those; {process: what its last scrape complained of}.

    Both are asked, what a scrape found and what is stored: a Prometheus that was started again
    still has the values of before, and does not yet know its targets.
    """
    wanted = {process: process not in silent for process in PROCESSES}

    def settled() -> dict[str, str] | None:
        targets = prometheus.get("targets", state="active")["activeTargets"]
        scraped = {each["labels"]["process"]: each["health"] == "up" for each in targets}
        stored = {row["metric"]["process"]: row["value"][1] == "1" for row in prometheus.now("up")}
        if not scraped == stored == wanted:
            return None
        return {each["labels"]["process"]: each["lastError"] for each in targets}

    return until(f"targets that are up, without {silent}", settled)


def test_prometheus_scrapes_each_process(prometheus: Prometheus) -> None:
    """Through the namespace that it shares with them; nothing that they say is refused."""
    assert healthy(prometheus, silent=set()) == dict.fromkeys(PROCESSES, "")
    ours = "count by (process) ({__name__=~'tidemark_.+'})"
    assert {each["metric"]["process"] for each in prometheus.now(ours)} == PROCESSES


def test_there_are_expressions() -> None:
    """Or the next tests look at nothing."""
    assert len(promql.of_dashboards()) > 10
    assert promql.rules().keys() == {"tidemark-watch-silent", "tidemark-alarm"}
    assert {each.expr for each in ASKED} >= MAY_BE_EMPTY


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.place}: {asked.expr}")
def test_an_expression_finds_series(asked: Asked, prometheus: Prometheus) -> None:
    """No error, metrics that are served, series where there must be, the legend's labels."""
    until(
        f"metadata of {asked.metrics}",
        lambda: True if all(_served(prometheus, name) for name in asked.metrics) else None,
    )
    found = prometheus.ask(asked)
    if asked.expr not in MAY_BE_EMPTY:
        found = until(f"series of {asked.expr}", lambda: prometheus.ask(asked) or None, 180)
    for series in found:
        assert series["metric"].keys() >= asked.labels


def _served(prometheus: Prometheus, metric: str) -> bool:
    """Whether a process says that it has it; one with labels has no series before its first."""
    families = (metric, metric.removesuffix("_total"))
    return any(prometheus.get("metadata", metric=family) for family in families)


@pytest.mark.parametrize("place", sorted({asked.place for asked in promql.of_dashboards()}))
def test_no_panel_is_empty(place: str, prometheus: Prometheus) -> None:
    """Or it says that Prometheus has no answer, while all is well."""
    asked = [each for each in promql.of_dashboards() if each.place == place]
    until(f"series of {place}", lambda: any(map(prometheus.ask, asked)) or None)


def test_alarms_are_raised_or_not(prometheus: Prometheus) -> None:
    """Exactly one of the two has an answer."""
    raised, none = prometheus.now(RAISED), prometheus.now(NOT_RAISED)
    assert bool(raised) != bool(none)


def test_no_rule_fires_while_all_is_well(prometheus: Prometheus) -> None:
    """The threshold stands above what a watch that works shows."""
    rules = promql.rules().values()
    until("no rule that fires", lambda: None if any(map(prometheus.fires, rules)) else True, 300)


def test_a_watch_that_is_gone_is_missed(prometheus: Prometheus, containers: Containers) -> None:
    """Its metrics go with it: where nothing is left to compare, the rule must fire all the same."""
    rule = promql.rules()["tidemark-watch-silent"]
    containers.stop("watch")
    try:
        healthy(prometheus, silent={"watch"})
        assert prometheus.fires(rule)
    finally:
        containers.start("watch")
    healthy(prometheus, silent=set())
    until("silence of the rule", lambda: None if prometheus.fires(rule) else True)
