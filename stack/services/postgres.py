"""PostgreSQL: a cluster with passwords only, logical WAL, roles and database made before it starts.

PostgreSQL refuses to run as root: then it runs as another user, and where that user cannot reach
the state folder, programs and data go to a folder that it can reach (`home`).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from stack import accounts, probes, scram
from stack.errors import ServiceError
from stack.files import CONFIG, POSTGRES_ADMIN, POSTGRES_ROLES, write
from stack.settings import StackSettings
from stack.topology import Program, configuration

NAME = "postgres"
MAJOR = "18"
ELSEWHERE = Path("/var/lib/tidemark")


def home(settings: StackSettings) -> Path:
    """Folder of the cluster: in the state folder where PostgreSQL's user can reach it.

    A cluster that exists stays where it is, whatever became of the folders above it.
    """
    usual, other = settings.data(NAME), ELSEWHERE / settings.identity
    for place in (usual, other):
        if (place / "cluster" / "PG_VERSION").is_file():
            return place
    user = accounts.postgres_user(settings.postgres_os_user)
    return usual if user is None or accounts.can_traverse(user, usual.parent) else other


def cluster(settings: StackSettings) -> Path:
    """PostgreSQL's data directory."""
    return home(settings) / "cluster"


def programs(settings: StackSettings) -> Path:
    """Folder of bin/, lib/ and share/: the artifacts', or a copy that the user can reach."""
    usual = settings.artifacts / NAME
    user = accounts.postgres_user(settings.postgres_os_user)
    if user is None or accounts.can_traverse(user, usual):
        return usual
    return ELSEWHERE / settings.identity / "programs"


def moved(settings: StackSettings) -> Path | None:
    """The folder outside the state folder, where one is used."""
    return home(settings) if home(settings) != settings.data(NAME) else None


def prepare(settings: StackSettings) -> None:
    """Make the cluster once; roles, passwords and database every time (the server is stopped)."""
    data = cluster(settings)
    _make_folders(settings)
    if not (data / "PG_VERSION").is_file():
        _initdb(settings)
    for name, text in _files().items():
        write(home(settings) / name, text)
    _make_roles_and_database(settings)


def program(settings: StackSettings) -> Program:
    return Program(
        name=NAME,
        command=(*_postgres(settings), *_server_options(settings)),
        order=10,
        environment=configuration(settings.postgres_database, *_files().values()),
        user=accounts.postgres_user(settings.postgres_os_user) or "",
        directory=home(settings),
        stop_signal="INT",  # fast shutdown: sessions end, the WAL is flushed
        stop_group=False,
        stop_wait_s=60,
    )


def ready(settings: StackSettings) -> bool:
    return probes.postgres("127.0.0.1", settings.postgres_port)


def role_statements(passwords: dict[str, str]) -> list[str]:
    """Idempotent SQL, a statement a line; passwords go as SCRAM verifiers, never in clear."""
    statements = []
    for role, attributes in {POSTGRES_ADMIN: "LOGIN", **POSTGRES_ROLES}.items():
        statements.append(
            f"DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
            f"THEN CREATE ROLE {role}; END IF; END $do$"
        )
        statements.append(
            f"ALTER ROLE {role} {attributes} PASSWORD '{scram.verifier(passwords[role])}'"
        )
    return [*statements, "SELECT datname FROM pg_database"]


def _files() -> dict[str, str]:
    names = ("postgresql.conf", "pg_hba.conf")
    return {name: (CONFIG / name).read_text(encoding="utf-8") for name in names}


def _postgres(settings: StackSettings) -> tuple[str, ...]:
    return (
        str(programs(settings) / "bin" / "postgres"),
        *("-D", str(cluster(settings))),
        *("-c", f"config_file={home(settings) / 'postgresql.conf'}"),
        *("-c", f"hba_file={home(settings) / 'pg_hba.conf'}"),
    )


def _server_options(settings: StackSettings) -> list[str]:
    options = {
        "listen_addresses": "127.0.0.1",
        "port": settings.postgres_port,
        "unix_socket_directories": "",
        "shared_buffers": f"{settings.postgres_shared_buffers_mb}MB",
        "max_slot_wal_keep_size": f"{settings.postgres_max_slot_wal_keep_mb}MB",
    }
    return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]


def _make_folders(settings: StackSettings) -> None:
    user = accounts.postgres_user(settings.postgres_os_user)
    place = home(settings)
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    accounts.give(cluster(settings), user)
    source, target = settings.artifacts / NAME, programs(settings)
    if source != target and not _is_copy(settings.artifacts, target):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
        shutil.copy(settings.artifacts / "stamp", target)
    accounts.open_to_all(target, user)


def _is_copy(artifacts: Path, target: Path) -> bool:
    """Whether the programs there are those of the artifacts, and not of an earlier release."""
    stamp = target / "stamp"
    return stamp.is_file() and stamp.read_bytes() == (artifacts / "stamp").read_bytes()


def _initdb(settings: StackSettings) -> None:
    """Create the cluster; what a broken attempt left is removed first."""
    user = accounts.postgres_user(settings.postgres_os_user)
    data = cluster(settings)
    for leftover in data.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    password = home(settings) / ".initial-password"
    write(password, settings.secret(POSTGRES_ADMIN) + "\n", private=True)
    accounts.give_file(password, user)
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    options += ["--builtin-locale=C.UTF-8", "--data-checksums", "--auth=scram-sha-256"]
    options += [f"--username={POSTGRES_ADMIN}", f"--pwfile={password}", f"--pgdata={data}"]
    try:
        done = _run((str(programs(settings) / "bin" / "initdb"), *options), settings, "")
    finally:
        password.unlink()
    if done.returncode != 0:
        raise ServiceError(NAME, "initdb failed", done.stdout[-2000:] + done.stderr[-2000:])


def _make_roles_and_database(settings: StackSettings) -> None:
    """Through single-user mode: no network, no password in argv."""
    passwords = {role: settings.secret(role) for role in (POSTGRES_ADMIN, *POSTGRES_ROLES)}
    database = settings.postgres_database
    told = _single_user(settings, role_statements(passwords))
    if f'datname = "{database}"' not in told:
        _single_user(settings, [f'CREATE DATABASE "{database}" OWNER tidemark_owner'])


def _single_user(settings: StackSettings, statements: list[str]) -> str:
    command = (_postgres(settings)[0], "--single", *_postgres(settings)[1:])
    command += ("-c", "log_min_messages=error", "-c", "exit_on_error=on", "postgres")
    done = _run(command, settings, "".join(f"{statement}\n" for statement in statements))
    if done.returncode != 0:
        raise ServiceError(
            NAME, "PostgreSQL's roles and database could not be made", done.stderr[-2000:]
        )
    return done.stdout


def _run(
    command: tuple[str, ...], settings: StackSettings, text: str
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as its user, with nothing of our environment."""
    user = accounts.postgres_user(settings.postgres_os_user)
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=home(settings),
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        **accounts.run_as(user),
    )
