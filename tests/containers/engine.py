"""The Docker engine, and the containers of a compose project, by the command `docker`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stack import docker

START_S = 60.0
STOP_S = 60.0
REGISTRY_S = 20.0


class NoEngine(Exception):
    """No Docker engine answers, and none can be started here."""


@contextmanager
def running(logs: Path) -> Iterator[None]:
    """An engine that answers; where none does and we are root, one of our own for the block."""
    if _answers():
        yield
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine answers; start one, or run `make test-docker` as root")
    logs.mkdir(parents=True, exist_ok=True)
    said = logs / "dockerd.log"
    with said.open("a") as log:
        daemon = subprocess.Popen(["dockerd"], stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(daemon, said)
        yield
    finally:
        daemon.terminate()
        daemon.wait(STOP_S)


def _wait(daemon: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + START_S
    while not _answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise NoEngine(f"dockerd does not come up; the cause stands in {said}")
        time.sleep(0.5)


def _answers() -> bool:
    return docker._answers(["docker", "version", "--format", "{{.Server.Version}}"])


def compose_command() -> str:
    """The plugin `docker compose`, else the program docker-compose."""
    if command := docker._compose():
        return " ".join(command)
    raise NoEngine("there is neither `docker compose` nor docker-compose")


def official_images_answer(compose: Path) -> bool:
    """Whether each image of the compose file that is not ours is here, or can be pulled."""
    services = yaml.safe_load(compose.read_text())["services"].values()
    ours = {service["image"] for service in services if "build" in service}
    return all(_can_be_had(name) for name in sorted({each["image"] for each in services} - ours))


def _can_be_had(image: str) -> bool:
    for look in (["image", "inspect"], ["manifest", "inspect"]):
        command = ["docker", *look, image]
        try:
            done = subprocess.run(command, capture_output=True, timeout=REGISTRY_S, check=False)
        except subprocess.TimeoutExpired:
            return False
        if done.returncode == 0:
            return True
    return False


@dataclass(frozen=True)
class Containers:
    """The containers of a compose project, by the names of their services."""

    project: str

    def inspect(self) -> dict[str, dict[str, Any]]:
        """What the engine says of each, those that have ended too."""
        identities = _docker("ps", "--all", "--quiet", *self._filter).split()
        if not identities:
            return {}
        told = json.loads(_docker("inspect", *identities))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in told}

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container, as its user."""
        return subprocess.run(
            ["docker", "exec", self._identity(service), *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def logs(self, service: str) -> str:
        """All that a container has said."""
        return _docker("logs", self._identity(service))

    def restart(self, service: str) -> None:
        """End a container without a warning, and start it."""
        _docker("restart", "--time=0", self._identity(service))

    def stop(self, service: str) -> None:
        _docker("stop", self._identity(service))

    def start(self, service: str) -> None:
        _docker("start", self._identity(service))

    def keep_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for service in self.inspect():
            (folder / f"{service}.log").write_text(self.logs(service))

    def remove(self) -> None:
        """Whatever is left of the project: containers, volumes, networks."""
        for kind, listing, removal in (
            ("container", ("ls", "--all"), ("rm", "--force", "--volumes")),
            ("volume", ("ls",), ("rm",)),
            ("network", ("ls",), ("rm",)),
        ):
            if left := _docker(kind, *listing, "--quiet", *self._filter).split():
                _docker(kind, *removal, *left)

    def _identity(self, service: str) -> str:
        return str(self.inspect()[service]["Id"])

    @property
    def _filter(self) -> tuple[str, str]:
        return "--filter", f"label=com.docker.compose.project={self.project}"


def _docker(*command: str) -> str:
    """Both streams of a command of docker; RuntimeError where it fails."""
    done = subprocess.run(
        ["docker", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(command[:2])}: {done.stdout[-2000:]}")
    return done.stdout
