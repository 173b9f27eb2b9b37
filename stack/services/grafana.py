"""Grafana, where the machine has one: on loopback, provisioned by the files of `grafana/`.

It is no artifact of ours (no package registry has it): the `grafana` on PATH or below GRAFANA_HOME,
version 12 or later. Data flows without it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import PROJECT_ROOT
from stack import probes
from stack.files import write
from stack.settings import StackSettings
from stack.topology import Program, configuration

NAME = "grafana"
MINIMUM = 12
USER = "admin"
PLUGIN = "hadesarchitect-cassandra-datasource"
PLUGIN_VERSION = "3.2.0"
READER = "tidemark_reader"
NO_WEBHOOK = "http://127.0.0.1:9"  # nobody answers there
PROMETHEUS = "http://127.0.0.1:19090"

_PACKAGED = Path("/usr/share/grafana")  # home of the Debian and RPM packages
_ASK_S = 60.0
_HOW = (
    f"for dashboards install Grafana {MINIMUM} or later (https://grafana.com/grafana/download), or "
    "set GRAFANA_HOME to where it is unpacked, then `tidemark up`"
)


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A Grafana that can run; `home` holds its conf/ and public/."""

    program: Path
    home: Path
    version: str


def find() -> Installed | str:
    """The machine's Grafana; else why there is none, and what to do, in a line."""
    home = os.environ.get("GRAFANA_HOME", "")
    name = shutil.which("grafana", path=f"{home}/bin") if home else shutil.which("grafana")
    if name is None:
        return f"none in {home}/bin; {_HOW}" if home else f"none on this machine; {_HOW}"
    program = Path(name)
    version = _version(program)
    if version is None or int(version.partition(".")[0]) < MINIMUM:
        told = f"is version {version}" if version else "does not tell its version"
        return f"{program} {told}; {_HOW}"
    beside = program.resolve().parent.parent
    for folder in (Path(home).resolve() if home else beside, beside, _PACKAGED):
        if (folder / "conf" / "defaults.ini").is_file() and (folder / "public").is_dir():
            return Installed(program=program, home=folder, version=version)
    return f"{program} has no conf/ and public/ beside it; {_HOW}"


def _version(program: Path) -> str | None:
    """As `grafana --version` tells it: `grafana version 12.4.0`."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bversion (\d+\.\d+\.\d+\S*)", done.stdout)
    return found.group(1) if found else None


def url(settings: StackSettings) -> str:
    return f"http://127.0.0.1:{settings.grafana_port}"


def password_path(settings: StackSettings) -> Path:
    return settings.secret_path(NAME)


def prepare(settings: StackSettings, installed: Installed) -> None:
    """Password, folders, grafana.ini. The password counts for a database that is made with it."""
    if not password_path(settings).exists():
        write(password_path(settings), secrets.token_urlsafe(24), private=True)
    settings.data(NAME).mkdir(parents=True, exist_ok=True)
    write(_ini(settings), render(settings, installed))


def program(settings: StackSettings, installed: Installed) -> Program:
    home, ini = installed.home, _ini(settings)
    return Program(
        name=NAME,
        command=(str(installed.program), "server", f"--homepath={home}", f"--config={ini}"),
        order=110,
        environment=_environment(settings) | configuration(render(settings, installed)),
        directory=installed.home,
        stop_wait_s=15,
    )


def ready(settings: StackSettings) -> bool:
    return probes.grafana(url(settings))


def render(settings: StackSettings, installed: Installed) -> str:
    """grafana.ini: what differs from Grafana's own defaults."""
    plugins, packed = _plugins(settings, installed)
    sections: dict[str, dict[str, object]] = {
        "paths": {
            "data": settings.data(NAME),
            "plugins": plugins,
            "provisioning": PROJECT_ROOT / "grafana" / "provisioning",
        },
        "server": {"http_addr": "127.0.0.1", "http_port": settings.grafana_port},
        "security": {
            "admin_user": USER,
            "admin_password": f"$__file{{{password_path(settings)}}}",
            "disable_gravatar": "true",
        },
        "users": {"allow_sign_up": "false"},
        "auth.anonymous": {"enabled": "false"},
        "analytics": {
            "reporting_enabled": "false",
            "check_for_updates": "false",
            "check_for_plugin_updates": "false",
            "feedback_links_enabled": "false",
        },
        "log": {"mode": "console"},
        "plugins": packed,
    }
    return "\n".join(
        "\n".join([f"[{section}]", *(f"{name} = {value}" for name, value in values.items()), ""])
        for section, values in sections.items()
    )


def _plugins(settings: StackSettings, installed: Installed) -> tuple[Path, dict[str, object]]:
    """The folder of plugins, and how ours gets there where it is in none: Grafana fetches it.

    Not before it starts (`preinstall_sync`): where no catalogue can be reached it would not start.
    """
    own = settings.data(NAME) / "plugins"
    for folder in (own, installed.home / "data" / "plugins", Path("/var/lib/grafana/plugins")):
        if (folder / PLUGIN / "plugin.json").is_file():
            signed = (folder / PLUGIN / "MANIFEST.txt").is_file()
            # ours is all that is needed: nothing of Grafana's own choice is fetched
            return folder, {
                "allow_loading_unsigned_plugins": "" if signed else PLUGIN,
                "preinstall_disabled": "true",
            }
    return own, {"preinstall": f"{PLUGIN}@{PLUGIN_VERSION}"}


def _environment(settings: StackSettings) -> dict[str, str]:
    """What stands as ${…} in grafana/provisioning."""
    contacts = (
        f"{host.strip()}:{settings.cassandra_port}" for host in settings.cassandra_hosts.split(",")
    )
    webhook = settings.secrets / "webhook.url"
    return {
        "TIDEMARK_GRAFANA_CASSANDRA": ";".join(contacts),
        "TIDEMARK_CASSANDRA_KEYSPACE": settings.cassandra_keyspace,
        "TIDEMARK_GRAFANA_PASSWORD": f"$__file{{{settings.secret_path(READER)}}}",
        "TIDEMARK_GRAFANA_PROMETHEUS": PROMETHEUS,
        "TIDEMARK_GRAFANA_WEBHOOK": f"$__file{{{webhook}}}" if webhook.is_file() else NO_WEBHOOK,
        "TIDEMARK_GRAFANA_DASHBOARDS": str(PROJECT_ROOT / "grafana" / "dashboards"),
    }


def _ini(settings: StackSettings) -> Path:
    return settings.run / "grafana.ini"
