"""Operating-system users: PostgreSQL refuses root, so as root it runs as somebody else."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import TypedDict

from stack.errors import PrivilegeError


class RunAs(TypedDict, total=False):
    """Arguments of subprocess.run that change the user."""

    user: int
    group: int
    extra_groups: list[int]


def postgres_user(wanted: str) -> str | None:
    """User for PostgreSQL when we are root: `wanted`, postgres or nobody; None as anybody else."""
    if os.geteuid() != 0:
        return None
    for name in [wanted] if wanted else ["postgres", "nobody"]:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return name
    raise PrivilegeError(
        "PostgreSQL refuses to run as root and there is no other user for it; "
        "set TIDEMARK_POSTGRES_OS_USER to an ordinary user"
    )


def run_as(user: str | None) -> RunAs:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def can_traverse(user: str, path: Path) -> bool:
    """Whether `user` may pass through every existing folder of path."""
    entry = pwd.getpwnam(user)
    groups = set(os.getgrouplist(user, entry.pw_gid))
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        status = folder.stat()
        if status.st_uid == entry.pw_uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid in groups:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def give(folder: Path, user: str | None) -> None:
    """Make a folder that only `user` may read, as PostgreSQL demands of its data."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if user is not None and folder.stat().st_uid != pwd.getpwnam(user).pw_uid:
        shutil.chown(folder, user)
        for inner in folder.rglob("*"):
            shutil.chown(inner, user)


def give_file(path: Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(path, user)


def open_to_all(folder: Path, user: str | None) -> None:
    """Let another user read and run what lies in `folder`, whatever our umask was."""
    if user is None or folder.stat().st_mode & stat.S_IXOTH:
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))
