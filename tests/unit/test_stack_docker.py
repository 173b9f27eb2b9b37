"""Which way the services run, by the settings alone."""

from __future__ import annotations

import os

import pytest

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
