"""When the watch restarts a connector that says RUNNING; the client against a scripted Connect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cdc.connector.client import ConnectClient
from watch import probes
from watch.alarms import Alarms
from watch.announcer import Announcer
from watch.flow import FlowCheck
from watch.probes import Flow
from watch.restarts import Backoff
from watch.settings import WatchSettings
from watch.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
RESTART = "/connectors/tidemark-g1/tasks/0/restart"
Offset = dict[str, object]
STREAMING: Offset = {"lsn": 900, "lsn_proc": 640, "lsn_commit": 648}
SNAPSHOT: Offset = {"lsn": 592, "snapshot": "INITIAL", "snapshot_completed": False}


class Pipeline:
    """A connector that says RUNNING, what it has stored, and heartbeats that come or do not."""

    def __init__(self, folder: Path) -> None:
        self.offset: Offset | None = STREAMING
        self.state = "RUNNING"
        self.beats = 7
        self.restarts = 0
        self.letters = (0, 0)  # new ones, all
        settings = WatchSettings(state_dir=folder, generation=1)
        self.alarms = Alarms()
        client = ConnectClient(settings)
        transport = httpx.MockTransport(self._connect)
        client._http = httpx.Client(transport=transport, base_url="http://connect")
        announcer = Announcer(self.alarms, Store(settings))  # no password: its rows wait
        self._check = FlowCheck(settings, client, announcer, Backoff(2, 60, 120))

    def flow(self, _: object) -> Flow:
        return Flow(
            ends={},
            uncommitted={},
            dead_letters=self.letters[1],
            new_dead_letters=self.letters[0],
            beats=self.beats,
        )

    def watch(self, first_s: int, last_s: int) -> int:
        """Look each ten seconds; how many restarts that made."""
        before = self.restarts
        for second in range(first_s, last_s + 1, 10):
            self._check.look(START + timedelta(seconds=second))
        return self.restarts - before

    def _connect(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == RESTART:
            self.restarts += 1
            return httpx.Response(204)
        if request.url.path.endswith("/offsets"):
            stored = [] if self.offset is None else [{"partition": {}, "offset": self.offset}]
            return httpx.Response(200, json={"offsets": stored})
        body = {"name": "tidemark-g1", "connector": {"state": self.state}}
        return httpx.Response(200, json={**body, "tasks": [{"id": 0, "state": self.state}]})


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")
    pipeline = Pipeline(tmp_path)
    monkeypatch.setattr(probes, "flow", pipeline.flow)
    return pipeline


def test_connector_that_moves_nothing_is_restarted_and_has_its_patience_again(
    pipeline: Pipeline,
) -> None:
    """A restart at 60 s, none before 120 s; the alarm stays until something comes."""
    assert pipeline.watch(0, 50) == 0
    assert pipeline.watch(60, 110) == 1
    assert "connector_stuck" in pipeline.alarms.raised()
    assert pipeline.watch(120, 170) == 1
    assert "connector_stuck" in pipeline.alarms.raised()
    pipeline.beats += 1
    assert pipeline.watch(180, 230) == 0
    assert "connector_stuck" not in pipeline.alarms.raised()


@pytest.mark.parametrize("offset", [None, SNAPSHOT], ids=["not yet stored", "stored"])
def test_snapshot_is_left_to_end_and_the_stream_gets_the_whole_patience(
    pipeline: Pipeline, offset: Offset | None
) -> None:
    """A restart would begin the snapshot anew, for ever."""
    pipeline.offset = offset
    assert pipeline.watch(0, 600) == 0
    assert pipeline.alarms.raised() == {}
    pipeline.offset = STREAMING
    assert pipeline.watch(610, 650) == 0
    assert pipeline.watch(660, 710) == 1


def test_connector_that_was_stopped_gets_the_whole_patience_when_it_runs_again(
    pipeline: Pipeline,
) -> None:
    """That nothing came meanwhile is not held against it."""
    pipeline.state = "STOPPED"
    assert pipeline.watch(0, 600) == 0
    pipeline.state = "RUNNING"
    assert pipeline.watch(610, 650) == 0
    assert pipeline.watch(660, 710) == 1


def test_new_dead_letters_are_an_alarm_and_old_ones_are_none(pipeline: Pipeline) -> None:
    """The text says how many and which command shows them."""
    pipeline.letters = (0, 12)
    pipeline.watch(0, 0)
    assert pipeline.alarms.raised() == {}
    pipeline.letters = (1, 13)
    pipeline.watch(10, 10)
    text = "1 new within five minutes, 13 in all; `tidemark dlq list` shows them"
    assert pipeline.alarms.raised() == {"dead_letters": text}
