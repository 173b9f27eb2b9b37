"""The compose file on a Docker engine, under a project name, ports and volumes of its own.

    pytest tests/containers [--images=official|stand-ins]

Official images where all of them can be had, else stand-ins that are built from packages. At the
end containers, volumes and network are gone; images stay, so that the next run starts sooner.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pytest_docker.plugin import Services

from runtime.settings import PROJECT_ROOT
from stack.files import make_folders, make_passwords
from stack.settings import StackSettings
from tests.conftest import KEPT_LOGS, Pipeline, free_ports, fresh_environment, fresh_folder
from tests.conftest import settings_of as read_settings
from tests.containers import engine, stand_ins
from tests.containers.engine import Containers

COMPOSE = PROJECT_ROOT / "docker-compose.yml"
PROFILES = "core,simulator,monitoring"
PORTS = ("KAFKA_PORT", "CONNECT_PORT", "SIMULATOR_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--images", choices=("auto", "official", "stand-ins"), default="auto")


def say(line: str) -> None:
    """What goes before the first test takes minutes; `make test-docker` shows it as it comes."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@pytest.fixture(scope="session")
def _engine() -> Iterator[None]:
    """An engine that answers."""
    with engine.running(KEPT_LOGS):
        yield


@pytest.fixture(scope="session")
def official(request: pytest.FixtureRequest, _engine: None) -> bool:
    """Whether the official images run, or stand-ins of them."""
    wanted = request.config.getoption("--images")
    if wanted == "auto":
        return engine.official_images_answer(COMPOSE)
    return bool(wanted == "official")


@pytest.fixture(scope="session")
def environment() -> Iterator[dict[str, str]]:
    """TIDEMARK_* of a stack of its own, and the ports that compose alone knows."""
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    folder = fresh_folder()
    made = (
        fresh_environment(folder)
        | ports
        | {
            "TIDEMARK_STACK": "docker",
            "TIDEMARK_SECRETS_DIR": str(folder / "secrets"),
            "TIDEMARK_KAFKA_BOOTSTRAP": f"127.0.0.1:{ports['KAFKA_PORT']}",
            "TIDEMARK_CONNECT_URL": f"http://127.0.0.1:{ports['CONNECT_PORT']}",
            "TIDEMARK_SIMULATOR_URL": f"http://127.0.0.1:{ports['SIMULATOR_PORT']}",
            "COMPOSE_PROFILES": PROFILES,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("TIDEMARK_", "COMPOSE_"))]:
            patch.delenv(name)
        for name, value in made.items():
            patch.setenv(name, value)
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(environment: dict[str, str]) -> StackSettings:
    """As `tidemark up` reads them; the passwords are made."""
    read = read_settings(environment)
    make_folders(read)
    make_passwords(read, private=False)
    return read


@pytest.fixture(scope="session")
def docker_compose_command(_engine: None) -> str:
    return engine.compose_command()


@pytest.fixture(scope="session")
def docker_compose_file(official: bool, settings: StackSettings) -> list[str]:
    """Our compose file, and stand-ins over it where they are needed."""
    if official:
        say("containers of the official images")
        return [str(COMPOSE)]
    say(f"containers of stand-ins, without {', '.join(stand_ins.LEFT_OUT)}")
    stand_ins.build(settings, say)
    return [str(COMPOSE), str(stand_ins.COMPOSE)]


@pytest.fixture(scope="session")
def docker_compose_project_name(_engine: None) -> Iterator[str]:
    """Its own; whatever a failed start leaves of it is removed."""
    project = f"tidemark-test-{os.getpid()}"
    yield project
    left = Containers(project)
    if left.inspect():
        _keep_logs(left)
    left.remove()


@pytest.fixture(scope="session")
def docker_setup(official: bool) -> list[str]:
    """Start every service by name, but those that cannot run here."""
    names = yaml.safe_load(COMPOSE.read_text())["services"]
    wanted = [name for name in names if official or name not in stand_ins.LEFT_OUT]
    return [f"up --build --detach {' '.join(wanted)}"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return ["down --volumes --remove-orphans --timeout 60"]


@pytest.fixture(scope="session")
def containers(
    request: pytest.FixtureRequest,
    docker_services: Services,  # noqa: ARG001 - they run
    docker_compose_project_name: str,
) -> Iterator[Containers]:
    """The running containers; after a failure their logs are kept."""
    started = Containers(docker_compose_project_name)
    yield started
    if request.session.testsfailed:
        _keep_logs(started)


@pytest.fixture(scope="session")
def pipeline(
    containers: Containers,
    settings: StackSettings,
    environment: dict[str, str],
    docker_compose_file: list[str],
) -> Pipeline:
    """The containers as a pipeline, for tests that know nothing of containers."""
    project = {
        "COMPOSE_FILE": os.pathsep.join(docker_compose_file),
        "COMPOSE_PROJECT_NAME": containers.project,
    }
    return Pipeline(settings, environment | project)


def _keep_logs(containers: Containers) -> None:
    folder: Path = KEPT_LOGS / containers.project
    containers.keep_logs(folder)
    say(f"logs of the containers are kept in {folder}")
