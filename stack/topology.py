"""What runs: one `Program` for each service and each process of ours, as pure data."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.settings import ENV_PREFIX, PROJECT_ROOT
from stack.settings import PROCESSES, StackSettings

# The mark by which a process is known to be ours after a crash of its supervisor.
MARK = "TIDEMARK_SUPERVISED_IN"
# Hash of a service's configuration files: a program whose hash changes is restarted.
CONFIGURATION = "TIDEMARK_CONFIGURATION"
_COMMANDS = {
    "simulator": "simulate",
    "ingest": "ingest",
    "sink": "sink",
    "watch": "watch",
    "page": "page",
}
_SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "API_KEY")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One supervised program. `order` is the order of start, and reversed of the end."""

    name: str
    command: tuple[str, ...]
    order: int
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""  # operating-system user; empty: the supervisor's own
    directory: Path = PROJECT_ROOT
    stop_signal: str = "TERM"
    stop_group: bool = True  # PostgreSQL's children must not get its signal
    stop_wait_s: int = 30


def configuration(*texts: str) -> dict[str, str]:
    """Environment that changes when one of these texts does."""
    return {CONFIGURATION: hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]}


def own_process(
    settings: StackSettings, name: str, extra: Mapping[str, str] | None = None
) -> Program:
    """The program of one of our processes (`simulator`, `ingest`, `sink`, `watch`, `page`)."""
    return Program(
        name=name,
        command=(sys.executable, "-m", "cli.main", _COMMANDS[name]),
        order=50 + 10 * PROCESSES.index(name),
        environment=process_environment(settings, extra or {}),
        stop_wait_s=15,
    )


def process_environment(settings: StackSettings, extra: Mapping[str, str]) -> dict[str, str]:
    """TIDEMARK_* for our processes: what the caller has, then the resolved settings, no secrets.

    COVERAGE_* goes along, so that a measured test run measures its processes too.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name.startswith((ENV_PREFIX, "COVERAGE_"))
        and not any(word in name for word in _SECRET_WORDS)
    }
    return inherited | settings_environment(settings) | dict(extra) | {"PYTHONUNBUFFERED": "1"}


def settings_environment(settings: StackSettings) -> dict[str, str]:
    """The resolved settings as TIDEMARK_* variables; unset optional ones are left out."""
    values = {
        f"{ENV_PREFIX}{name.upper()}": str(value)
        for name, value in settings.model_dump().items()
        if value is not None and value != ""
    }
    return values | {f"{ENV_PREFIX}SECRETS_DIR": str(settings.secrets)}
