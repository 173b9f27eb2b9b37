"""What the doctor finds, on made-up machines and one really taken port."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.settings import PROJECT_ROOT
from stack import doctor, java
from stack.settings import StackSettings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)
    return StackSettings(state_dir=tmp_path)


def test_taken_port_is_found_with_its_holder() -> None:
    """The finding names port, holder and the variable that moves the service."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (found,) = doctor.port_findings({"cassandra storage": port}, own_pids=set())
        assert str(port) in found.problem
        assert f"pid {os.getpid()}" in found.problem
        assert "TIDEMARK_CASSANDRA_STORAGE_PORT" in found.remedy
        assert list(doctor.port_findings({"x": port}, own_pids={os.getpid()})) == []
    assert list(doctor.port_findings({"x": port}, own_pids=set())) == []


@pytest.mark.parametrize(
    ("told", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_401"', 8),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("bash: java: nonsense", None),
    ],
)
def test_java_version_is_read_from_what_it_prints(told: str, major: int | None) -> None:
    """Old and new styles of Java's own numbering."""
    assert java.parse_version(told) == major


def test_old_java_is_named_with_the_remedy(tmp_path: Path) -> None:
    """JAVA_HOME may point to one that is too old."""
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    program.chmod(0o755)
    (found,) = doctor.java_findings(str(program))
    assert "is Java 11; 17 is needed" in found.problem
    assert "JAVA_HOME" in found.remedy
    (none,) = doctor.java_findings(None)
    assert none.problem == "there is no Java"


def test_java_home_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every Java program of the field does."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.find() == str(tmp_path / "bin" / "java")


def test_too_little_memory_is_found_in_numbers(settings: StackSettings) -> None:
    """What there is, what is needed, and what to lower."""
    needed = doctor.needed_mb(settings)
    assert 2500 < needed < 5000
    (found,) = doctor.memory_findings(1000, needed)
    assert "1000 MB" in found.problem
    assert str(needed) in found.problem
    assert list(doctor.memory_findings(needed, needed)) == []


def test_full_disk_is_found(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is looked at where the folder will be."""
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=5 << 20))
    problems = [found.problem for found in doctor.folder_findings(settings)]
    assert any("5 MB are free" in problem for problem in problems)


@pytest.mark.parametrize("odd", list(":;,#?%=$*[]{}'\"\\\n\té"))
def test_character_that_breaks_java_is_found(settings: StackSettings, odd: str) -> None:
    """In the state folder, and once: what lies below it has the same cause."""
    awkward = settings.model_copy(update={"state_dir": Path(f"/srv/a{odd}b")})
    (found,) = doctor.path_findings(awkward)
    assert repr(odd) in found.problem
    assert "TIDEMARK_STATE_DIR" in found.remedy


def test_each_awkward_folder_has_its_own_remedy(settings: StackSettings) -> None:
    """Another variable for the artifacts; the project itself has to move."""
    artifacts = settings.model_copy(update={"artifacts_dir": Path("/srv/a,b")})
    (found,) = doctor.path_findings(artifacts)
    assert "TIDEMARK_ARTIFACTS_DIR" in found.remedy
    (found,) = doctor.path_findings(settings, project=Path("/home/zoë/tidemark"))
    assert "move the project" in found.remedy


def test_usual_characters_of_paths_are_fine(settings: StackSettings) -> None:
    """A space too: every reader of our paths takes them whole."""
    usual = settings.model_copy(update={"state_dir": Path("/srv/My Data/v1.0-a_b+c@d~e")})
    assert list(doctor.path_findings(usual)) == []


def test_taken_metrics_port_stops_nothing() -> None:
    """The process runs without its metrics; the note names the variable."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ports = {"sink metrics": holder.getsockname()[1]}
        (found,) = doctor.port_findings(ports, own_pids=set(), stops=False)
    assert "TIDEMARK_SINK_METRICS_PORT" in found.remedy
    assert not found.stops
    assert str(found).startswith("note:")


def test_readme_needs_what_the_doctor_needs(settings: StackSettings) -> None:
    """Memory and disk, in GB with one digit."""
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    for megabytes in (doctor.needed_mb(settings), doctor.DISK_MB, doctor.ARTIFACTS_MB):
        assert f"{megabytes / 1000:.1f} GB" in readme


def test_state_folder_that_is_a_file_is_found(settings: StackSettings) -> None:
    """Neither root nor anybody else can write below a file."""
    (settings.state_dir / "file").touch()
    wrong = settings.model_copy(update={"state_dir": settings.state_dir / "file" / "state"})
    assert any("cannot be written" in found.problem for found in doctor.folder_findings(wrong))


def test_platform_is_judged_by_python_architecture_and_libc() -> None:
    """Each of the three has its own remedy; a good one has none."""
    assert list(doctor.platform_findings((3, 11), "amd64", "glibc")) == []
    found = list(doctor.platform_findings((3, 9), None, ""))
    assert [each.subject for each in found] == ["python", "architecture", "libc"]
    assert all(each.remedy for each in found)
