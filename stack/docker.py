"""Which way the services run, and the way through docker compose.

`auto` does not look for an engine: the compose file was checked, but never started on one, and what
runs by default must be what the tests run (decision 0004).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.settings import PROJECT_ROOT
from stack.errors import DockerError
from stack.settings import StackSettings
from stack.topology import settings_environment

_ANSWER_S = 10


@dataclass(frozen=True)
class Way:
    """How services run, and in a few words why."""

    name: Literal["local", "docker"]
    reason: str


def choose(settings: StackSettings) -> Way:
    """The way that the settings say; DockerError where docker is demanded and does not answer."""
    if settings.stack == "local":
        return Way("local", "STACK=local")
    if settings.stack == "auto":
        return Way("local", "containers only by STACK=docker, as they are not proved on an engine")
    if missing := _what_is_missing():
        raise DockerError(f"STACK=docker, but {missing}; start Docker, or use STACK=local")
    return Way("docker", "STACK=docker")


def _what_is_missing() -> str:
    """What docker lacks here, in words; empty where nothing does."""
    if shutil.which("docker") is None:
        return "no docker command is installed"
    if not _answers(["docker", "version", "--format", "{{.Server.Version}}"]):
        return "no Docker engine answers"
    if not _compose():
        return "docker compose is not installed"
    return ""


def _compose() -> list[str]:
    """The compose command: the plugin, else the older program; empty where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and _answers([*command, "version"]):
            return command
    return []


def _answers(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def compose(settings: StackSettings, *arguments: str) -> None:
    """Run a compose command on our file, its output on the terminal; DockerError if it fails."""
    command = [*_compose(), "--file", str(PROJECT_ROOT / "docker-compose.yml"), *arguments]
    environment = os.environ | settings_environment(settings)
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=False)
    if done.returncode != 0:
        raise DockerError(
            f"`{' '.join(command)}` ended with {done.returncode}; its last lines say why"
        )
