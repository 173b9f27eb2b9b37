"""The real stack, started once for a run, on free ports, below a temporary folder.

`postgres`  PostgreSQL alone
`stack`     the four services
`migrated`  and both schemas
`pipeline`  and the connector, the simulated exchange, ingest, sink, watch and page: all by
            `tidemark up`

Each starts when the first test asks for it. Downloaded services are shared with the project's own
state folder. At the end no process is left; after a failure the logs are kept and named.

While you write a test, `pytest --keep-stack=FOLDER …` uses the services below FOLDER, starts them
where they do not run, and leaves them running: `--keep-stack` again takes seconds. To end them:
`pytest tests --end-stack=FOLDER`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from runtime.settings import PROJECT_ROOT
from stack import launcher
from stack.settings import PROCESSES, SERVICES, StackSettings

# a busy machine may take its time over an example
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

LONG_RUN_S = 300
KEPT_LOGS = PROJECT_ROOT / ".tidemark" / "test-logs"
PORTS = (
    *("postgres", "kafka", "kafka_controller", "connect", "cassandra", "cassandra_storage"),
    *("simulator", "simulator_metrics", "ingest_metrics", "sink_metrics", "watch_metrics"),
    "page",
)


@dataclass(frozen=True)
class Stack:
    """Running services: their settings, and the same as TIDEMARK_* variables."""

    settings: StackSettings
    env: dict[str, str] = field(default_factory=dict)

    @property
    def process_env(self) -> dict[str, str]:
        """Environment of a process of ours that works on this stack."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
        return outside | self.env

    def tidemark(
        self, *arguments: str, timeout_s: float = 600, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command `tidemark` on this stack."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=PROJECT_ROOT,
            env=self.process_env | variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


class Pipeline(Stack):
    """A stack through which data flows."""


def free_ports(count: int) -> list[int]:
    """Ports below the range from which the kernel takes ports for outgoing connections.

    From within it, a service that is killed might find its port lent to somebody meanwhile.
    """
    found: list[int] = []
    for port in random.sample(range(20000, 32000), 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"there are no {count} free ports between 20000 and 32000")


def fresh_environment(folder: Path) -> dict[str, str]:
    """TIDEMARK_* of a stack of its own below `folder`, on free ports."""
    port = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return {
        "TIDEMARK_ENV_FILE": os.devnull,
        "TIDEMARK_STACK": "local",
        "TIDEMARK_STATE_DIR": str(folder),
        "TIDEMARK_ARTIFACTS_DIR": str(PROJECT_ROOT / ".tidemark" / "artifacts"),
        "TIDEMARK_POSTGRES_PORT": port["postgres"],
        "TIDEMARK_KAFKA_BOOTSTRAP": f"127.0.0.1:{port['kafka']}",
        "TIDEMARK_KAFKA_CONTROLLER_PORT": port["kafka_controller"],
        "TIDEMARK_CONNECT_URL": f"http://127.0.0.1:{port['connect']}",
        "TIDEMARK_CASSANDRA_PORT": port["cassandra"],
        "TIDEMARK_CASSANDRA_STORAGE_PORT": port["cassandra_storage"],
        "TIDEMARK_EXCHANGE": "simulator",
        "TIDEMARK_WATCH_RETENTION_PERIOD_S": "0",  # tests write into old days and count their rows
        "TIDEMARK_SIMULATOR_URL": f"http://127.0.0.1:{port['simulator']}",
        "TIDEMARK_INGEST_METRICS_PORT": port["ingest_metrics"],
        "TIDEMARK_SINK_METRICS_PORT": port["sink_metrics"],
        "TIDEMARK_WATCH_METRICS_PORT": port["watch_metrics"],
        "TIDEMARK_SIMULATOR_METRICS_PORT": port["simulator_metrics"],
        "TIDEMARK_PAGE_PORT": port["page"],
        "TIDEMARK_GRAFANA_PORT": "0",  # a test that wants the machine's own asks for it
    }


def settings_of(environment: Mapping[str, str]) -> StackSettings:
    """Settings as a process with this environment would read them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return StackSettings()


def fresh_folder() -> Path:
    """A new state folder through which PostgreSQL's user may pass."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-test-"))
    folder.chmod(0o755)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-stack", type=Path, help="use and leave the stack below this folder")
    parser.addoption("--end-stack", type=Path, help="end the stack that was kept below this folder")
    parser.addoption("--part", choices=("stack", "database", "ingest"), help="of `make test`")
    parser.addoption("--write-failed", type=Path, help="a file for the ids of what failed")
    faults = parser.getgroup("fault matrix")
    faults.addoption("--rows", default="", help="A1,C4 or a letter: these rows, not all")
    faults.addoption("--seed", type=int, default=1, help="of load and faults")
    faults.addoption("--patience", type=float, default=1, help="on a busy machine: limits times it")
    faults.addoption("--fresh", action="store_true", help="also rows that passed on this commit")
    faults.addoption("--write-matrix", action="store_true", help="write docs/faults.md")


def pytest_sessionstart(session: pytest.Session) -> None:
    folder = session.config.getoption("--end-stack")
    if folder is not None:
        discard(kept_stack(folder.resolve()), keep_logs=False)
        pytest.exit(f"the stack below {folder} is ended", returncode=0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part that was asked for."""
    wanted = config.getoption("--part")
    if wanted is None:
        return
    left_out = [item for item in items if _part(item) != wanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _part(item: pytest.Item) -> str:
    """Which process of `make test` runs it; each takes about as long as the others.

    The sink's and verification's tests have a stack of their own beside the other tests of one.
    """
    folder, name = item.path.parent.name, item.path.name
    if folder in {"unit", "model"} or name.startswith(("test_ingest_", "test_ledger")):
        return "ingest"
    if name.startswith(("test_sink_", "test_verify_")):
        return "database"
    return "stack" if "stack" in getattr(item, "fixturenames", ()) else "database"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What failed, for who asked; where a long run's time went."""
    if (file := config.getoption("--write-failed")) is not None:
        bad = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
        file.write_text("".join(f"{each.nodeid}\n" for each in bad), encoding="utf-8")
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if sum(seconds.values()) > LONG_RUN_S:
        terminalreporter.section("seconds by module")
        for name in sorted(seconds, key=lambda each: -seconds[each])[:30]:
            terminalreporter.line(f"{seconds[name]:7.0f} {name}")


def kept_stack(folder: Path) -> Stack:
    """A stack that outlives the run; its ports stand in its folder."""
    known = folder / "test-environment.json"
    if not known.exists():
        folder.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(fresh_environment(folder)))
    environment = json.loads(known.read_text())
    return Stack(settings_of(environment), environment)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """PostgreSQL alone, for what needs nothing behind it."""
    if request.config.getoption("--keep-stack") is not None:
        yield request.getfixturevalue("stack")
        return
    with _started(request, ("postgres",)) as started:
        yield started


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The four services, running and answering."""
    folder = request.config.getoption("--keep-stack")
    if folder is not None:
        kept = kept_stack(folder.resolve())
        launcher.start_services(kept.settings, lambda _line: None)
        # those of an earlier run may be of older code
        launcher.stop_processes(kept.settings, PROCESSES)
        yield kept
        return
    with _started(request, SERVICES) as started:
        yield started


@contextmanager
def _started(request: pytest.FixtureRequest, services: Sequence[str]) -> Iterator[Stack]:
    """A stack for the length of a block."""
    environment = fresh_environment(fresh_folder())
    started = Stack(settings_of(environment), environment)
    try:
        launcher.start_services(started.settings, lambda _line: None, services)
        yield started
    finally:
        discard(started, keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="session")
def migrated(stack: Stack) -> Stack:
    """The services, with both schemas at their newest."""
    done = stack.tidemark("migrate")
    assert done.returncode == 0, done.stderr
    return stack


@pytest.fixture(scope="session")
def pipeline(stack: Stack) -> Pipeline:
    """Everything, by the same command that a person types; data has reached Cassandra."""
    done = stack.tidemark("up", timeout_s=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return Pipeline(stack.settings, stack.env)


def discard(stopped: Stack, *, keep_logs: bool) -> None:
    """Stop everything of a stack and remove its folder; its logs move to KEPT_LOGS if wanted."""
    settings = stopped.settings
    try:
        launcher.stop(settings, lambda _line: None)
    finally:
        if keep_logs and settings.logs.is_dir():
            kept = KEPT_LOGS / settings.state_dir.name
            shutil.copytree(settings.logs, kept, dirs_exist_ok=True)
            sys.stderr.write(f"\nlogs of the services are kept in {kept}\n")
        launcher.delete_data(settings)
        shutil.rmtree(settings.state_dir, ignore_errors=True)
