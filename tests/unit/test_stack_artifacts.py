"""The check of what Maven delivers, on small files; nothing is downloaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack import artifacts
from stack.errors import ArtifactError


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "a.jar").write_bytes(b"one")
    (tmp_path / "kafka" / "b.jar").write_bytes(b"two")
    return tmp_path


@pytest.fixture
def expected(fetched: Path) -> dict[str, str]:
    names = ("kafka/a.jar", "kafka/b.jar")
    return {name: artifacts.sha256(fetched / name) for name in names}


def test_files_as_listed_pass(fetched: Path, expected: dict[str, str]) -> None:
    """A list for more profiles than were fetched is fine: other architectures stand there too."""
    artifacts.check(fetched, expected | {"postgres-linux-arm64v8/x.jar": "0"})


def test_one_flipped_byte_is_refused(fetched: Path, expected: dict[str, str]) -> None:
    """The message names the file, both hashes and the remedy."""
    (fetched / "kafka" / "a.jar").write_bytes(b"onf")
    with pytest.raises(ArtifactError, match=r"kafka/a\.jar was altered.*delete that file"):
        artifacts.check(fetched, expected)


def test_foreign_file_is_refused(fetched: Path, expected: dict[str, str]) -> None:
    """A jar that nobody listed would be on the class path."""
    (fetched / "kafka" / "evil.jar").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"evil\.jar is not in stack/checksums\.txt"):
        artifacts.check(fetched, expected)


def test_missing_file_is_refused(fetched: Path, expected: dict[str, str]) -> None:
    """A profile that lost a dependency does not pass for complete."""
    (fetched / "kafka" / "b.jar").unlink()
    with pytest.raises(ArtifactError, match=r"did not deliver kafka/b\.jar"):
        artifacts.check(fetched, expected)


def test_list_covers_both_architectures_and_every_profile_of_the_pom() -> None:
    """The committed list has each profile; hashes are SHA-256; it reads back."""
    listed = artifacts.read_checksums(artifacts.CHECKSUMS)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in listed.values())
    pom_profiles = set(re.findall(r"<profile>\s*<id>([^<]+)</id>", artifacts.POM.read_text()))
    assert {name.split("/")[0] for name in listed} == pom_profiles
    assert {f"postgres-linux-{each}" for each in artifacts.POSTGRES_ARCHITECTURES} <= pom_profiles


def test_stamp_of_another_recipe_means_not_present(tmp_path: Path) -> None:
    """A changed pom or list fetches anew; an unchanged one does nothing."""
    (tmp_path / "stamp").write_text("0" * 64)
    assert not artifacts.present(tmp_path)
    (tmp_path / "stamp").write_text(artifacts.recipe() + "\n")
    assert artifacts.present(tmp_path)


def test_machine_without_postgres_artifact_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear error instead of a Maven failure."""
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ArtifactError, match="x86-64 and arm64 only"):
        artifacts.profiles()


@pytest.mark.parametrize(("machine", "suffix"), [("x86_64", "amd64"), ("aarch64", "arm64v8")])
def test_architecture_decides_the_postgres_artifact(
    monkeypatch: pytest.MonkeyPatch, machine: str, suffix: str
) -> None:
    """x86-64 and arm64, by the names that Linux gives them."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert artifacts.profiles()[-1] == f"postgres-linux-{suffix}"
