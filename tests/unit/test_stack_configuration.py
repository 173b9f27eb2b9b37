"""What the stack writes for its services and its supervisor, as text."""

from __future__ import annotations

import configparser
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from supervisor.options import ServerOptions

from contracts import naming
from runtime.settings import SettingsError
from stack import files, supervision
from stack.errors import SupervisorError
from stack.files import CONFIG
from stack.services import cassandra, connect, kafka, postgres
from stack.settings import SERVICES, StackSettings
from stack.topology import MARK, Program, own_process, settings_environment


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(state_dir=tmp_path / "a state")


def properties(text: str) -> dict[str, str]:
    """A Java properties file; a name that stands twice is an error."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.partition("=") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


def test_roles_are_those_of_the_contracts() -> None:
    """The stack may not import contracts, so its own list is held against theirs."""
    named = {value for name, value in vars(naming.Role).items() if name.isupper()}
    assert set(files.PASSWORDS) == named
    assert set(files.POSTGRES_ROLES) == named - {naming.Role.POSTGRES_ADMIN, naming.Role.SINK}
    assert "REPLICATION" in files.POSTGRES_ROLES[naming.Role.CDC]
    assert [r for r, a in files.POSTGRES_ROLES.items() if "REPLICATION" in a] == [naming.Role.CDC]


def test_kafka_listens_on_loopback_and_makes_no_topic_by_itself(settings: StackSettings) -> None:
    """The broker's file has each name once, with our ports."""
    told = properties(kafka.render(settings))
    assert told["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert told["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19092"
    assert told["auto.create.topics.enable"] == "false"
    assert told["log.dirs"] == str(settings.state_dir / "data" / "kafka")


def test_connect_file_has_every_placeholder_filled(settings: StackSettings) -> None:
    """No `${…}` is left outside comments, and Connect may read its own password only."""
    told = properties(connect.render(settings))
    assert [value for value in told.values() if "${" in value] == []
    assert told["bootstrap.servers"] == settings.kafka_bootstrap
    assert told["listeners"] == "http://127.0.0.1:18083"
    assert told["config.providers.directory.param.allowed.paths"] == str(
        settings.secrets / "connect"
    )
    assert told["connector.client.config.override.policy"] == "None"


def test_cassandra_demands_passwords_on_loopback(settings: StackSettings) -> None:
    """The rendered file is YAML with our ports and folders."""
    told = yaml.safe_load(cassandra.render(settings))
    assert told["authenticator"] == "PasswordAuthenticator"
    assert told["authorizer"] == "CassandraAuthorizer"
    assert told["listen_address"] == told["rpc_address"] == "127.0.0.1"
    assert (told["native_transport_port"], told["storage_port"]) == (19042, 17000)
    assert told["seed_provider"][0]["parameters"] == [{"seeds": "127.0.0.1:17000"}]
    assert told["commitlog_sync"] in ("group", "batch")


def test_role_statements_carry_no_password_in_clear() -> None:
    """PostgreSQL gets verifiers; a statement is a line, as single-user mode reads them."""
    passwords = {role: f"canary-{role}" for role in files.PASSWORDS}
    statements = postgres.role_statements(passwords)
    assert [line for line in statements if "canary" in line or "\n" in line] == []
    assert sum("SCRAM-SHA-256$4096:" in line for line in statements) == 7


def test_supervisor_reads_its_files_as_we_mean_them(settings: StackSettings) -> None:
    """Supervisor's own parser finds command, environment and signals unchanged, odd signs too."""
    program = Program(
        name="odd",
        command=("/bin/echo", "a b", "100%", "it's"),
        order=7,
        environment={"TIDEMARK_A": "http://h:1/?q=1,2", "TIDEMARK_B": 'say "x" 5%'},
        stop_signal="INT",
        stop_group=False,
    )
    settings.logs.mkdir(parents=True)
    files.write(supervision.config_path(settings), supervision.render(settings))
    path = settings.run / "programs" / "odd.conf"
    files.write(path, supervision.render_program(settings, program))
    options = ServerOptions()
    options.realize(["-c", str(supervision.config_path(settings))])
    (group,) = options.process_group_configs
    (read,) = group.process_configs
    assert read.command == "/bin/echo 'a b' 100% 'it'\"'\"'s'"
    assert read.environment == {**program.environment, MARK: str(settings.state_dir)}
    assert (read.stopasgroup, read.killasgroup) == (False, True)
    assert read.autorestart is not False
    assert read.startretries > 10**9


def test_environment_that_no_quotes_can_hold_is_refused(settings: StackSettings) -> None:
    """The supervisor's format has no escape; a silent change of the value would be worse."""
    program = Program(name="p", command=("x",), order=1, environment={"A": "\"'"})
    with pytest.raises(SupervisorError, match="both kinds of quotes"):
        supervision.render_program(settings, program)


def test_long_state_folder_gets_a_short_socket_path(tmp_path: Path) -> None:
    """Unix sockets have about 100 bytes for their path; ours stays below."""
    deep = StackSettings(state_dir=tmp_path / ("d" * 120))
    assert len(os.fsencode(supervision.socket_path(deep))) <= 90
    assert supervision.socket_path(deep) != supervision.socket_path(
        StackSettings(state_dir=tmp_path / ("e" * 120))
    )


def test_our_processes_get_resolved_settings_and_no_secret(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children see what `up` saw, and never a password that stood in its environment."""
    monkeypatch.setenv("TIDEMARK_SYMBOLS", "BTCUSDT")
    monkeypatch.setenv("TIDEMARK_WEBHOOK_TOKEN", "canary")
    told = own_process(settings, "sink", {"TIDEMARK_EXCHANGE": "simulator"}).environment
    assert told["TIDEMARK_SYMBOLS"] == "BTCUSDT"
    assert told["TIDEMARK_EXCHANGE"] == "simulator"
    assert told["TIDEMARK_STATE_DIR"] == str(settings.state_dir)
    assert "canary" not in told.values()


def test_settings_survive_the_way_through_the_environment(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that reads the environment we give it has our settings."""
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert StackSettings() == settings.model_copy(update={"secrets_dir": settings.secrets})


def test_two_services_on_one_port_are_refused(tmp_path: Path) -> None:
    """The message names the port and both services."""
    with pytest.raises(SettingsError, match="port 19042 is given to both"):
        StackSettings(state_dir=tmp_path, postgres_port=19042)


def test_cassandra_starts_over_segments_that_a_full_disk_left(tmp_path: Path) -> None:
    """Those of nothing but zeros go; one that was begun, or holds anything, stays."""
    begun = bytes([0, 0, 0, 8]) + bytes(1 << 20)
    segments = {
        "CommitLog-8-1.log": begun,
        "CommitLog-8-2.log": bytes(1 << 20),
        "CommitLog-8-3.log": bytes(1 << 20) + b"x",
        "CommitLog-8-4.log": b"",
        "other.log": bytes(8),
    }
    for name, content in segments.items():
        (tmp_path / name).write_bytes(content)
    command = ("sh", CONFIG / "commitlog.sh", tmp_path, "echo", "started", "$HOME")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "started $HOME\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("CommitLog-8-1.log", "CommitLog-8-3.log", "other.log")
    ]
    assert done.stderr.count("removed ") == 2


def test_services_start_before_what_needs_them(settings: StackSettings) -> None:
    """The supervisor stops in reversed order: ours first, then Connect, the stores last."""
    settings.artifacts.joinpath("cassandra").mkdir(parents=True)
    settings.artifacts.joinpath("cassandra", "jamm-0.jar").touch()
    modules = {"postgres": postgres, "kafka": kafka, "cassandra": cassandra, "connect": connect}
    orders = [modules[name].program(settings).order for name in SERVICES]
    orders += [own_process(settings, name).order for name in ("ingest", "sink", "watch", "page")]
    assert orders == sorted(orders)


def test_rendered_supervisor_file_is_private_to_its_user(settings: StackSettings) -> None:
    """Who may talk to the socket may run programs as us."""
    parser = configparser.RawConfigParser()
    parser.read_string(supervision.render(settings))
    assert parser["unix_http_server"]["chmod"] == "0700"
