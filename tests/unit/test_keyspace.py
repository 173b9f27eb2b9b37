"""What Cassandra's door says while Cassandra does not answer in time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable, Session

from cdc import keyspace
from cdc.errors import Unreachable
from cdc.settings import CdcSettings
from contracts.naming import Role


def fails(error: Exception) -> Any:
    def call(*_: object) -> NoReturn:
        raise error

    return call


@pytest.mark.parametrize("error", [OperationTimedOut(), NoHostAvailable("nobody", {})])
def test_schema_that_is_not_told_in_time_is_no_traceback(error: Exception) -> None:
    slow = cast("Session", SimpleNamespace(execute=fails(error)))
    with pytest.raises(Unreachable, match=f"does not tell its schema .{type(error).__name__}"):
        keyspace.check_migrated(slow)


def test_another_session_fails_in_the_words_of_the_first() -> None:
    cluster = SimpleNamespace(connect=fails(NoHostAvailable("nobody", {})))
    first = cast("Session", SimpleNamespace(cluster=cluster))
    with pytest.raises(Unreachable, match="does not answer; `tidemark status` shows"):
        keyspace.another(first, CdcSettings(), Role.READER)
