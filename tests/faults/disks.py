"""A disk that is too small: a service's folder on a tmpfs, and ballast that fills it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.trial import Trial

MB = 1 << 20
STEP = MB // 4


@dataclass(frozen=True)
class Disk:
    """A small file system, mounted at `folder`."""

    folder: Path

    @property
    def free(self) -> int:
        return int(psutil.disk_usage(str(self.folder)).free)

    @contextmanager
    def full(self) -> Iterator[int]:
        """Nothing more fits for the length of the block; the bytes of ballast."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                while self._grows(file.fileno()):
                    pass
            yield ballast.stat().st_size
        finally:
            ballast.unlink(missing_ok=True)

    @staticmethod
    def _grows(descriptor: int) -> bool:
        try:
            return os.write(descriptor, bytes(STEP)) == STEP
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False


@contextmanager
def small_disk(trial: Trial, folder: Path, size_mb: int, spare_mb: int = 32) -> Iterator[Disk]:
    """Put a folder on a tmpfs of `size_mb`, or as much more as leaves `spare_mb` free.

    Whoever uses the folder is stopped before and after the block. What is in it moves along, with
    owners and modes, and moves back however the block ends: the old state is never put back under
    a service that has gone on.
    """
    if os.geteuid() != 0 or shutil.which("mount") is None:
        trial.not_injectable("a small file system can be mounted by root only")
    aside, back = (folder.with_name(f"{folder.name}.{end}") for end in ("aside", "back"))
    size_mb = max(size_mb, _used_mb(folder) + spare_mb)
    _mount_over(trial, folder, aside, size_mb)
    trial.note(f"{folder.name} on a tmpfs of {size_mb} MB")
    try:
        yield Disk(folder)
    finally:
        _copy(folder, back)  # where this fails, the newest state is still on the tmpfs
        _run("umount", "--lazy", folder)
        folder.rmdir()
        back.rename(folder)
        shutil.rmtree(aside)


def _mount_over(trial: Trial, folder: Path, aside: Path, size_mb: int) -> None:
    """Mount a tmpfs in the folder's place with a copy of what is in it; or leave all as it was."""
    folder.rename(aside)
    folder.mkdir()
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder)
    try:
        if mounted.returncode == 0:
            _copy(aside, folder)
            return
    except BaseException:
        _run("umount", "--lazy", folder)
        folder.rmdir()
        aside.rename(folder)
        raise
    folder.rmdir()
    aside.rename(folder)
    trial.not_injectable(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")


def _used_mb(folder: Path) -> int:
    done = _run("du", "-sm", str(folder))
    return int(done.stdout.split()[0])


def _copy(source: Path, target: Path) -> None:
    """Contents, owners, modes and holes."""
    done = _run("cp", "--archive", "--sparse=always", "--no-target-directory", source, target)
    assert done.returncode == 0, done.stderr[-500:]


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
