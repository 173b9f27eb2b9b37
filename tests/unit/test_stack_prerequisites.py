"""The bootstrap scripts under a POSIX shell, on machines made of a few fake programs.

Nothing outside the made-up PATH can be called: apt-get here only writes down what it was asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.settings import PROJECT_ROOT

SHELL = shutil.which("dash") or "/bin/sh"
REAL = ("sed", "head", "dirname", "env", "sh")


class Machine:
    """Programs are one-line scripts; what apt-get gets is kept."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        for name in REAL:
            (self.bin / name).symlink_to(SHELL if name == "sh" else str(shutil.which(name)))
        self.has("id", "echo 0")
        self.has("python3", "exit 1")
        self.has("java", "echo 'openjdk version \"17.0.1\"' >&2")
        self.has("mvn", "exit 0")
        self.has("apt-get", f'echo "$DEBIAN_FRONTEND $*" >>{self.calls}')
        self.knows("python3", version="3.13.5-1")

    def has(self, name: str, line: str) -> None:
        program = self.bin / name
        program.write_text(f"#!{SHELL}\n{line}\n")
        program.chmod(0o755)

    def knows(self, *packages: str, version: str) -> None:
        """What apt-cache can show."""
        known = " | ".join(packages)
        self.has("apt-cache", f'case $2 in {known}) echo "Version: {version}";; *) exit 100;; esac')

    def run(
        self, script: str = "stack/prerequisites.sh", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SHELL, script],
            cwd=PROJECT_ROOT,
            env={"PATH": str(self.bin), "TIDEMARK_STATE_DIR": "/nonexistent", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def asked(self) -> str:
        return self.calls.read_text() if self.calls.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_complete_machine_needs_nothing(machine: Machine) -> None:
    """Not even new lists of packages are asked for."""
    machine.has("python3", "exit 0")
    assert machine.run().returncode == 0
    assert machine.asked() == ""


def test_missing_parts_are_installed_without_a_question(machine: Machine) -> None:
    """Python of the release, Java and Maven, waiting for another apt."""
    (machine.bin / "mvn").unlink()
    machine.has("java", "exit 127")
    assert machine.run().returncode == 0
    update, install = machine.asked().splitlines()
    assert update == "noninteractive -o DPkg::Lock::Timeout=120 -qq update"
    assert install.startswith("noninteractive -o DPkg::Lock::Timeout=120 install -y")
    assert install.endswith(" python3 python3-venv default-jre-headless maven")


def test_sudo_does_not_drop_the_variables(machine: Machine) -> None:
    """The real one clears the environment; so does this one."""
    machine.has("id", "echo 1000")
    machine.has("sudo", f'shift; [ "$1" = true ] || env -i PATH={machine.bin} "$@"')
    assert machine.run().returncode == 0
    assert all(line.startswith("noninteractive ") for line in machine.asked().splitlines())


def test_without_rights_the_command_is_printed(machine: Machine) -> None:
    """And nothing is installed."""
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")
    refused = machine.run()
    assert refused.returncode == 1
    assert "sudo apt-get install" in refused.stderr
    assert "python3-venv" in refused.stderr
    assert machine.asked() == ""


def test_failing_update_is_said_and_not_fatal(machine: Machine) -> None:
    """A dead third-party source must not stop an install that can work."""
    machine.has("apt-get", f'case "$*" in *update) exit 100;; esac; echo "$*" >>{machine.calls}')
    done = machine.run()
    assert done.returncode == 0
    assert "apt-get update failed" in done.stderr
    assert "install" in machine.asked()


def test_newest_python_beside_an_old_one_is_taken(machine: Machine) -> None:
    """Where the release's python3 is too old, but another is packaged with its venv."""
    machine.has(
        "apt-cache",
        'case $2 in python3) echo "Version: 3.10.6-1";; python3.1[12]-venv) ;; *) exit 100;; esac',
    )
    assert machine.run().returncode == 0
    assert machine.asked().rstrip().endswith(" python3.12 python3.12-venv")


def test_release_without_a_new_python_is_told_the_remedy(machine: Machine) -> None:
    """Nothing half-fitting is installed."""
    machine.knows("python3", version="3.9.2-3")
    refused = machine.run()
    assert refused.returncode == 1
    assert "make PYTHON=" in refused.stderr
    assert "install" not in machine.asked()


def test_wrong_python_or_java_by_variable_is_named(machine: Machine) -> None:
    """A package would not change what PYTHON and JAVA_HOME name."""
    assert "PYTHON=/opt/python2 is no" in machine.run(PYTHON="/opt/python2").stderr
    machine.has("python3", "exit 0")
    assert "JAVA_HOME=/opt/none holds no" in machine.run(JAVA_HOME="/opt/none").stderr
    assert machine.asked() == ""


def test_containers_need_neither_java_nor_maven(machine: Machine) -> None:
    """`make STACK=docker up` on a machine with Python alone."""
    machine.has("python3", "exit 0")
    for name in ("java", "mvn"):
        (machine.bin / name).unlink()
    assert machine.run(TIDEMARK_STACK="docker").returncode == 0
    assert machine.asked() == ""


@pytest.mark.parametrize("target", ["test", "test-docker", "test-faults", "bench"])
def test_tests_need_java_also_with_containers_chosen(target: str) -> None:
    """The Makefile passes `local` to what looks for Java and Maven."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make")
    environment = {"PATH": os.environ["PATH"]}
    shown = f"{target}: ; @echo stack=$$TIDEMARK_STACK\n"
    rules = (PROJECT_ROOT / "Makefile").read_text().split(".PHONY", 1)[0]
    told = subprocess.run(
        [make, "--no-print-directory", "-f", "-", "STACK=docker", target],
        input=rules + shown,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "stack=local"


CONTAINERS = "tests/containers/prerequisites.sh"


def test_machine_with_an_engine_needs_nothing(machine: Machine) -> None:
    """Whether compose is the plugin or the older program."""
    machine.has("docker", '[ "$1" != compose ]')
    machine.has("docker-compose", "exit 0")
    machine.has("debootstrap", "exit 0")
    assert machine.run(CONTAINERS).returncode == 0
    (machine.bin / "docker-compose").unlink()
    machine.has("docker", "exit 0")
    assert machine.run(CONTAINERS).returncode == 0
    assert machine.asked() == ""


def test_engine_that_does_not_run_is_not_installed_again(machine: Machine) -> None:
    """The tests start it."""
    for name in ("dockerd", "docker-compose", "debootstrap"):
        machine.has(name, "exit 0")
    machine.has("docker", "exit 1")
    assert machine.run(CONTAINERS).returncode == 0
    assert machine.asked() == ""


def test_engine_compose_and_debootstrap_are_installed(machine: Machine) -> None:
    """By the names that this release has for them."""
    machine.knows("docker-cli", "docker-compose", "debian-archive-keyring", version="1")
    assert machine.run(CONTAINERS).returncode == 0
    packages = " docker.io docker-cli docker-compose debootstrap debian-archive-keyring"
    assert machine.asked().rstrip().endswith(packages)


def test_engine_without_rights_is_told_and_not_installed(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")
    refused = machine.run(CONTAINERS)
    assert refused.returncode == 1
    assert "sudo apt-get install" in refused.stderr
    assert " docker.io" in refused.stderr
    assert machine.asked() == ""
