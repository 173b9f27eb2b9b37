"""Which way the services run, by the settings alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cli.lifecycle import down
from runtime.settings import PROJECT_ROOT
from stack import docker
from stack.errors import DockerError
from stack.settings import StackSettings


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)


def engine(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(docker, "_what_is_missing", lambda: missing)


def test_auto_is_local_also_where_an_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the reason says how containers are asked for."""
    engine(monkeypatch, "")
    way = docker.choose(StackSettings(stack="auto"))
    assert way.name == "local"
    assert "STACK=docker" in way.reason


def test_docker_runs_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was asked for and cannot run, that is an error and no silent local stack."""
    engine(monkeypatch, "")
    assert docker.choose(StackSettings(stack="docker")).name == "docker"
    engine(monkeypatch, "no Docker engine answers")
    with pytest.raises(DockerError, match=r"no Docker engine answers; .* STACK=local"):
        docker.choose(StackSettings(stack="docker"))


def test_ports_of_addresses_are_told_to_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    """What publishes a port, and what connects to it, read one setting."""
    monkeypatch.setenv("TIDEMARK_KAFKA_BOOTSTRAP", "127.0.0.1:20092")
    monkeypatch.setenv("TIDEMARK_CONNECT_URL", "http://127.0.0.1:20083")
    told = docker._environment(StackSettings())
    assert (told["KAFKA_PORT"], told["CONNECT_PORT"]) == ("20092", "20083")


def test_profiles_are_those_of_the_compose_file() -> None:
    """Whatever may run is stopped by `tidemark down`."""
    services = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
    named = {profile for each in services.values() for profile in each.get("profiles", ())}
    assert named == set(docker.PROFILES)


def test_down_stops_nothing_where_the_engine_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else the connector stands, all containers run on, and nothing is replicated."""
    monkeypatch.setenv("TIDEMARK_STACK", "docker")
    monkeypatch.setenv("TIDEMARK_STATE_DIR", str(tmp_path))
    stopped = list[str]()
    monkeypatch.setattr("cli.lifecycle._stop_connector", lambda: stopped.append("connector"))
    engine(monkeypatch, "no Docker engine answers")
    refused = CliRunner().invoke(down)
    assert refused.exit_code == 1
    assert "no Docker engine answers" in refused.output
    assert stopped == []
