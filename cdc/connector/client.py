"""Kafka Connect's REST API, as much of it as one Debezium connector needs.

A task can be FAILED while its connector is RUNNING, so `status` gives both; and a task can be
RUNNING while stuck, so only the age of the end-to-end heartbeat proves that events flow.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import httpx

from cdc.errors import ConnectorNotRunning, ConnectRefused, Unreachable
from cdc.settings import CdcSettings
from contracts.naming import connector_name

Config = dict[str, str]
Change = Literal["created", "updated", "unchanged"]

CONFLICT_PATIENCE_S = 20.0  # 409: the worker is rebalancing, which ends by itself
POLL_S = 0.25


@dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """One task; `reason` is why it failed, in a line, '' otherwise."""

    id: int
    state: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ConnectorStatus:
    """State of the connector and of its tasks: RUNNING, PAUSED, STOPPED, FAILED, or UNASSIGNED."""

    name: str
    state: str
    tasks: tuple[TaskStatus, ...] = ()
    reason: str = ""

    @property
    def running(self) -> bool:
        """Whether the connector and every task, at least one, say RUNNING."""
        states = {self.state, *(task.state for task in self.tasks)}
        return bool(self.tasks) and states == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """Whether the connector or a task has FAILED: it does not come back by itself."""
        return "FAILED" in {self.state, *(task.state for task in self.tasks)}

    @property
    def failure(self) -> str:
        """The first reason that connector or tasks give, in a line."""
        reasons = [self.reason, *(task.reason for task in self.tasks)]
        return next((reason for reason in reasons if reason), "")


@dataclass(frozen=True, kw_only=True)
class StoredOffsets:
    """What Connect has stored for Debezium: LSNs as numbers, None where absent.

    `lsn_commit`: the last commit that was seen whole. `lsn_proc`: the last message processed.
    """

    lsn: int | None
    lsn_proc: int | None
    lsn_commit: int | None
    snapshot: bool
    raw: dict[str, Any] = field(compare=False)

    @property
    def snapshot_lsn(self) -> int | None:
        """LSN of the snapshot, as long as no streamed event has taken its place."""
        return self.lsn if self.lsn_proc is None and not self.snapshot else None

    @property
    def furthest(self) -> int:
        """The newest position; the slot must never be beyond it.

        `lsn` counts only just after the snapshot, when it is the only one stored: later on it may
        be of a change in a transaction that is still open.
        """
        return max(self.lsn_proc or 0, self.lsn_commit or 0) or self.lsn or 0


def parse_offsets(body: dict[str, Any]) -> StoredOffsets | None:
    """StoredOffsets of `GET /connectors/<name>/offsets`; None where nothing is stored."""
    stored = [entry["offset"] for entry in body.get("offsets", []) if entry.get("offset")]
    if not stored:
        return None
    offset = stored[0]
    return StoredOffsets(
        lsn=offset.get("lsn"),
        lsn_proc=offset.get("lsn_proc"),
        lsn_commit=offset.get("lsn_commit"),
        snapshot=_in_snapshot(offset),
        raw=offset,
    )


def _in_snapshot(offset: dict[str, Any]) -> bool:
    # Debezium keeps `snapshot` (INITIAL, true …) in the offset until the first streamed event.
    return bool(offset.get("snapshot")) and not offset.get("snapshot_completed", False)


def reason_of(trace: str) -> str:
    """A Java stack trace in a line: its root cause, without the class's package."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    if not lines:
        return ""
    line = causes[-1] if causes else lines[0]
    kind, colon, message = line.partition(": ")
    return f"{kind.rpartition('.')[2]}{colon}{message}"


def parse_status(body: dict[str, Any]) -> ConnectorStatus:
    """ConnectorStatus of `GET /connectors/<name>/status`."""
    connector = body["connector"]
    return ConnectorStatus(
        name=body["name"],
        state=connector["state"],
        reason=reason_of(connector.get("trace", "")),
        tasks=tuple(
            TaskStatus(id=task["id"], state=task["state"], reason=reason_of(task.get("trace", "")))
            for task in body.get("tasks", [])
        ),
    )


class ConnectClient:
    """The connector of one generation. Errors: Unreachable, ConnectRefused."""

    def __init__(self, settings: CdcSettings) -> None:
        self.name = connector_name(settings.generation)
        self._url = settings.connect_url
        self._http = httpx.Client(base_url=self._url, timeout=10.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Whether the worker answers and has read its own topics."""
        try:
            self._request("GET", "/connectors")
        except Unreachable:
            return False
        return True

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the worker answers; Unreachable where it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if time.monotonic() >= deadline:
                raise self._unreachable(f"no answer within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def config(self) -> Config | None:
        """The configuration as stored, secrets as references; None where there is no connector."""
        body = self._request("GET", f"/connectors/{self.name}/config")
        return None if body is None else {k: str(v) for k, v in body.items()}

    def create_stopped(self, config: Config) -> None:
        """Create the connector without starting it, so that its offsets can be looked at first."""
        body = {"name": self.name, "config": config, "initial_state": "STOPPED"}
        self._request("POST", "/connectors", body)
        self._known()

    def apply(self, config: Config) -> Change:
        """Make the connector have this configuration and run; harmless when it does already."""
        stored = self.config()
        wanted = {**config, "name": self.name}
        if stored is None:
            self._request("POST", "/connectors", {"name": self.name, "config": config})
            return "created"
        if stored != wanted:
            self._request("PUT", f"/connectors/{self.name}/config", config)
        status = self._known()
        self.resume()  # whatever it says: a Connect that has just begun tells of before its end
        if status.failed:
            self.restart()
        return "unchanged" if stored == wanted else "updated"

    def _known(self) -> ConnectorStatus:
        """The status, waited for: a new connector has none for a moment."""
        deadline = time.monotonic() + CONFLICT_PATIENCE_S
        while (status := self.status()) is None:
            if time.monotonic() >= deadline:
                raise ConnectorNotRunning(self.name, "absent", "")
            time.sleep(POLL_S)
        return status

    def resume(self) -> None:
        """Start a stopped connector."""
        self._request("PUT", f"/connectors/{self.name}/resume")

    def stop(self) -> None:
        """Stop the connector; its configuration, offsets and slot stay."""
        self._request("PUT", f"/connectors/{self.name}/stop")

    def delete(self) -> None:
        """Remove the connector; its offsets and its slot stay."""
        self._request("DELETE", f"/connectors/{self.name}")

    def status(self) -> ConnectorStatus | None:
        """State of connector and tasks; None where there is no connector."""
        body = self._request("GET", f"/connectors/{self.name}/status")
        return None if body is None else parse_status(body)

    def restart(self) -> None:
        """Restart whatever has failed, connector or tasks."""
        query = "includeTasks=true&onlyFailed=true"
        self._request("POST", f"/connectors/{self.name}/restart?{query}")

    def restart_task(self, task: int) -> None:
        """Restart one task."""
        self._request("POST", f"/connectors/{self.name}/tasks/{task}/restart")

    def offsets(self) -> StoredOffsets | None:
        """What the connector has stored; None where it has nothing, or there is no connector."""
        body = self._request("GET", f"/connectors/{self.name}/offsets")
        return None if body is None else parse_offsets(body)

    def forget_offsets(self) -> None:
        """Remove what is stored under the stopped connector's name."""
        self._request("DELETE", f"/connectors/{self.name}/offsets")

    def wait_running(self, timeout_s: float) -> ConnectorStatus:
        """Wait until connector and task run; ConnectorNotRunning with the reason otherwise."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if status is not None and status.running:
                return status
            if time.monotonic() >= deadline or (status is not None and status.failed):
                state = "absent" if status is None else status.state
                raise ConnectorNotRunning(self.name, state, status.failure if status else "")
            time.sleep(POLL_S)

    def _request(self, method: str, path: str, body: object = None) -> Any:
        """JSON of the answer ({} for none), None for 404."""
        deadline = time.monotonic() + CONFLICT_PATIENCE_S
        while True:
            try:
                answer = self._http.request(method, path, json=body)
            except httpx.HTTPError as error:
                raise self._unreachable(str(error) or type(error).__name__) from error
            if answer.status_code != httpx.codes.CONFLICT or time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
        if answer.status_code == httpx.codes.NOT_FOUND:
            if not answer.headers.get("content-type", "").startswith("application/json"):
                # until the worker has started, its web server knows none of its own paths
                raise self._unreachable("its worker is starting")
            return None
        if answer.is_server_error:
            raise self._unreachable(_message(answer))
        if answer.is_error:
            raise ConnectRefused(f"Connect refuses {method} {path}: {_message(answer)}")
        return answer.json() if answer.content else {}

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"Kafka Connect at {self._url} does not answer ({reason}); "
            "`tidemark up` starts it, `tidemark logs connect` shows why it ended"
        )


def _message(answer: httpx.Response) -> str:
    """What an error body says, in a line: its first error, where it lists several."""
    try:
        text = str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        text = answer.text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else f"HTTP {answer.status_code}"
