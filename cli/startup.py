"""The stages of `tidemark up`, in order, each with its time.

doctor → services → schema → connector → our processes → the first row in Cassandra. Each stage is
harmless where its work is done already, so that `up` also heals what is half up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cdc import keyspace, readings, registration
from cdc.errors import CdcError
from cdc.settings import CdcSettings
from cli import migrate
from contracts.naming import Role
from ingest.errors import IngestError
from ingest.exchange import choose
from ingest.settings import IngestSettings
from runtime.settings import ENV_PREFIX
from stack import docker, doctor, launcher
from stack.files import make_folders, make_passwords
from stack.settings import PROCESSES, StackSettings

FIRST_ROW_S = 120.0
LOOK_S = 0.5


class StartupFailed(Exception):
    """A stage failed; the message says which and what to do."""


class Stages:
    """One `up`. `say` takes a line for a person."""

    def __init__(self, settings: StackSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._way = docker.choose(settings)
        self.say = say
        self.seconds: dict[str, float] = {}

    def run(self, *, services_only: bool) -> None:
        """Go through the stages; StartupFailed or StackError at the first that fails."""
        self.say(f"{self._way.name}: {self._way.reason}")
        if self._way.name == "docker":
            self._run_in_containers(services_only=services_only)
            return
        self._stage("doctor", self._doctor)
        self._stage("services", self._services)
        if services_only:
            return
        self._stage("schema", self._schema)
        self._stage("connector", self._connector)
        self._stage("processes", self._processes)
        self._stage("first row", self._first_row)

    def _run_in_containers(self, *, services_only: bool) -> None:
        if services_only:
            self._stage("containers", self._containers)
            return
        profiles = ["processes", *(["simulator"] if _venue() == "simulator" else [])]
        self._stage("containers", lambda: self._containers(*profiles))
        self._stage("first row", self._first_row)

    def report(self) -> dict[str, object]:
        """For --json: the way, and seconds by stage."""
        return {"way": self._way.name, "why": self._way.reason, "seconds": self.seconds}

    def _stage(self, name: str, work: Callable[[], str]) -> None:
        began = time.monotonic()
        try:
            result = work()
        except (CdcError, IngestError) as error:
            raise StartupFailed(f"{name}: {error}") from error
        self.seconds[name] = round(time.monotonic() - began, 1)
        self.say(f"{name}: {result} ({self.seconds[name]} s)")

    def _containers(self, *profiles: str) -> str:
        """Ours wait in the compose file for what they need: schema, connector, each other."""
        make_folders(self._settings)
        make_passwords(self._settings, private=False)
        chosen = [part for profile in profiles for part in ("--profile", profile)]
        docker.compose(self._settings, *chosen, "up", "--detach")
        launcher.wait_answers(self._settings)
        return "postgres, kafka, cassandra and connect answer"

    def _doctor(self) -> str:
        found = doctor.check(self._settings, simulator_port())
        for finding in found:
            if not finding.stops:
                self.say(str(finding))
        if stopping := [str(finding) for finding in found if finding.stops]:
            raise StartupFailed("nothing was started:\n" + "\n".join(stopping))
        return "nothing stops us"

    def _services(self) -> str:
        launcher.start_services(self._settings, self.say)
        return "postgres, kafka, cassandra and connect answer"

    def _schema(self) -> str:
        migrate.run(self.say)
        return "up to date"

    def _connector(self) -> str:
        applied = registration.apply(CdcSettings())
        return f"{applied.status.name} {applied.change}, {applied.status.state}"

    def _processes(self) -> str:
        """Start ours; they get the exchange that was chosen here, so that all mean the same."""
        venue = _venue()
        names = [name for name in PROCESSES if name != "simulator" or venue == "simulator"]
        launcher.stop_processes(self._settings, [name for name in PROCESSES if name not in names])
        launcher.start_processes(self._settings, names, {f"{ENV_PREFIX}EXCHANGE": venue})
        return f"{', '.join(names)}; prices come from {venue}"

    def _first_row(self) -> str:
        """A heartbeat that was committed after we began has gone all the way to Cassandra."""
        began = datetime.now(UTC)
        deadline = time.monotonic() + FIRST_ROW_S
        with keyspace.session(CdcSettings(), Role.READER) as session:
            while True:
                newest = readings.newest_beat(session, "ingest", began)
                if newest is not None and newest > began:
                    return "committed in PostgreSQL, read in Cassandra"
                if time.monotonic() > deadline:
                    raise StartupFailed(
                        f"first row: nothing new reached Cassandra in {FIRST_ROW_S:.0f} s; "
                        "`tidemark status` says where it stands, `tidemark logs` why"
                    )
                time.sleep(LOOK_S)


def _venue() -> str:
    return asyncio.run(choose(IngestSettings())).venue


def simulator_port() -> dict[str, int]:
    """The port that the simulated exchange will listen on, where it is sure to be used."""
    settings = IngestSettings()
    port = urlsplit(settings.simulator_url).port
    return {"simulator": port} if settings.exchange == "simulator" and port else {}
