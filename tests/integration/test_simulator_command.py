"""`tidemark simulate` as a process: it starts, says what is wrong in one line, and ends cleanly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from runtime.settings import PROJECT_ROOT, SettingsError
from simulator.settings import SimulatorSettings


def command(*arguments: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "simulate", *arguments],
        cwd=PROJECT_ROOT,
        env=environment | {"TIDEMARK_ENV_FILE": "", "TIDEMARK_SIMULATOR_METRICS_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def failed(*arguments: str) -> tuple[int, str]:
    process = command(*arguments)
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def test_it_serves_until_sigterm_and_ends_at_once() -> None:
    """Up within seconds, the market at the wanted time, a clean end with exit code 0."""
    port = free_port()
    process = command("--port", str(port), "--now", "2026-03-01T00:00:00Z", "--seed", "9")
    try:
        url = f"http://127.0.0.1:{port}/_simulator/health"
        deadline = time.monotonic() + 30
        while True:
            try:
                health = httpx.get(url, timeout=2).json()
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert health["seed"] == 9
        assert 0 <= health["now_ms"] - 1_772_323_200_000 < 60_000
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_one_line_and_exit_code_1() -> None:
    """The line names the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = failed("--port", str(port))
    assert code == 1
    assert [line for line in said.splitlines() if "Error" in line] == [said.splitlines()[-1]]
    assert str(port) in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--now", "yesterday"], 2, "SIMULATOR_NOW"),
        (["--now", "2026-03-01T00:00:00"], 2, "time zone"),
        (["--trades-per-second", "-3"], 2, "greater than 0"),
        (["--faults", "nowhere.json"], 2, "does not exist"),
        (["--port", "99999"], 2, "--port"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(arguments: list[str], code: int, word: str) -> None:
    """Every wrong option is named."""
    returned, said = failed(*arguments)
    assert returned == code
    assert word in said
    assert "Traceback" not in said


def test_a_wrong_fault_script_is_named_and_exit_code_1(tmp_path: Path) -> None:
    """The line names the file and what is wrong in it."""
    script = tmp_path / "faults.json"
    script.write_text('{"rules": [{"action": {"do": "explode"}}]}', encoding="utf-8")
    code, said = failed("--port", "0", "--faults", str(script))
    assert code == 1
    assert "faults.json" in said
    assert "explode" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:18080", "http://192.168.1.5:18080", "https://127.0.0.1:1", "ftp://x"]
)
def test_only_loopback_is_listened_on(url: str) -> None:
    """Any other host is refused by the settings."""
    with pytest.raises(SettingsError, match="loopback"):
        SimulatorSettings(simulator_url=url)
