"""What contestants run on: Java classes that Maven builds, and packages that only they need.

Both lie below the folder `bench` of the project's state, and are made once. A contestant whose part
cannot be had stays in the table, with the reason.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from stack import java
from tests.benchmarks.document import FOLDER
from tests.benchmarks.turns import CannotTakePart

HERE = Path(__file__).resolve().parents[1]
POM = HERE / "java" / "pom.xml"
REQUIREMENTS = HERE / "requirements.txt"
HEAP_MB = 2048  # of a Java contestant


class Unavailable(CannotTakePart):
    """A contestant cannot run here; the message says why."""


def build_java() -> Path:
    """Compile the Java contestants; the folder of `classes` and `jars`."""
    target = FOLDER / "java"
    sources = [POM, *sorted((HERE / "java" / "src").rglob("*.java"))]
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), f"-Dbench.target={target}"]
    _once(target, sources, [*command, "compiler:compile", "dependency:copy-dependencies"])
    return target


def java_command(*arguments: str) -> list[str]:
    """How a Java contestant starts; Unavailable where it cannot be built."""
    target = build_java()
    return [
        java.find() or "java",
        f"-Xms{HEAP_MB}m",
        f"-Xmx{HEAP_MB}m",
        "-Duser.timezone=UTC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
        f"{target}/classes:{target}/jars/*",
        "tidemark.bench.Contestant",
        *arguments,
    ]


def packages() -> Path:
    """The folder of the Python packages of requirements.txt, for PYTHONPATH."""
    target = FOLDER / "packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--upgrade", "--target", str(target), "--requirement", str(REQUIREMENTS)]
    _once(target, [REQUIREMENTS], command)
    return target


def with_packages() -> dict[str, str]:
    """Variables under which a process imports them, and the project's own behind them."""
    paths = (str(packages()), os.environ.get("PYTHONPATH", ""))
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _once(target: Path, sources: list[Path], command: list[str]) -> None:
    """Run a command that makes `target` out of `sources`, unless it has."""
    recipe = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()
    stamp = target / "made-from"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == recipe:
        return
    target.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no reason given"]
        raise Unavailable(f"{Path(command[0]).name} failed: {lines[-1]}")
    stamp.write_text(recipe, encoding="utf-8")
