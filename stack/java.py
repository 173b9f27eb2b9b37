"""The Java runtime that the services use: where it is and how it is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

MINIMUM = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find() -> str | None:
    """Path of the java program: JAVA_HOME's, else the one on PATH; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    if home and (program := Path(home, "bin", "java")).is_file():
        return str(program)
    return shutil.which("java")


def parse_version(text: str) -> int | None:
    """Major version from what `java -version` prints: 17 of `version "17.0.15"`, 8 of "1.8.0"."""
    match = _VERSION.search(text)
    return int(match[1]) if match else None


def version(program: str) -> int | None:
    """Major version of a java program; None where it does not tell."""
    try:
        told = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(told.stderr + told.stdout)


def command(
    *, heap_mb: int, classes: Path, temporary: Path, options: Sequence[str], main: Sequence[str]
) -> tuple[str, ...]:
    """Command line of a service: heap limit, folder of jars, an end when memory runs out.

    `temporary` takes the native libraries that jars unpack, which a killed process leaves behind.
    """
    return (
        find() or "java",
        f"-Xms{heap_mb // 2}m",
        f"-Xmx{heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={temporary}",
        "-Djava.awt.headless=true",
        "-Duser.timezone=UTC",
        *options,
        "-cp",
        f"{classes}/*",
        *main,
    )
