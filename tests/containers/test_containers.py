"""What the compose file promises of its containers, asked of the engine and of the kernel."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from stack.files import PASSWORDS
from tests.conftest import Pipeline
from tests.containers.engine import Containers
from tests.integration.witnesses import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ONCE = {"migrate", "connector"}  # they run, and end
# which passwords a container may read; those that are not named read none
SECRETS = {
    "connect": {"tidemark_cdc"},
    "ingest": {"tidemark_ingest"},
    "page": {"tidemark_reader"},
    "sink": {"tidemark_sink", "tidemark_repair"},
    "watch": {"tidemark_watch", "tidemark_reader", "tidemark_repair", "tidemark_sink"},
    "postgres": set(PASSWORDS) - {"tidemark_sink"},
    "grafana": {"tidemark_reader"},
}
VERIFY_S = 600


@pytest.fixture
def running(containers: Containers) -> dict[str, dict[str, Any]]:
    """The containers that stay."""
    return {name: said for name, said in containers.inspect().items() if name not in ONCE}


def verify(pipeline: Pipeline) -> dict[str, Any]:
    done = pipeline.tidemark("verify", "--json", "--full-speed", timeout_s=VERIFY_S)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_whoever_stays_becomes_healthy_and_the_others_end_well(containers: Containers) -> None:
    """By the health checks of the compose file."""

    def well() -> bool | None:
        states = {name: said["State"] for name, said in containers.inspect().items()}
        ended = all(states[name]["ExitCode"] == 0 for name in ONCE)
        stay = [state for name, state in states.items() if name not in ONCE]
        return True if ended and all(s["Health"]["Status"] == "healthy" for s in stay) else None

    until("healthy containers", well, 300)


def test_verify_finds_no_difference(pipeline: Pipeline) -> None:
    """`tidemark verify`, from this machine, through the published ports."""
    report = verify(pipeline)
    assert report["clean"]
    rows = {table["table"]: table["rows"] for table in report["tables"]}
    assert rows["trades_by_hour"] > 0
    assert rows["heartbeats_by_day"] > 0


def test_status_sees_all_of_it(pipeline: Pipeline) -> None:
    """Also the metrics, which are served on the loopback of the containers."""

    def healthy() -> bool | None:
        return True if pipeline.tidemark("status", "--json").returncode == 0 else None

    until("a healthy status", healthy, 300)


def test_processes_hold_no_power(
    containers: Containers, running: dict[str, dict[str, Any]]
) -> None:
    """Not root, no capability, no way to gain one, nothing to write to but what is mounted."""
    for name, said in running.items():
        host = said["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["Privileged"], name
        status = containers.inside(name, "cat", "/proc/1/status").stdout
        facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        assert "0" not in facts["Uid"].split(), name
        assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0, name
        assert facts["NoNewPrivs"].strip() == "1", name
        assert containers.inside(name, "touch", "/written").returncode != 0, name


def test_ports_are_on_loopback_only(running: dict[str, dict[str, Any]]) -> None:
    """Of the machine: nothing is published to others."""
    published = {
        (name, binding["HostIp"])
        for name, said in running.items()
        for bindings in said["HostConfig"]["PortBindings"].values()
        for binding in bindings
    }
    assert {name for name, _ in published} >= {"postgres", "kafka", "connect", "cassandra"}
    assert {address for _, address in published} == {"127.0.0.1"}


def test_no_password_is_told(containers: Containers, pipeline: Pipeline) -> None:
    """Neither what the engine says of a container nor its log holds one."""
    passwords = [pipeline.settings.secret(role) for role in PASSWORDS]
    for name, said in containers.inspect().items():
        told = json.dumps(said) + containers.logs(name)
        assert [password for password in passwords if password in told] == [], name


def test_passwords_are_read_by_those_who_need_them(
    containers: Containers, running: dict[str, dict[str, Any]]
) -> None:
    """Each container has the files of its own roles, and no more."""
    for name in running:
        listed = containers.inside(name, "ls", "/run/secrets").stdout.split()
        held = {path.removesuffix(".password") for path in listed}
        assert held == SECRETS.get(name, set()), name


def test_page_answers(pipeline: Pipeline) -> None:
    """Where `tidemark up` says that it is."""
    url = f"http://127.0.0.1:{pipeline.env['TIDEMARK_PAGE_PORT']}/_stcore/health"
    assert httpx.get(url, trust_env=False).text == "ok"


def test_grafana_has_its_data_sources(pipeline: Pipeline, containers: Containers) -> None:
    """Provisioned, with the plugin, behind a password that it made itself."""
    if "grafana" not in containers.inspect():
        pytest.skip("grafana: there is no package of it, and no official image here")
    url = f"http://127.0.0.1:{pipeline.env['GRAFANA_PORT']}/api/datasources"
    assert httpx.get(url, trust_env=False).status_code == 401
    assert httpx.get(url, auth=("admin", "admin"), trust_env=False).status_code == 401
    password = containers.inside("grafana", "cat", "/var/lib/grafana/admin.password").stdout
    found = httpx.get(url, auth=("admin", password.strip()), trust_env=False).json()
    for source in found:
        health = f"{url}/uid/{source['uid']}/health"
        answer = httpx.get(health, auth=("admin", password.strip()), trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
    assert {source["type"] for source in found} == {
        "hadesarchitect-cassandra-datasource",
        "prometheus",
    }


def test_connect_that_is_killed_comes_back_by_itself(
    containers: Containers, pipeline: Pipeline
) -> None:
    """The connector goes on where it was, and nothing is missing."""
    containers.restart("connect")

    def flows() -> bool | None:
        return True if pipeline.tidemark("status", "--json").returncode == 0 else None

    until("a healthy status after the restart", flows, 300)
    assert verify(pipeline)["clean"]


def test_processes_that_are_restarted_find_each_other(
    containers: Containers, pipeline: Pipeline
) -> None:
    """Their network namespace outlives each of them; what the sink had not applied comes again."""
    for name in ("ingest", "sink", "watch"):
        containers.restart(name)
    test_whoever_stays_becomes_healthy_and_the_others_end_well(containers)
    assert verify(pipeline)["clean"]


def test_down_and_up_keep_the_data(containers: Containers, pipeline: Pipeline) -> None:
    """By the commands of a person; what was there before is there after."""
    before = {table["table"]: table["rows"] for table in verify(pipeline)["tables"]}
    down = pipeline.tidemark("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert containers.inspect() == {}
    up = pipeline.tidemark("up", timeout_s=900)
    assert up.returncode == 0, up.stdout + up.stderr
    assert "first row: committed in PostgreSQL, read in Cassandra" in up.stdout
    after = {table["table"]: table["rows"] for table in verify(pipeline)["tables"]}
    assert after["trades_by_hour"] >= before["trades_by_hour"] > 0
    log = pipeline.tidemark("logs", "sink", "--lines", "5")
    assert log.returncode == 0, log.stderr
