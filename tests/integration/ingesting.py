"""What the tests of ingestion share: the simulated exchange, settings, the service in a thread."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from ingest.service import run
from ingest.settings import IngestSettings
from ingest.summary import Summary
from runtime.endpoints import PostgresEndpoint
from runtime.settings import PROJECT_ROOT
from runtime.shutdown import Shutdown


class Simulator:
    """The simulated exchange in a process of its own, and its control."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self._port = port
        self._ahead_ms = 0  # of the market's clock before ours

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start it, wait until it answers, end it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
        environment |= {
            "TIDEMARK_ENV_FILE": os.devnull,
            "TIDEMARK_SIMULATOR_METRICS_PORT": "0",
            "TIDEMARK_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "cli.main", "simulate", "--port", str(self._port)]
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment)
        try:
            eventually(self._answers, timeout_s=60)
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)
            self._http.close()

    def _answers(self) -> bool:
        try:
            return self._http.get("/_simulator/health").is_success
        except httpx.HTTPError:
            return False

    def reset(self, weight_limit: int = 6000) -> None:
        """No faults, no log, no bans."""
        self._http.delete("/_simulator/faults").raise_for_status()
        self._http.delete("/_simulator/log").raise_for_status()
        self._http.post(
            "/_simulator/limits", json={"weight_limit": weight_limit}
        ).raise_for_status()

    def fault(self, path: str, count: int | None = 1, symbol: str = "", **action: Any) -> None:
        """Add a rule: the next `count` requests of `path` meet `action`."""
        rule: dict[str, Any] = {"path": path, "action": action}
        if count is not None:
            rule["count"] = count
        if symbol:
            rule["symbol"] = symbol
        answer = self._http.post("/_simulator/faults", json={"rules": [rule]})
        assert answer.is_success, answer.text

    def list_anew(self, symbol: str, status: str, base: str | None = None) -> None:
        """Change a listing; it holds at once, for the minute ends within two seconds."""
        self._wait_for_the_end_of_a_minute()
        change = {"symbol": symbol, "status": status} | ({"base": base} if base else {})
        answer = self._http.post("/_simulator/listings", json=change)
        assert answer.is_success, answer.text
        if status == "TRADING":  # a new one is shown a minute after it began
            self._set_clock_ahead(by_ms=60_000)

    def _wait_for_the_end_of_a_minute(self) -> None:
        """Put the market's clock forward, by less than a minute, rather than sleep."""
        now_ms = self._http.get("/_simulator/health").json()["now_ms"]
        self._set_clock_ahead(by_ms=max(58_000 - now_ms % 60_000, 0))

    def _set_clock_ahead(self, by_ms: int) -> None:
        self._ahead_ms += by_ms
        clock = {"offset_ms": self._ahead_ms}
        self._http.post("/_simulator/clock", json=clock).raise_for_status()

    def heal(self) -> None:
        """Take all faults away."""
        self._http.delete("/_simulator/faults").raise_for_status()

    def faults_done(self) -> int:
        """How many requests met a fault."""
        return sum(bool(request["fault"]) for request in self.log())

    def log(self, path: str = "/api/") -> list[dict[str, Any]]:
        """All requests since the reset."""
        requests: list[dict[str, Any]] = self._http.get(
            "/_simulator/log", params={"path": path}
        ).json()
        return requests

    def get(self, path: str, **parameters: Any) -> Any:
        """What the exchange says, read without any code of ours."""
        return self._http.get(path, params=parameters).raise_for_status().json()


@contextlib.contextmanager
def ingesting(settings: IngestSettings) -> Iterator[Run]:
    """The service in a thread; it must end cleanly with the block."""
    started = Run(settings)
    try:
        yield started
    finally:
        started.end()


class Run:
    """A running service."""

    def __init__(self, settings: IngestSettings) -> None:
        self.shutdown = Shutdown()
        self.summary: Summary | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(settings,), daemon=True)
        self._thread.start()

    def _run(self, settings: IngestSettings) -> None:
        try:
            self.summary = run(settings, self.shutdown)
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self.error = error

    def end(self) -> None:
        """Ask for the end and wait for it."""
        self.shutdown.request()
        self._thread.join(timeout=20)
        assert not self._thread.is_alive(), "the service did not end within 20 s"
        if self.error is not None:
            raise self.error


def eventually(true: Callable[[], Any], timeout_s: float = 60) -> Any:
    """Wait until `true()` is; its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := true()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.1)
    return value


class Gate:
    """A TCP forwarder in front of a port of this machine, which can be shut and opened."""

    def __init__(self, behind: int, port: int) -> None:
        self.port = port
        self._behind = behind
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections and break those that there are."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                inside, _ = listener.accept()
                outside = socket.create_connection(("127.0.0.1", self._behind))
                self._open += [inside, outside]
                for a, b in ((inside, outside), (outside, inside)):
                    threading.Thread(target=_pump, args=(a, b), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def settings_for(database: PostgresEndpoint, simulator: Simulator, folder: Path) -> IngestSettings:
    """Quick polls of a few symbols, with a run folder of their own."""
    return IngestSettings(
        state_dir=folder,
        secrets_dir=database.secrets_dir or database.state_dir / "secrets",
        postgres_port=database.postgres_port,
        postgres_database=database.postgres_database,
        exchange="simulator",
        simulator_url=simulator.url,
        coingecko="off",  # the exchange alone; test_ingest_sources has the others
        coincap="off",
        symbols=("BTCUSDT", "ETHUSDT"),
        prices_every_s=1,
        ticker_24h_every_s=2,
        depth_every_s=1,
        trades_every_s=1,
        klines_every_s=1,
        weight_share=1,
        request_timeout_s=6,
        connect_timeout_s=1,
        backoff_s=0.1,
        firewall_pause_s=2,
        ingest_metrics_port=0,
    )


def environment_of(settings: IngestSettings) -> dict[str, str]:
    """The same settings for a process of its own."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
    changed = {
        f"TIDEMARK_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in settings.model_dump(exclude_unset=True).items()
    }
    return outside | changed | {"TIDEMARK_ENV_FILE": os.devnull}


def tidemark(
    settings: IngestSettings, *arguments: str, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the command `tidemark` with these settings."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=PROJECT_ROOT,
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
