"""The outside parts: fetched by Maven from pinned coordinates, checked, unpacked, once.

Layout of the artifacts folder: `kafka/*.jar`, `cassandra/*.jar`, `debezium/<plugin>/*.jar`,
`postgres/{bin,lib,share}`, and `stamp` with the hash of what it was made from.

`python -m stack.artifacts lock` writes checksums.txt anew, for both architectures.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.errors import ArtifactError
from stack.settings import StackSettings, postgres_architecture

Progress = Callable[[str], None]

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
CHECKSUMS = HERE / "checksums.txt"
POSTGRES_ARCHITECTURES = ("amd64", "arm64v8")
_DOWNLOADED = re.compile(r"Downloaded from \S+: \S*/(\S+\.(?:jar|gz))")


def profiles() -> list[str]:
    """Maven profiles of this machine; ArtifactError where PostgreSQL has no build for it."""
    architecture = postgres_architecture()
    if architecture is None:
        raise ArtifactError(
            "PostgreSQL's artifact exists for x86-64 and arm64 only; "
            "use STACK=docker on this machine"
        )
    return ["kafka", "debezium", "cassandra", f"postgres-linux-{architecture}"]


def recipe() -> str:
    """Hash of everything that decides what lies in the artifacts folder."""
    digest = hashlib.sha256()
    for part in (POM.read_bytes(), CHECKSUMS.read_bytes(), "\n".join(profiles()).encode()):
        digest.update(part)
    return digest.hexdigest()


def present(artifacts: Path) -> bool:
    """Whether the folder holds exactly what pom and checksums say."""
    stamp = artifacts / "stamp"
    return stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == recipe()


def ensure(settings: StackSettings, progress: Progress) -> bool:
    """Fetch, check and unpack what is missing; False when there was nothing to do."""
    artifacts = settings.artifacts
    if present(artifacts):
        return False
    artifacts.mkdir(parents=True, exist_ok=True)
    with _locked(artifacts / ".lock"):
        if present(artifacts):  # another `up` was faster
            return False
        with tempfile.TemporaryDirectory(dir=artifacts, prefix=".fetch-") as folder:
            fetched = Path(folder)
            for profile in profiles():
                fetch(profile, fetched / profile, progress)
            progress("checking SHA-256 of every file")
            check(fetched, read_checksums(CHECKSUMS))
            _place(fetched, artifacts)
        (artifacts / "stamp").write_text(recipe() + "\n", encoding="utf-8")
    return True


def fetch(profile: str, target: Path, progress: Progress) -> None:
    """Let Maven copy a profile's files to `target`; ArtifactError with Maven's last lines."""
    progress(f"{profile}: resolving with Maven")
    command = ["mvn", "--batch-mode", "--file", str(POM), "--activate-profiles", profile]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    lines: list[str] = []
    downloaded = 0
    try:
        maven = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError as error:
        raise ArtifactError("Maven (mvn) is not installed; `tidemark doctor` says how") from error
    with maven:
        assert maven.stdout is not None  # noqa: S101 - Popen was given a pipe
        for line in maven.stdout:
            lines.append(line.rstrip())
            if match := _DOWNLOADED.search(line):
                downloaded += 1
                progress(f"{profile}: {downloaded} files downloaded, {match[1]}")
    if maven.returncode != 0:
        errors = [line for line in lines if "[ERROR]" in line] or lines
        raise ArtifactError(
            f"Maven could not fetch {profile}; check the network and ~/.m2/settings.xml, "
            "then type `tidemark up` again\n" + "\n".join(errors[:5])
        )


def read_checksums(path: Path) -> dict[str, str]:
    """{profile/file name: SHA-256} from lines as sha256sum writes them."""
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in pairs}


def check(fetched: Path, expected: dict[str, str]) -> None:
    """Compare every fetched file with the list; a foreign, missing or changed one is an error."""
    found = {str(path.relative_to(fetched)): path for path in fetched.rglob("*") if path.is_file()}
    wanted = {name for name in expected if (fetched / name).parent.is_dir()}
    if missing := sorted(wanted - found.keys()):
        raise ArtifactError(f"Maven did not deliver {', '.join(missing[:5])}; see stack/pom.xml")
    for name, path in sorted(found.items()):
        if name not in expected:
            raise ArtifactError(
                f"{name} is not in stack/checksums.txt; "
                "if stack/pom.xml was changed on purpose, run `python -m stack.artifacts lock`"
            )
        if (actual := sha256(path)) != expected[name]:
            raise ArtifactError(
                f"{name} was altered: its SHA-256 is {actual}, stack/checksums.txt says "
                f"{expected[name]}; delete that file from Maven's cache (~/.m2/repository) "
                "and try again"
            )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(fetched: Path, artifacts: Path) -> None:
    """Unpack beside the jars, then move each folder into its place."""
    plugin = fetched / "debezium"
    for archive in plugin.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            _unpack(tar, plugin)
        archive.unlink()
    (bundle,) = fetched.glob("postgres-linux-*/*.jar")
    postgres = fetched / "postgres"
    with zipfile.ZipFile(bundle) as jar:
        (member,) = (name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(member) as packed, tarfile.open(fileobj=packed, mode="r:xz") as tar:
            _unpack(tar, postgres)
    for name in ("kafka", "debezium", "cassandra", "postgres"):
        shutil.rmtree(artifacts / name, ignore_errors=True)
        (fetched / name).rename(artifacts / name)


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Unpack an archive that was checked; everything belongs to us, not to its builder's uid.

    Python 3.11.2 (Debian 12) has no extraction filters yet, so the members are cleaned here.
    """
    archive.extraction_filter = lambda member, _path: member  # from 3.12 on, one must be named
    for member in archive:
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        member.mode &= 0o755
        archive.extract(member, target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock() -> None:
    """Write checksums.txt anew from what Maven delivers now, for both architectures."""
    names = ["kafka", "debezium", "cassandra"]
    names += [f"postgres-linux-{architecture}" for architecture in POSTGRES_ARCHITECTURES]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for profile in names:
            fetch(profile, root / profile, lambda _line: None)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        lines = [f"{sha256(path)}  {path.relative_to(root)}\n" for path in files]
    CHECKSUMS.write_text("".join(lines), encoding="utf-8")
    sys.stdout.write(f"{len(lines)} files in {CHECKSUMS}\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python -m stack.artifacts lock")
    lock()
