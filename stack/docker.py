"""Which way the services run, and the way through docker compose.

`auto` does not look for an engine: what runs by default must be what every test runs
(decision 0004).
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

_ANSWER_S = 60  # of a busy machine; where no engine listens, docker says so at once
PROFILES = ("core", "simulator", "monitoring")  # of the compose file


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
        return Way("local", "containers only by STACK=docker")
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


def profiles() -> list[str]:
    """Options that name every profile: for what is done to all that may run."""
    return [part for name in PROFILES for part in ("--profile", name)]


def compose(settings: StackSettings, *arguments: str) -> None:
    """Run a compose command on our file, its output on the terminal; DockerError if it fails.

    The file is the one of the folder, so that COMPOSE_FILE can put others over it.
    """
    command = [*_compose(), *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=_environment(settings), check=False)
    if done.returncode != 0:
        raise DockerError(
            f"`{' '.join(command)}` ended with {done.returncode}; its last lines say why"
        )


def _environment(settings: StackSettings) -> dict[str, str]:
    """What the compose file takes: settings, and the ports that it cannot cut out of addresses."""
    ports = {"KAFKA_PORT": settings.kafka_port, "CONNECT_PORT": settings.connect_port}
    named = {name: str(port) for name, port in ports.items()}
    return named | os.environ | settings_environment(settings)
