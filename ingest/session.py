"""One connection to PostgreSQL that comes back: transactions, retries, errors in our own words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2
import structlog
from psycopg2 import errorcodes
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from ingest.errors import RowsRefused, StoreError, StoreRefused, StoreUnavailable
from runtime.endpoints import PostgresEndpoint

log = structlog.get_logger(__name__)

Cursor = psycopg2.extensions.cursor
T = TypeVar("T")

# A server that hangs must not hang us for ever; a hung client must not hold back vacuum and WAL.
SERVER_LIMITS = (
    "-c statement_timeout=60s -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s "
    "-c temp_buffers=32MB -c work_mem=32MB"
)

# libpq gives no SQLSTATE when a connection is refused for a reason that waiting does not cure
_NEVER = (
    "password authentication failed",
    "no pg_hba.conf entry",
    "permission denied",
    "does not exist",
)

# classes and codes of SQLSTATE that pass by themselves
_PASSING = (
    errorcodes.CLASS_CONNECTION_EXCEPTION,
    errorcodes.CLASS_TRANSACTION_ROLLBACK,
    errorcodes.CLASS_INSUFFICIENT_RESOURCES,
    errorcodes.CLASS_OPERATOR_INTERVENTION,
    errorcodes.CLASS_SYSTEM_ERROR,
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
)
_POISON = (
    errorcodes.CLASS_DATA_EXCEPTION,
    errorcodes.CLASS_INTEGRITY_CONSTRAINT_VIOLATION,
    errorcodes.CLASS_PROGRAM_LIMIT_EXCEEDED,
)


class MissingPartition(RowsRefused):
    """No partition takes a row: its day was dropped, or never made."""


class Session:
    """A role's connection, opened when it is needed and again after it broke.

    Transactions of several threads take turns.
    """

    def __init__(self, settings: PostgresEndpoint, role: str, patience_s: float) -> None:
        """`patience_s`: how long a transaction is tried before StoreUnavailable is raised."""
        self._settings = settings
        self._role = role
        self._patience_s = patience_s
        self._connection: psycopg2.extensions.connection | None = None
        self._turn = threading.Lock()

    def run(self, work: Callable[[Cursor], T]) -> T:
        """Do `work` in a transaction and commit it; again from its start if PostgreSQL went away.

        StoreUnavailable when patience is at its end, StoreRefused when nobody but a person can
        help, RowsRefused (MissingPartition) for what the rows hold.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(self._patience_s),
            before_sleep=_tell,
            reraise=True,
        )
        with self._turn:
            for attempt in retrying:
                with attempt:
                    return self._once(work)
        raise AssertionError("tenacity ends by an answer or by raising")

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, work: Callable[[Cursor], T]) -> T:
        try:
            connection = self._open()
            with connection, connection.cursor() as cursor:  # commits, or rolls back
                return work(cursor)
        except psycopg2.Error as error:
            ours = self._in_our_words(error)
            if isinstance(ours, StoreUnavailable):
                self.close()
            raise ours from error

    def _open(self) -> psycopg2.extensions.connection:
        if self._connection is None:
            dsn: dict[str, Any] = self._settings.postgres_dsn(self._role)
            dsn["options"] = f"{dsn['options']} {SERVER_LIMITS}"
            self._connection = psycopg2.connect(**dsn)
        return self._connection

    def _in_our_words(self, error: psycopg2.Error) -> StoreError:
        where = f"PostgreSQL at {self._settings.postgres_host}:{self._settings.postgres_port}"
        reason = " ".join(str(error).split())
        code = error.pgcode or ""
        if code == errorcodes.CHECK_VIOLATION and error.diag.constraint_name is None:
            return MissingPartition(f"{where}: {reason}")
        if code.startswith(_POISON):
            return RowsRefused(f"{where} refuses rows: {error.diag.message_primary}")
        if code.startswith(_PASSING) or not (code or any(word in reason for word in _NEVER)):
            return StoreUnavailable(f"{where} is not available: {reason}")
        if code == errorcodes.UNDEFINED_TABLE:
            return StoreRefused(f"{where}: {reason}; is the schema there? `tidemark migrate`")
        return StoreRefused(f"{where} refuses {self._role}: {reason}")


def keeping_on(cursor: Cursor, step: Callable[[], T]) -> T | RowsRefused:
    """Do `step` under a savepoint; where PostgreSQL refuses its rows, undo it and say so."""
    cursor.execute("SAVEPOINT step")
    try:
        result = step()
    except psycopg2.Error as error:
        if not (error.pgcode or "").startswith(_POISON):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT step")
        return RowsRefused(error.diag.message_primary or "refused")
    cursor.execute("RELEASE SAVEPOINT step")
    return result


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("waiting for PostgreSQL", attempt=state.attempt_number, reason=str(error))
