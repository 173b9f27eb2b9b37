"""What `up` refuses before anything starts, and when it stops waiting for the first row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from cdc.errors import PreflightRefused, Unreachable
from cli import plan
from cli.lifecycle import up
from cli.startup import HOPELESS_ENDS, Ends, Stages, StartupFailed
from ingest.errors import ScheduleTooHeavy
from runtime.settings import ENV_PREFIX, SettingsError
from stack.settings import StackSettings
from stack.supervision import ServiceState


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of nobody, on the simulated exchange: nothing goes out."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)
    monkeypatch.setenv("TIDEMARK_EXCHANGE", "simulator")
    monkeypatch.setenv("TIDEMARK_STATE_DIR", str(tmp_path / "state"))


def test_plan_names_every_port_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's is needed, metrics are not; 0 means that none are served."""
    monkeypatch.setenv("TIDEMARK_SINK_METRICS_PORT", "0")
    planned = plan.read()
    assert planned.venue == "simulator"
    assert planned.ports == {"simulator": 18080, "page": 18501}
    assert planned.metrics_ports == {
        "ingest metrics": 19101,
        "watch metrics": 19103,
        "simulator metrics": 19104,
    }


def test_real_exchange_needs_no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its ports nor its settings, wrong as they may be."""
    monkeypatch.setenv("TIDEMARK_EXCHANGE", "binance")
    monkeypatch.setenv("TIDEMARK_SIMULATOR_SEED", "none")
    planned = plan.read()
    assert planned.ports == {"page": 18501}
    assert "simulator metrics" not in planned.metrics_ports


def test_no_port_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 means none: nothing is needed for it, and `up` shows no address."""
    assert plan.read().page_url == "http://127.0.0.1:18501"
    monkeypatch.setenv("TIDEMARK_PAGE_PORT", "0")
    planned = plan.read()
    assert planned.page_url == ""
    assert "page" not in planned.ports


@pytest.mark.parametrize(
    "variable",
    ["PAGE_REFRESH_S", "SPOOL_MB", "BATCH_ROWS", "WATCH_PERIOD_S", "SIMULATOR_WEIGHT_LIMIT"],
)
def test_wrong_setting_of_any_process_is_found(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Of ingest, sink, watch, page and simulator: a line that names it."""
    monkeypatch.setenv(f"TIDEMARK_{variable}", "many")
    with pytest.raises(SettingsError, match=f"TIDEMARK_{variable}"):
        plan.read()


def test_schedule_is_judged_by_the_limit_of_its_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's own limit where that is polled; none where it is lifted."""
    monkeypatch.setenv("TIDEMARK_SIMULATOR_WEIGHT_LIMIT", "1200")
    with pytest.raises(ScheduleTooHeavy, match="of the exchange's 1200"):
        plan.read()
    monkeypatch.setenv("TIDEMARK_SIMULATOR_WEIGHT_LIMIT", "0")
    assert plan.read().venue == "simulator"
    monkeypatch.setenv("TIDEMARK_EXCHANGE", "binance")
    monkeypatch.setenv("TIDEMARK_TICKER_24H_EVERY_S", "1")
    with pytest.raises(ScheduleTooHeavy, match="of the exchange's 6000"):
        plan.read()


def test_up_refuses_a_schedule_too_heavy_as_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, the arithmetic, and no stage has begun."""
    monkeypatch.setattr("cli.lifecycle._only_warnings", lambda: None)  # would last for other tests
    monkeypatch.setenv("TIDEMARK_TICKER_24H_EVERY_S", "1")
    refused = CliRunner().invoke(up)
    assert refused.exit_code == 2
    assert "take fewer symbols" in refused.output
    assert "doctor" not in refused.output


def looks(*states: tuple[str, int | None]) -> list[ServiceState]:
    """What the supervisor says of ingest, look by look."""
    return [ServiceState("ingest", state, pid) for state, pid in states]


def verdict(states: list[ServiceState]) -> str | None:
    ends = Ends()
    verdicts = [ends.hopeless([state]) for state in states]
    return verdicts[-1]


def test_process_that_ends_again_and_again_is_hopeless() -> None:
    """One end is one, however often it is looked at."""
    once = looks(("starting", 1), ("backoff", None), ("backoff", None))
    assert verdict(once * (HOPELESS_ENDS - 1)) is None
    assert verdict(once * HOPELESS_ENDS) == "ingest"


def test_end_between_two_looks_counts() -> None:
    """By its new pid; a process that just runs on never counts."""
    assert verdict(looks(*(("running", pid) for pid in range(1, HOPELESS_ENDS + 2)))) == "ingest"
    assert verdict(looks(*[("running", 7)] * 50)) is None


def test_fatal_process_is_hopeless_at_once_and_services_are_not_judged() -> None:
    """Services have a wait and messages of their own; a stopped process was not asked for."""
    assert verdict(looks(("fatal", None))) == "ingest"
    ends = Ends()
    others = [ServiceState("kafka", "fatal"), ServiceState("simulator", "stopped")]
    assert ends.hopeless(others) is None


def test_page_that_ends_again_and_again_does_not_fail_up() -> None:
    """Data flows without it; `up` says at its end that the page does not answer."""
    ends = Ends()
    for number in range(2 * HOPELESS_ENDS):
        assert ends.hopeless([ServiceState("page", "starting", pid=number + 1)]) is None
        assert ends.hopeless([ServiceState("page", "backoff")]) is None
    assert ends.hopeless([ServiceState("page", "fatal")]) is None


def test_first_row_outlives_a_look_that_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cassandra answers late, or away for a moment; without an end `up` says so."""
    stages, sessions = Stages(StackSettings(), say=lambda _line: None), count(1)

    @contextmanager
    def session(*_asked: object) -> Iterator[int]:
        if (number := next(sessions)) == 1:
            raise Unreachable("no session")
        yield number

    def newest_beat(number: int, _source: str, began: datetime) -> datetime:
        if number == 2:
            raise Unreachable("no answer")
        return began + timedelta(seconds=1)

    monkeypatch.setattr("cli.startup.LOOK_S", 0)
    monkeypatch.setattr("cli.startup.keyspace.session", session)
    monkeypatch.setattr("cli.startup.readings.newest_beat", newest_beat)
    assert stages._first_row() == "committed in PostgreSQL, read in Cassandra"
    monkeypatch.setattr("cli.startup.FIRST_ROW_S", -1)
    monkeypatch.setattr("cli.startup.readings.newest_beat", lambda *_asked: _unanswered())
    with pytest.raises(Unreachable):
        stages._first_row()


def _unanswered() -> NoReturn:
    raise Unreachable("no answer")


def test_ours_run_where_the_connector_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange is collected until a person has decided, and the remedy finds a sink."""
    stages, done = Stages(StackSettings(), say=lambda _line: None), list[str]()

    def passed(name: str) -> str:
        done.append(name)
        return name

    def refuse() -> str:
        raise PreflightRefused("slot_missing", "the slot is gone; `tidemark resync`")

    monkeypatch.setattr(stages, "_connector", refuse)
    monkeypatch.setattr(stages, "_services", lambda: passed("services"))
    monkeypatch.setattr(stages, "_schema", lambda: passed("schema"))
    monkeypatch.setattr(stages, "_doctor", lambda _planned: passed("doctor"))
    monkeypatch.setattr(stages, "_processes", lambda _planned: passed("processes"))
    with pytest.raises(StartupFailed, match="`tidemark resync`"):
        stages.run(services_only=False)
    assert done == ["doctor", "services", "schema", "processes"]
