"""Files of the state folder: rendered configuration, and passwords made once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from stack.settings import StackSettings

CONFIG = Path(__file__).resolve().parent / "config"

POSTGRES_ADMIN = "postgres"
# role → attributes; contracts.naming says what each is for, a test compares the two lists
POSTGRES_ROLES = {
    "tidemark_owner": "LOGIN",
    "tidemark_ingest": "LOGIN",
    "tidemark_cdc": "LOGIN REPLICATION",
    "tidemark_repair": "LOGIN",
    "tidemark_watch": "LOGIN",
    "tidemark_reader": "LOGIN",
}
CONNECT_ROLE = "tidemark_cdc"
PASSWORDS = (POSTGRES_ADMIN, *POSTGRES_ROLES, "tidemark_sink")


def write(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file in one step, so that no reader meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o644)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor with a mode
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def make_folders(settings: StackSettings) -> None:
    """The state folder; others may pass through to PostgreSQL's own part, nothing more."""
    for folder in (settings.state_dir, settings.state_dir / "data", settings.logs, settings.run):
        folder.mkdir(parents=True, exist_ok=True)
    settings.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)


def connect_secrets(settings: StackSettings) -> Path:
    """The only folder from which Connect may read: whoever reaches its REST API may name a file."""
    return settings.secrets / "connect"


def make_passwords(settings: StackSettings, *, private: bool = True) -> None:
    """A password file for each role that has none; without a newline, as Connect reads it whole.

    Containers run as several users: for them the files are not `private`, only their folder is.
    """
    for role in PASSWORDS:
        path = settings.secret_path(role)
        if not path.exists():
            write(path, secrets.token_urlsafe(24), private=True)
        path.chmod(0o600 if private else 0o644)
    write(
        connect_secrets(settings) / f"{CONNECT_ROLE}.password",
        settings.secret(CONNECT_ROLE),
        private=private,
    )


def tail(path: Path, lines: int) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
