"""What Connect's REST answers say, in our words; the client against a scripted transport."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cdc.connector.client import ConnectClient, parse_offsets, parse_status, reason_of
from cdc.errors import ConnectorNotRunning, ConnectRefused, Unreachable
from cdc.settings import CdcSettings

TRACE = """org.apache.kafka.connect.errors.ConnectException: Could not create snapshotter
\tat io.debezium.connector.postgresql.PostgresConnectorTask.start(PostgresConnectorTask.java:1)
Caused by: io.debezium.jdbc.JdbcConnectionException: failed
\tat io.debezium.Other.run(Other.java:2)
Caused by: org.postgresql.util.PSQLException: FATAL: password authentication failed for user "x"
\tat org.postgresql.core.v3.ConnectionFactoryImpl.doAuthentication(ConnectionFactoryImpl.java:3)
"""


def _status(connector: str, *tasks: str) -> dict[str, object]:
    return {
        "name": "tidemark-g1",
        "connector": {"state": connector, "worker_id": "w"},
        "tasks": [{"id": i, "state": state, "trace": TRACE} for i, state in enumerate(tasks)],
    }


def test_a_trace_is_told_by_its_root_cause() -> None:
    """The first line of a Java trace only wraps what went wrong."""
    told = reason_of(TRACE)
    assert told == 'PSQLException: FATAL: password authentication failed for user "x"'


def test_a_failed_task_under_a_running_connector_is_not_running() -> None:
    """Connect says RUNNING of the connector while its only task has FAILED."""
    status = parse_status(_status("RUNNING", "FAILED"))
    assert (status.running, status.failed) == (False, True)
    assert status.failure.startswith("PSQLException")


def test_a_connector_without_a_task_is_not_running() -> None:
    """Just created, or stopped: nothing flows."""
    assert not parse_status(_status("RUNNING")).running


def test_offsets_just_after_the_snapshot_count_by_their_lsn() -> None:
    """Only `lsn` is stored until the first streamed event."""
    stored = parse_offsets({"offsets": [{"offset": {"lsn": 592, "txId": 7, "ts_usec": 1}}]})
    assert stored is not None
    assert (stored.furthest, stored.lsn_commit, stored.snapshot) == (592, None, False)
    assert stored.snapshot_lsn == 592


def test_streaming_offsets_count_by_what_was_processed() -> None:
    """`lsn` may be of a change in a transaction that is still open."""
    offset = {"lsn": 900, "lsn_proc": 640, "lsn_commit": 648}
    stored = parse_offsets({"offsets": [{"offset": offset}]})
    assert stored is not None
    assert (stored.furthest, stored.snapshot_lsn) == (648, None)


def test_no_stored_offset_is_none() -> None:
    assert parse_offsets({"offsets": []}) is None


class Connect:
    """A scripted Connect: an answer per request, in order; requests are kept."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.method, request.url.path))
        code, body = self.answers.pop(0)
        if isinstance(body, str):
            return httpx.Response(code, html=body)
        return httpx.Response(code) if body is None else httpx.Response(code, json=body)


def _client(tmp_path: Path, connect: Connect) -> ConnectClient:
    client = ConnectClient(CdcSettings(generation=1, state_dir=tmp_path))
    client._http = httpx.Client(transport=httpx.MockTransport(connect), base_url="http://connect")
    return client


def test_an_unchanged_configuration_is_not_sent_again(tmp_path: Path) -> None:
    """A PUT would restart the task."""
    stored = {"a": "1", "name": "tidemark-g1"}
    connect = Connect((200, stored), (200, _status("RUNNING", "RUNNING")), (202, None))
    assert _client(tmp_path, connect).apply({"a": "1"}) == "unchanged"
    changes = [path for method, path in connect.requests if method != "GET"]
    assert changes == ["/connectors/tidemark-g1/resume"]


def test_a_changed_configuration_is_sent(tmp_path: Path) -> None:
    connect = Connect(
        (200, {"a": "0", "name": "tidemark-g1"}),
        (200, {}),
        (200, _status("RUNNING", "RUNNING")),
        (202, None),
    )
    assert _client(tmp_path, connect).apply({"a": "1"}) == "updated"
    assert ("PUT", "/connectors/tidemark-g1/config") in connect.requests


@pytest.mark.parametrize("told", ["STOPPED", "UNASSIGNED", "RUNNING"])
def test_apply_resumes_whatever_the_status_says(tmp_path: Path, told: str) -> None:
    """After a restart of Connect it is of before, while the connector is to stay stopped."""
    stored = {"a": "1", "name": "tidemark-g1"}
    stopped = Connect((200, stored), (200, _status(told)), (202, None))
    _client(tmp_path, stopped).apply({"a": "1"})
    assert stopped.requests[-1] == ("PUT", "/connectors/tidemark-g1/resume")


def test_apply_restarts_what_failed(tmp_path: Path) -> None:
    stored = {"a": "1", "name": "tidemark-g1"}
    failed = Connect((200, stored), (200, _status("RUNNING", "FAILED")), (202, None), (202, None))
    _client(tmp_path, failed).apply({"a": "1"})
    assert failed.requests[-1] == ("POST", "/connectors/tidemark-g1/restart")


def test_a_conflict_is_waited_out(tmp_path: Path) -> None:
    """409: the worker is rebalancing, which ends by itself."""
    connect = Connect((409, {"message": "rebalance"}), (200, _status("RUNNING", "RUNNING")))
    status = _client(tmp_path, connect).status()
    assert status is not None
    assert status.running


def test_waiting_for_a_failed_task_ends_at_once_with_its_reason(tmp_path: Path) -> None:
    connect = Connect((200, _status("RUNNING", "FAILED")))
    with pytest.raises(ConnectorNotRunning, match="password authentication failed"):
        _client(tmp_path, connect).wait_running(60)


def test_a_refusal_is_told_in_a_line(tmp_path: Path) -> None:
    message = "Configuration has 1 error(s):\nUnable to connect: FATAL\nYou can also find …"
    connect = Connect((400, {"message": message}))
    with pytest.raises(ConnectRefused, match=r"has 1 error\(s\): Unable to connect: FATAL$"):
        _client(tmp_path, connect).resume()


def test_an_absent_connect_is_told_with_its_address(tmp_path: Path) -> None:
    client = ConnectClient(CdcSettings(state_dir=tmp_path, connect_url="http://127.0.0.1:9"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 does not answer"):
        client.status()


def test_what_connect_does_not_have_is_none(tmp_path: Path) -> None:
    """It says so in JSON."""
    connect = Connect((404, {"error_code": 404, "message": "Connector tidemark-g1 not found"}))
    assert _client(tmp_path, connect).offsets() is None


def test_a_worker_that_starts_is_not_taken_for_one_without_connectors(tmp_path: Path) -> None:
    """For some seconds its web server answers 404 to everything, in HTML: offsets are not gone."""
    page = "<html><title>Error 404 Not Found</title></html>"
    with pytest.raises(Unreachable, match="its worker is starting"):
        _client(tmp_path, Connect((404, page))).offsets()
    assert not _client(tmp_path, Connect((404, page))).ready()
