"""docker-compose.yml keeps the rules that can be seen without an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.settings import IngestSettings
from page.settings import PageSettings
from runtime.settings import ENV_PREFIX, PROJECT_ROOT, Settings
from simulator.settings import SimulatorSettings
from stack.files import PASSWORDS, POSTGRES_ROLES
from stack.settings import StackSettings
from watch.settings import WatchSettings

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("tidemark:")}
SETTINGS: tuple[type[Settings], ...] = (
    WatchSettings,
    IngestSettings,
    SimulatorSettings,
    StackSettings,
    PageSettings,
)
EXACT_TAG = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(\.Final)?(-[a-z]+)?$")
GRAFANA = "TIDEMARK_GRAFANA_"  # what its provisioning takes, which is no setting of ours
PORTS_OF_COMPOSE = {
    *("KAFKA_PORT", "CONNECT_PORT", "SIMULATOR_PORT", "PROMETHEUS_PORT"),
}
# settings that a process in a container does not take from who starts it: addresses and paths are
# the containers' own, and what is left concerns services that are configured otherwise
NOT_PASSED_ON = {
    *("state_dir", "secrets_dir", "artifacts_dir", "stack", "ready_timeout_s"),
    *("postgres_host", "postgres_port", "postgres_database", "postgres_os_user"),
    *("postgres_shared_buffers_mb", "postgres_max_slot_wal_keep_mb"),
    *("kafka_bootstrap", "kafka_controller_port", "kafka_heap_mb", "kafka_retention_hours"),
    *("connect_url", "connect_heap_mb", "connect_exactly_once", "connect_postgres_host"),
    *("connect_postgres_port", "connect_secrets_dir"),
    *("cassandra_hosts", "cassandra_port", "cassandra_storage_port", "cassandra_heap_mb"),
    "grafana_port",
    *("simulator_url", "simulator_faults", "coincap_assets_file", "watch_webhook_file"),
    *("page_port", "page_address"),
    *("ingest_metrics_port", "sink_metrics_port", "watch_metrics_port", "simulator_metrics_port"),
}
SECRET_WORDS = ("PASSWORD", "SECRET", "TOKEN", "API_KEY")

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def pinned(artifact: str) -> str:
    """A version of stack/pom.xml, its first two numbers."""
    pom = (PROJECT_ROOT / "stack" / "pom.xml").read_text()
    match = re.search(rf"<{artifact}\.version>(\d+\.\d+)", pom)
    assert match is not None
    return match[1]


@every_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """Nothing that listens can be reached from outside the machine."""
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@every_service
def test_images_have_exact_tags(name: str) -> None:
    """No `latest`, no bare major version."""
    assert EXACT_TAG.match(SERVICES[name]["image"])


@every_service
def test_containers_hold_as_little_power_as_they_need(name: str) -> None:
    """Non-root, read-only, no capability, no new privilege, a limit of memory."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["mem_limit"]
    assert name in OURS or service["user"] not in {"root", "0"}
    assert "privileged" not in service


def test_our_image_runs_as_nobody_in_particular() -> None:
    """The Dockerfile ends as a user without rights, from an exact base."""
    dockerfile = (PROJECT_ROOT / "docker" / "Dockerfile").read_text()
    base = re.search(r"(?m)^ARG BASE=(\S+)\nFROM \$\{BASE\}$", dockerfile)
    user = re.findall(r"(?m)^USER (\S+)$", dockerfile)
    assert base is not None
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base[1])
    assert user == ["tidemark"]
    assert "--require-hashes" in dockerfile


@every_service
def test_whoever_stays_has_a_health_check(name: str) -> None:
    """What others wait for says when it is ready; what runs once says so by its end."""
    service = SERVICES[name]
    if service["restart"] == "no":
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@every_service
def test_waiting_is_for_health_or_for_a_good_end(name: str) -> None:
    """`service_started` waits for nothing."""
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        once = SERVICES[other]["restart"] == "no"
        wanted = "service_completed_successfully" if once else "service_healthy"
        assert condition == {"condition": wanted}


@every_service
def test_no_secret_stands_in_an_environment(name: str) -> None:
    """Passwords come as files; a variable may only name the file."""
    for variable, value in SERVICES[name].get("environment", {}).items():
        if any(word in variable for word in SECRET_WORDS):
            path = str(value).removeprefix("$$__file{")
            assert path.startswith(("/run/secrets", "/var/lib/grafana/"))


@every_service
def test_variables_of_ours_are_settings_that_exist(name: str) -> None:
    """A misspelt variable would silently change nothing."""
    known = {f"{ENV_PREFIX}{field.upper()}" for each in SETTINGS for field in each.model_fields}
    named = {v for v in SERVICES[name].get("environment", {}) if v.startswith(ENV_PREFIX)}
    assert {v for v in named if not v.startswith(GRAFANA)} <= known | {"TIDEMARK_LOG_LEVEL"}


def test_variables_of_the_caller_are_settings_that_exist() -> None:
    """So are those that compose takes from the caller."""
    known = {f"{ENV_PREFIX}{field.upper()}" for each in SETTINGS for field in each.model_fields}
    text = (PROJECT_ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) <= known | PORTS_OF_COMPOSE


@pytest.mark.parametrize("name", sorted(OURS - {"loopback"}))
def test_what_a_person_sets_reaches_the_processes(name: str) -> None:
    """A setting that were not passed on would silently change nothing."""
    fields = {field for each in SETTINGS for field in each.model_fields} - NOT_PASSED_ON
    environment = SERVICES[name]["environment"]
    passed = {variable for variable, value in environment.items() if value is None}
    assert passed == {f"{ENV_PREFIX}{field.upper()}" for field in fields} | {"TIDEMARK_LOG_LEVEL"}


def test_profiles_are_those_of_the_documents() -> None:
    """The services always, ours with `core`, who watches them with `monitoring`."""
    profiles = {name: set(service.get("profiles", ())) for name, service in SERVICES.items()}
    always = {name for name, named in profiles.items() if not named}
    assert always == {"postgres", "kafka", "connect", "cassandra"}
    assert {name for name, named in profiles.items() if "simulator" in named} == {"simulator"}
    watching = {name for name, named in profiles.items() if "monitoring" in named}
    assert watching == {"prometheus", "grafana", "loopback"}
    assert {name for name, named in profiles.items() if "core" in named} == OURS - {"simulator"}


def test_prometheus_asks_each_process() -> None:
    """On the ports that they have unless told otherwise, which they are not."""
    written = yaml.safe_load((PROJECT_ROOT / "grafana" / "prometheus.yml").read_text())
    (job,) = written["scrape_configs"]
    asked = {each["labels"]["process"]: each["targets"] for each in job["static_configs"]}
    ports = {
        field.removesuffix("_metrics_port"): known.model_fields[field].default
        for known in SETTINGS
        for field in known.model_fields
        if field.endswith("_metrics_port")
    }
    assert asked == {name: [f"127.0.0.1:{port}"] for name, port in ports.items()}
    forwarded = set(SERVICES["loopback"]["command"])
    assert {str(port) for port in ports.values()} <= forwarded


def test_published_ports_of_the_namespace_are_forwarded() -> None:
    """docker/loopback.py takes them from the container's address to its loopback."""
    loopback = SERVICES["loopback"]
    assert [port.rpartition(":")[2] for port in loopback["ports"]] == loopback["command"]


def test_grafana_is_given_all_that_its_provisioning_takes() -> None:
    """The webhook is named by docker/grafana.sh, as it may not be there."""
    written = "".join(
        path.read_text() for path in (PROJECT_ROOT / "grafana" / "provisioning").rglob("*.yaml")
    )
    taken = set(re.findall(r"(?m)^[^#\n]*\$\{(\w+)\}", written))
    given = set(SERVICES["grafana"]["environment"])
    assert taken - given == {"TIDEMARK_GRAFANA_WEBHOOK"}
    assert "TIDEMARK_GRAFANA_WEBHOOK" in (PROJECT_ROOT / "docker" / "grafana.sh").read_text()


def test_clusters_are_made_alike() -> None:
    """Order and encoding of texts do not depend on how the services run."""
    made = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    local = (PROJECT_ROOT / "stack" / "services" / "postgres.py").read_text()
    assert [option for option in made if f'"{option}"' not in local] == []


@every_service
def test_secrets_are_files_that_up_makes(name: str) -> None:
    """Each secret is declared, and `tidemark up` makes its file."""
    made = {f"{role}.password" for role in PASSWORDS}
    assert set(SERVICES[name].get("secrets", [])) <= set(COMPOSE["secrets"]) == made


@every_service
def test_mounted_files_are_there_and_read_only(name: str) -> None:
    """A missing file would be mounted as an empty folder."""
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (PROJECT_ROOT / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_both_ways_run_the_same_versions() -> None:
    """Compose and the local stack take the same release lines."""
    versions = {name: SERVICES[name]["image"].rpartition(":")[2] for name in SERVICES}
    for name, artifact in (
        ("postgres", "postgres"),
        ("kafka", "kafka"),
        ("connect", "debezium"),
        ("cassandra", "cassandra"),
    ):
        assert versions[name].startswith(pinned(artifact))


def test_roles_of_the_container_are_those_of_the_local_stack() -> None:
    """docker/roles.sql makes each role with the same attributes and its own password."""
    sql = (PROJECT_ROOT / "docker" / "roles.sql").read_text()
    made = re.findall(r"(?m)^CREATE ROLE (\w+) ([A-Z ]+) PASSWORD :'(\w+)';$", sql)
    assert {role: attributes for role, attributes, _ in made} == POSTGRES_ROLES
    for role, _, variable in made:
        assert f"\\set {variable} `cat /run/secrets/{role}.password`" in sql


def test_scripts_fill_in_every_variable_of_the_worker() -> None:
    """A variable of debezium/connect-distributed.properties that is left would stop Connect."""
    worker = (PROJECT_ROOT / "debezium" / "connect-distributed.properties").read_text()
    lines = [line for line in worker.splitlines() if not line.startswith("#")]
    wanted = set(re.findall(r"\$\{(\w+)\}", "\n".join(lines)))
    script = (PROJECT_ROOT / "docker" / "connect.sh").read_text()
    assert {name for name in wanted if f"${{{name}}}" not in script} == set()


def test_image_holds_every_package() -> None:
    """Each package and data folder is copied, and not kept out by .dockerignore."""
    folders = {path.parent.name for path in PROJECT_ROOT.glob("*/__init__.py")} - {"tests"}
    folders |= {"migrations", "debezium", "cassandra"}
    copied = set(
        re.findall(r"(?m)^COPY (\w+) \1$", Path(PROJECT_ROOT / "docker" / "Dockerfile").read_text())
    )
    let_in = set(re.findall(r"(?m)^!(\w+)/\*\*$", (PROJECT_ROOT / ".dockerignore").read_text()))
    assert copied == let_in == folders
