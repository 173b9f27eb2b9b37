"""Stand-ins of the official images, for a machine that reaches no registry of images.

The bases come from Debian by debootstrap, the services from the jars and programs of the local
stack (Maven), Prometheus from Debian, our own image by its Dockerfile on Debian's Python (PyPI).
Each keeps what the compose file relies on: users, folders, entrypoint, arguments. What they cannot
show stands in docs/containers.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from stack import artifacts
from stack.services import cassandra
from stack.settings import StackSettings

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images"
COMPOSE = HERE / "stand-ins.yml"
LEFT_OUT = ("grafana",)  # no registry of packages has it

PREFIX = "tidemark-test"
SUITE = "bookworm"
# how this machine reaches its packages
TRUST = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")
# image → folders of the artifacts that it copies
SERVICES: dict[str, tuple[str, ...]] = {
    "postgres": ("postgres",),
    "kafka": ("kafka",),
    "connect": ("kafka", "debezium"),
    "cassandra": ("cassandra",),
    "prometheus": (),
}

Say = Callable[[str], None]


class NotBuilt(Exception):
    """A stand-in could not be built; the message has the last lines of what said so."""


def build(settings: StackSettings, say: Say) -> None:
    """Build what is missing or was changed; our own image is compose's to build."""
    artifacts.ensure(settings, say)
    if not _present("debian"):
        say("debian: debootstrap")
        _bootstrap()
    for name in ("python", "java"):
        say(f"{name}: building")
        _build(name, IMAGES / name)
    for name, folders in SERVICES.items():
        say(f"{name}: building")
        with tempfile.TemporaryDirectory(prefix="tidemark-image-") as context:
            _gather(Path(context), name, [settings.artifacts / folder for folder in folders])
            _build(name, Path(context))


def _present(name: str) -> bool:
    command = ["docker", "image", "inspect", f"{PREFIX}/{name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _bootstrap() -> None:
    """A Debian of the least packages as an image, which trusts whom this machine trusts."""
    if os.geteuid() != 0:
        raise NotBuilt("debootstrap needs root; run `make test-docker` as root")
    with tempfile.TemporaryDirectory(prefix="tidemark-debian-") as folder:
        root = Path(folder) / "root"
        mirror = _mirror()
        _run("debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, root, *mirror)
        for name in TRUST:
            if (source := Path("/", name)).is_file():
                shutil.copyfile(source, root / name)
        archive = Path(folder) / "root.tar"
        _run("tar", "--create", "--numeric-owner", "--directory", root, "--file", archive, ".")
        _run("docker", "import", archive, f"{PREFIX}/debian")


def _mirror() -> list[str]:
    """From where this machine takes the same release; none: debootstrap's own place."""
    wanted = "$(CODENAME) $(COMPONENT) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    places = [line.split() for line in told.splitlines()]
    return [uri for suite, component, uri in places if (suite, component) == (SUITE, "main")][:1]


def _gather(context: Path, name: str, folders: list[Path]) -> None:
    """What a Dockerfile copies: its own files, artifacts, and Cassandra's options for Java."""
    shutil.copytree(IMAGES / name, context, dirs_exist_ok=True)
    for folder in folders:
        shutil.copytree(folder, context / folder.name, symlinks=True)
    if name == "cassandra":
        (context / "jvm.options").write_text("\n".join(cassandra._OPTIONS) + "\n")


def _build(name: str, context: Path) -> None:
    # the machine's own network, through which the registries of packages are reached
    _run("docker", "build", "--network=host", "--tag", f"{PREFIX}/{name}", context)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise NotBuilt(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{last}")
