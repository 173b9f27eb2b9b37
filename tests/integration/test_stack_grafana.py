"""Grafana as `up` starts it: a program in its place that answers, below a supervisor of its own."""

from __future__ import annotations

import configparser
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from runtime.settings import PROJECT_ROOT
from stack import launcher
from stack.files import make_folders
from stack.services import grafana
from stack.settings import StackSettings
from stack.supervision import Supervisor
from tests.conftest import free_ports, fresh_environment, settings_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PROGRAM = """#!{python}
import configparser, http.server, sys

if sys.argv[1:] == ["--version"]:
    print("grafana version 12.4.0")
    sys.exit()
(config,) = [each.partition("=")[2] for each in sys.argv if each.startswith("--config=")]
told = configparser.RawConfigParser()
told.read(config)


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()


address = told["server"]["http_addr"], int(told["server"]["http_port"])
http.server.HTTPServer(address, Answers).serve_forever()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackSettings]:
    """A stack of nothing but its supervisor, on a machine with a Grafana of ours."""
    home = tmp_path / "home"
    for name in ("bin", "conf", "public"):
        (home / name).mkdir(parents=True)
    (home / "conf" / "defaults.ini").touch()
    program = home / "bin" / "grafana"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("GRAFANA_HOME", str(home))
    (port,) = free_ports(1)
    environment = fresh_environment(tmp_path / "state") | {"TIDEMARK_GRAFANA_PORT": str(port)}
    made = settings_of(environment)
    make_folders(made)
    supervisor = Supervisor(made)
    supervisor.update([])
    supervisor.start()
    yield made
    launcher.stop(made, lambda _line: None)


def process_of(settings: StackSettings) -> psutil.Process:
    """The running Grafana."""
    (state,) = [each for each in launcher.states(settings) if each.name == grafana.NAME]
    assert state.running
    assert state.pid is not None
    return psutil.Process(state.pid)


def health(settings: StackSettings) -> int:
    url = f"http://127.0.0.1:{settings.grafana_port}/api/health"
    return httpx.get(url, trust_env=False).status_code


def test_grafana_runs_on_loopback_with_our_provisioning(settings: StackSettings) -> None:
    """Where it is, is said in a line; its password is in a file that is ours alone."""
    told = launcher.start_grafana(settings)
    password = grafana.password_path(settings)
    assert f"http://127.0.0.1:{settings.grafana_port}" in told
    assert str(password) in told
    assert health(settings) == 200
    running = process_of(settings)
    listening = [
        each.laddr
        for each in running.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert [(each.ip, each.port) for each in listening] == [("127.0.0.1", settings.grafana_port)]
    secret = password.read_text()
    assert len(secret) > 20
    assert password.stat().st_mode & 0o777 == 0o600
    assert secret not in " ".join([*running.cmdline(), *running.environ().values(), told])
    (config,) = [each for each in running.cmdline() if each.startswith("--config=")]
    read = configparser.RawConfigParser()
    read.read(config.partition("=")[2])
    assert Path(read["paths"]["provisioning"]) == PROJECT_ROOT / "grafana" / "provisioning"
    assert list(Path(read["paths"]["provisioning"]).rglob("*.yaml"))
    assert read["security"]["admin_password"] == f"$__file{{{password}}}"


def test_a_second_up_leaves_it_alone_and_down_ends_it(settings: StackSettings) -> None:
    """The same process and the same password; after `down` nobody answers."""
    first = launcher.start_grafana(settings)
    running, secret = process_of(settings), grafana.password_path(settings).read_text()
    assert launcher.start_grafana(settings) == first
    assert process_of(settings).pid == running.pid
    assert grafana.password_path(settings).read_text() == secret
    launcher.stop(settings, lambda _line: None)
    assert not running.is_running()
    with pytest.raises(httpx.ConnectError):
        health(settings)


@pytest.mark.parametrize("change", ["port", "home"])
def test_one_that_is_not_wanted_any_more_is_stopped(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str
) -> None:
    """Or that is gone from the machine: why there is none is said in a line."""
    launcher.start_grafana(settings)
    running = process_of(settings)
    wanted: dict[str, Any] = {"grafana_port": 0} if change == "port" else {}
    if change == "home":
        monkeypatch.setenv("GRAFANA_HOME", str(tmp_path / "nowhere"))
    why = launcher.start_grafana(settings.model_copy(update=wanted))
    assert ("TIDEMARK_GRAFANA_PORT is 0" if change == "port" else "nowhere") in why
    assert not running.is_running()
