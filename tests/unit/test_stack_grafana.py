"""Which Grafana is taken, and what it is told: read as a stranger would."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import yaml

from runtime.settings import PROJECT_ROOT
from stack.services import grafana
from stack.services.grafana import Installed
from stack.settings import StackSettings


def unpacked(folder: Path, version: str = "12.4.0") -> Path:
    """A home of Grafana with a program that tells its version, and nothing else."""
    for name in ("bin", "conf", "public"):
        (folder / name).mkdir(parents=True)
    (folder / "conf" / "defaults.ini").touch()
    program = folder / "bin" / "grafana"
    program.write_text(f"#!/bin/sh\necho grafana version {version}\n")
    program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRAFANA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")


def test_home_is_taken_before_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On PATH there may be a link into the folder where it is unpacked."""
    on_path = unpacked(tmp_path / "one", "12.0.1")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "grafana").symlink_to(on_path / "bin" / "grafana")
    found = grafana.find()
    assert isinstance(found, Installed)
    assert (found.home, found.version) == (on_path, "12.0.1")
    named = unpacked(tmp_path / "two", "13.1.0")
    monkeypatch.setenv("GRAFANA_HOME", str(named))
    found = grafana.find()
    assert isinstance(found, Installed)
    assert (found.home, found.version) == (named, "13.1.0")


def test_why_none_is_taken_is_a_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reasons = [grafana.find()]
    monkeypatch.setenv("GRAFANA_HOME", str(unpacked(tmp_path / "old", "11.6.2")))
    reasons.append(grafana.find())
    monkeypatch.setenv("GRAFANA_HOME", str(tmp_path / "nowhere"))
    reasons.append(grafana.find())
    torn = unpacked(tmp_path / "torn")
    (torn / "conf" / "defaults.ini").unlink()
    monkeypatch.setenv("GRAFANA_HOME", str(torn))
    reasons.append(grafana.find())
    for reason, word in zip(reasons, ("none on", "11.6.2", "nowhere", "conf/"), strict=True):
        assert isinstance(reason, str)
        assert word in reason
        assert "install Grafana 12 or later" in reason
        assert "\n" not in reason


def told(settings: StackSettings, home: Path) -> configparser.RawConfigParser:
    installed = Installed(program=home / "bin" / "grafana", home=home, version="12.4.0")
    parser = configparser.RawConfigParser()
    parser.read_string(grafana.render(settings, installed))
    return parser


def test_it_listens_on_loopback_and_no_password_is_written(tmp_path: Path) -> None:
    """Neither into its file nor into its environment: both name files."""
    settings = StackSettings(state_dir=tmp_path / "state", grafana_port=13999)
    installed = Installed(program=Path("/g/bin/grafana"), home=Path("/g"), version="12.4.0")
    grafana.prepare(settings, installed)
    password = grafana.password_path(settings)
    assert len(password.read_text()) > 20
    assert password.stat().st_mode & 0o777 == 0o600
    program = grafana.program(settings, installed)
    written = (settings.run / "grafana.ini").read_text()
    assert password.read_text() not in written + str(program)
    parser = told(settings, Path("/g"))
    assert parser["server"]["http_addr"] == "127.0.0.1"
    assert parser["server"]["http_port"] == "13999"
    assert parser["security"]["admin_password"] == f"$__file{{{password}}}"
    assert parser["auth.anonymous"]["enabled"] == "false"
    before = password.read_text()
    grafana.prepare(settings, installed)
    assert password.read_text() == before


def test_plugin_that_is_there_is_taken_and_else_fetched(tmp_path: Path) -> None:
    settings = StackSettings(state_dir=tmp_path / "state")
    parser = told(settings, tmp_path / "home")
    assert parser["plugins"]["preinstall"] == f"{grafana.PLUGIN}@{grafana.PLUGIN_VERSION}"
    folder = tmp_path / "home" / "data" / "plugins"
    (folder / grafana.PLUGIN).mkdir(parents=True)
    (folder / grafana.PLUGIN / "plugin.json").touch()
    parser = told(settings, tmp_path / "home")
    assert parser["paths"]["plugins"] == str(folder)
    assert dict(parser["plugins"]) == {
        "allow_loading_unsigned_plugins": grafana.PLUGIN,
        "preinstall_disabled": "true",
    }
    (folder / grafana.PLUGIN / "MANIFEST.txt").touch()
    assert told(settings, tmp_path / "home")["plugins"]["allow_loading_unsigned_plugins"] == ""


def test_provisioning_is_given_all_that_it_takes(tmp_path: Path) -> None:
    """The webhook is a file that may not be there."""
    settings = StackSettings(state_dir=tmp_path / "state", cassandra_hosts="127.0.0.1, 127.0.0.2")
    texts = [
        path.read_text() for path in (PROJECT_ROOT / "grafana" / "provisioning").rglob("*.yaml")
    ]
    named = re.compile(r"^[^#\n]*\$\{(\w+)\}", re.MULTILINE)
    taken = {name for text in texts for name in named.findall(text)}
    given = grafana._environment(settings)
    assert given.keys() == taken
    port = settings.cassandra_port
    assert given["TIDEMARK_GRAFANA_CASSANDRA"] == f"127.0.0.1:{port};127.0.0.2:{port}"
    assert given["TIDEMARK_GRAFANA_WEBHOOK"] == grafana.NO_WEBHOOK
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "webhook.url").touch()
    assert "webhook.url}" in grafana._environment(settings)["TIDEMARK_GRAFANA_WEBHOOK"]


def test_both_ways_to_run_take_one_plugin() -> None:
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
    service = compose["services"]["grafana"]
    fetched = f"{grafana.PLUGIN}@{grafana.PLUGIN_VERSION}"
    assert service["environment"]["GF_PLUGINS_PREINSTALL_SYNC"] == fetched
    assert int(service["image"].partition(":")[2].partition(".")[0]) >= grafana.MINIMUM
