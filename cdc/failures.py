"""What a failed write means: send it again, refuse the row, or stop."""

from __future__ import annotations

from enum import Enum

from cassandra import (
    AuthenticationFailed,
    DriverException,
    InvalidRequest,
    RequestValidationException,
    Unauthorized,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage

from cdc.errors import AccessDenied, SchemaMismatch

# What a request may raise. The driver has no common base: a connection that breaks under a request
# and an answer that it has no exception for are neither of the first two.
DRIVER_FAILURES = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage)

_SCHEMA_WORDS = ("unconfigured table", "unknown keyspace", "does not exist", "undefined column")


class Verdict(Enum):
    """What to do with a batch that failed."""

    RETRY = "retry"  # timeouts, overload, no node: the same statements, the same timestamps
    SPLIT = "split"  # something in it is refused: find out which row


def verdict(error: Exception) -> Verdict:
    """Return what to do; raise Fatal where no row is at fault and waiting does not help."""
    if denied(error):
        raise AccessDenied(
            "Cassandra denies the sink's role; `tidemark migrate` renews its password and grants"
        ) from error
    if isinstance(error, InvalidRequest):
        if any(word in str(error).lower() for word in _SCHEMA_WORDS):
            raise SchemaMismatch(
                "a table that the sink writes is gone from Cassandra; `tidemark migrate` makes it"
            ) from error
        return Verdict.SPLIT
    if isinstance(error, RequestValidationException):
        return Verdict.SPLIT
    return Verdict.RETRY


def denied(error: BaseException) -> bool:
    """Whether a wrong password or a missing grant is behind the error."""
    if isinstance(error, NoHostAvailable):
        return any(
            denied(each) for each in _causes(error.errors) if isinstance(each, BaseException)
        )
    return isinstance(error, AuthenticationFailed | Unauthorized)


def _causes(errors: object) -> list[object]:
    """NoHostAvailable keeps its hosts' errors in a dict, or in a list where none was reached."""
    if isinstance(errors, dict):
        return list(errors.values())
    return list(errors) if isinstance(errors, list) else []
