"""Cassandra's door: connections, roles, migrations, grants.

Roles: the owner makes schema and roles (a superuser, for only one can disable the default
superuser); the sink may read and modify this keyspace, the reader may read it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog
from cassandra import DriverException, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    Session,
)
from cassandra.policies import (
    ExponentialReconnectionPolicy,
    FallthroughRetryPolicy,
    WhiteListRoundRobinPolicy,
)

from cdc.cql_script import Script, pending, read_scripts
from cdc.errors import AccessDenied, CdcError, SchemaMismatch, Unreachable
from cdc.failures import DRIVER_FAILURES, denied
from cdc.settings import CdcSettings
from contracts.naming import Role
from runtime.settings import PROJECT_ROOT

log = structlog.get_logger(__name__)

SCRIPTS = PROJECT_ROOT / "cassandra"
PROTOCOL_VERSION = 5
DEFAULT_SUPERUSER = "cassandra"
_MAX_RECONNECT_WAIT_S = 5.0
_CLOSE_S = 2.0

_SCHEMA_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY, name text, checksum text, applied_at timestamp
)"""


def connect(settings: CdcSettings, role: str) -> Session:
    """Return a session of a role in the keyspace; `close` ends it.

    Unreachable where nobody answers, AccessDenied, SchemaMismatch where the keyspace is missing.
    """
    return _open(settings, role, settings.secret(role), settings.cassandra_keyspace)


def another(first: Session, settings: CdcSettings, role: str) -> Session:
    """Return one more session of the same cluster, to be set otherwise; it ends with the first.

    Errors as of `connect`.
    """
    return _enter(first.cluster, settings, role, settings.cassandra_keyspace)


def close(opened: Session, within_s: float = _CLOSE_S) -> None:
    """End a session with its cluster, and wait for that only so long.

    The driver's own end waits for the answer to a heartbeat, up to `idle_heartbeat_timeout` for
    each connection: ten seconds or twenty where Cassandra has fallen silent.
    """
    closing = threading.Thread(target=opened.cluster.shutdown, name="closing", daemon=True)
    closing.start()
    closing.join(within_s)


@contextmanager
def session(settings: CdcSettings, role: str) -> Iterator[Session]:
    """A session of a role in the keyspace, for the length of a block."""
    opened = connect(settings, role)
    try:
        yield opened
    finally:
        close(opened)


@contextmanager
def _administering(settings: CdcSettings, role: str, password: str) -> Iterator[Session]:
    """A session outside of any keyspace, for the length of a block."""
    opened = _open(settings, role, password, None)
    try:
        yield opened
    finally:
        close(opened)


def bootstrap(settings: CdcSettings, patience_s: float = 60.0) -> None:
    """Make the roles from their password files and disable the default superuser; idempotent.

    On a new node the default superuser appears some seconds after the port does: that long
    (`patience_s`) a denied login is tried again.
    """
    deadline = time.monotonic() + patience_s
    while not _has_owner(settings):
        if time.monotonic() >= deadline:
            raise AccessDenied(
                f"neither {Role.OWNER} nor Cassandra's default superuser can log in: restore the "
                f"password file {settings.secret_path(Role.OWNER)}"
            )
        time.sleep(1.0)
    with _administering(settings, Role.OWNER, settings.secret(Role.OWNER)) as owner:
        for role in (Role.SINK, Role.READER):
            _make_role(owner, role, settings.secret(role))
        _disable_default_superuser(owner)


def migrate(settings: CdcSettings) -> list[str]:
    """Bring keyspace, tables and grants up to date; return the names of the applied files.

    The roles are those of `bootstrap`.
    """
    scripts = read_scripts(SCRIPTS)
    name = settings.cassandra_keyspace
    with _administering(settings, Role.OWNER, settings.secret(Role.OWNER)) as owner:
        owner.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = "
            "{'class': 'NetworkTopologyStrategy', "
            f"'replication_factor': {settings.cassandra_replication_factor}}}"
        )
        owner.set_keyspace(name)
        owner.execute(_SCHEMA_MIGRATIONS)
        new = pending(scripts, _applied(owner))
        for script in new:
            _apply(owner, script)
        owner.execute(f"GRANT SELECT ON KEYSPACE {name} TO {Role.SINK}")
        owner.execute(f"GRANT MODIFY ON KEYSPACE {name} TO {Role.SINK}")
        owner.execute(f"GRANT SELECT ON KEYSPACE {name} TO {Role.READER}")
    return [script.name for script in new]


def check_migrated(session: Session) -> None:
    """SchemaMismatch unless exactly the files of this checkout are applied; Unreachable."""
    try:
        missing = pending(read_scripts(SCRIPTS), _applied(session))
    except InvalidRequest as error:
        raise SchemaMismatch("Cassandra has no schema yet; run `tidemark migrate`") from error
    except DRIVER_FAILURES as error:
        raise Unreachable(
            f"Cassandra does not tell its schema ({type(error).__name__}); "
            "`tidemark status` shows the services"
        ) from error
    if missing:
        raise SchemaMismatch(f"{missing[0].name} is not applied; run `tidemark migrate`")


def _open(settings: CdcSettings, role: str, password: str, keyspace: str | None) -> Session:
    hosts = settings.cassandra_contact_points
    timeout_s = settings.request_timeout_ms / 1000
    cluster = Cluster(
        hosts,
        port=settings.cassandra_port,
        protocol_version=PROTOCOL_VERSION,
        compression=False,
        auth_provider=PlainTextAuthProvider(role, password),
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(
                # only by the addresses we were given: what a node calls itself may be elsewhere
                load_balancing_policy=WhiteListRoundRobinPolicy(hosts),
                retry_policy=FallthroughRetryPolicy(),  # retries are ours, with the same timestamp
                request_timeout=timeout_s,
            )
        },
        reconnection_policy=ExponentialReconnectionPolicy(0.5, _MAX_RECONNECT_WAIT_S, None),
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        connect_timeout=5,
        control_connection_timeout=5,
        idle_heartbeat_interval=5,
        idle_heartbeat_timeout=10,
        application_name=role,
    )
    try:
        return _enter(cluster, settings, role, keyspace)
    except Exception:
        cluster.shutdown()
        raise


def _enter(cluster: Cluster, settings: CdcSettings, role: str, keyspace: str | None) -> Session:
    try:
        opened = cluster.connect()
        if keyspace is not None:  # on its own, so that a keyspace that is not there is said so
            opened.set_keyspace(keyspace)
    except Exception as error:
        raise _in_our_words(error, settings, role, keyspace) from error
    return opened


def _in_our_words(
    error: Exception, settings: CdcSettings, role: str, keyspace: str | None
) -> Exception:
    where = f"{settings.cassandra_hosts}:{settings.cassandra_port}"
    if denied(error):
        return AccessDenied(
            f"Cassandra at {where} denies {role}; `tidemark migrate` renews its password"
        )
    if isinstance(error, InvalidRequest):
        return SchemaMismatch(f"Cassandra has no keyspace {keyspace}; run `tidemark migrate`")
    if isinstance(error, (*DRIVER_FAILURES, OSError)):
        return Unreachable(
            f"Cassandra at {where} does not answer; `tidemark status` shows the services"
        )
    return error


def _has_owner(settings: CdcSettings) -> bool:
    """Whether the owner can log in, after making it by the default superuser if need be."""
    try:
        with _administering(settings, Role.OWNER, settings.secret(Role.OWNER)):
            return True
    except AccessDenied:
        pass
    try:
        with _administering(settings, DEFAULT_SUPERUSER, DEFAULT_SUPERUSER) as default:
            _make_role(default, Role.OWNER, settings.secret(Role.OWNER), superuser=True)
    except AccessDenied:
        return False
    except DRIVER_FAILURES as error:
        raise Unreachable("Cassandra stopped answering while roles were made") from error
    return True


def _make_role(session: Session, role: str, password: str, *, superuser: bool = False) -> None:
    options = (
        f"PASSWORD = {_quoted(password)} AND LOGIN = true AND SUPERUSER = {str(superuser).lower()}"
    )
    session.execute(f"CREATE ROLE IF NOT EXISTS {role} WITH {options}")
    session.execute(f"ALTER ROLE {role} WITH {options}")


def _disable_default_superuser(session: Session) -> None:
    row = session.execute(
        "SELECT can_login, is_superuser FROM system_auth.roles WHERE role = %s",
        (DEFAULT_SUPERUSER,),
    ).one()
    if row is not None and (row.can_login or row.is_superuser):
        session.execute(
            f"ALTER ROLE {DEFAULT_SUPERUSER} WITH PASSWORD = {_quoted(secrets.token_hex(32))} "
            "AND LOGIN = false AND SUPERUSER = false"
        )
        log.info("the default superuser of Cassandra is disabled")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _applied(session: Session) -> dict[int, tuple[str, str]]:
    rows = session.execute("SELECT number, name, checksum FROM schema_migrations")
    return {row.number: (row.name, row.checksum) for row in rows}


def _apply(session: Session, script: Script) -> None:
    for statement in script.statements():
        try:
            session.execute(statement)
        except DriverException as error:
            first_line = statement.splitlines()[0]
            raise CdcError(f"{script.name}: `{first_line}` failed: {error}") from error
    session.execute(
        "INSERT INTO schema_migrations (number, name, checksum, applied_at) "
        "VALUES (%s, %s, %s, %s)",
        (script.number, script.name, script.checksum, datetime.now(UTC)),
    )
    log.info("migration applied", script=script.name)
