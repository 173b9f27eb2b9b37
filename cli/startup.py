"""The stages of `tidemark up`, in order, each with its time.

settings → doctor → services → schema → connector → our processes → the first row in Cassandra →
the page → Grafana, if the machine has one. Each stage is harmless where its work is done already,
so that `up` also heals what is half up.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

import httpx

from cdc import keyspace, readings
from cdc.connector import registration
from cdc.errors import CdcError, PreflightRefused, Unreachable
from cdc.settings import CdcSettings
from cli import migrate, plan
from cli.plan import Plan
from contracts.naming import Role
from ingest.errors import IngestError
from runtime.settings import ENV_PREFIX
from stack import docker, doctor, launcher
from stack.files import make_folders, make_passwords, tail
from stack.settings import PROCESSES, StackSettings
from stack.supervision import ServiceState

FIRST_ROW_S = 120.0
PAGE_S = 30.0
PAGE = "page"  # the one of ours without which data flows
LOOK_S = 0.5
HOPELESS_ENDS = 3  # each of ours outlives what it needs: one that ends so often does not heal


class StartupFailed(Exception):
    """A stage failed; the message says which and what to do."""


class Ends:
    """How often each of our processes has ended, by looks at what the supervisor says."""

    def __init__(self) -> None:
        self._before: dict[str, ServiceState] = {}
        self._count: Counter[str] = Counter()

    def hopeless(self, states: Iterable[ServiceState]) -> str | None:
        """The process that has ended HOPELESS_ENDS times or for good; None where there is none.

        Services come back by themselves, and data flows without the page: neither is judged.
        """
        for now in states:
            if now.name not in PROCESSES or now.name == PAGE:
                continue
            before = self._before.get(now.name, ServiceState(now.name, "starting"))
            ended = _has_ended(now) and not _has_ended(before)
            replaced = now.pid and before.pid and now.pid != before.pid  # ended between two looks
            self._count[now.name] += bool(ended or replaced)
            self._before[now.name] = now
            if now.state == "fatal" or self._count[now.name] >= HOPELESS_ENDS:
                return now.name
        return None


def _has_ended(state: ServiceState) -> bool:
    return state.state in ("backoff", "exited", "fatal")


class Stages:
    """One `up`. `say` takes a line for a person."""

    def __init__(self, settings: StackSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._way = docker.choose(settings)
        self.say = say
        self.seconds: dict[str, float] = {}
        self.page_url = ""

    def run(self, *, services_only: bool) -> None:
        """Go through the stages; StartupFailed or StackError at the first that fails.

        Before anything starts also SettingsError and ScheduleTooHeavy.
        """
        self.say(f"{self._way.name}: {self._way.reason}")
        planned = Plan() if services_only else plan.read()
        if self._way.name == "docker":
            self._run_in_containers(planned, services_only=services_only)
            return
        self._stage("doctor", lambda: self._doctor(planned))
        self._stage("services", self._services)
        if services_only:
            return
        self._stage("schema", self._schema)
        try:
            self._stage("connector", self._connector)
        except StartupFailed as error:
            if isinstance(error.__cause__, PreflightRefused):
                # the exchange is collected, and the remedy's sink runs, until a person has decided
                self._stage("processes", lambda: self._processes(planned))
            raise
        self._stage("processes", lambda: self._processes(planned))
        self._stage("first row", self._first_row)
        self._show_page(planned.page_url)
        self._stage("grafana", lambda: launcher.start_grafana(self._settings))

    def _run_in_containers(self, planned: Plan, *, services_only: bool) -> None:
        if services_only:
            self._stage("containers", self._containers)
            return
        profiles = ["core", *(["simulator"] if planned.venue == "simulator" else [])]
        self._stage("containers", lambda: self._containers(*profiles))
        self._stage("first row", self._first_row)
        self._show_page(planned.page_url)

    def report(self) -> dict[str, object]:
        """For --json: the way, where the page is, and seconds by stage."""
        way, why = self._way.name, self._way.reason
        return {"way": way, "why": why, "page": self.page_url, "seconds": self.seconds}

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
        docker.compose(self._settings, *chosen, "up", "--build", "--detach")
        launcher.wait_answers(self._settings)
        return "postgres, kafka, cassandra and connect answer"

    def _doctor(self, planned: Plan) -> str:
        found = doctor.check(self._settings, planned.ports, planned.metrics_ports)
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
        for complaint in applied.complaints:  # of single tables; the watch raises an alarm of it
            self.say(f"connector: {complaint}")
        return f"{applied.status.name} {applied.change}, {applied.status.state}"

    def _processes(self, planned: Plan) -> str:
        """Start ours; they get the exchange that was chosen here, so that all mean the same."""
        venue = planned.venue
        wanted = {"simulator": venue == "simulator", PAGE: bool(planned.page_url)}
        names = [name for name in PROCESSES if wanted.get(name, True)]
        launcher.stop_processes(self._settings, [name for name in PROCESSES if name not in names])
        launcher.start_processes(self._settings, names, {f"{ENV_PREFIX}EXCHANGE": venue})
        return f"{', '.join(names)}; prices come from {venue}"

    def _show_page(self, url: str) -> None:
        if url:
            self.page_url = url
            self._stage("page", lambda: self._page(url))

    def _page(self, url: str) -> str:
        """Wait until the page answers; data flows without it, so `up` does not fail for it."""
        deadline = time.monotonic() + PAGE_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/_stcore/health", trust_env=False).is_success:
                    return url
            except httpx.HTTPError:
                pass
            time.sleep(LOOK_S)
        return f"{url} does not answer yet; `tidemark logs page` says why"

    def _first_row(self) -> str:
        """A heartbeat that was committed after we began has gone all the way to Cassandra.

        A Cassandra that has just started may answer late: one look that fails is no failure.
        """
        began = datetime.now(UTC)
        deadline = time.monotonic() + FIRST_ROW_S
        ends = Ends()
        while True:
            try:
                with keyspace.session(CdcSettings(), Role.READER) as session:
                    newest = partial(readings.newest_beat, session, "ingest", began)
                    return self._arrival(newest, began, deadline, ends)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)

    def _arrival(
        self, newest: Callable[[], datetime | None], began: datetime, deadline: float, ends: Ends
    ) -> str:
        while True:
            beat = newest()
            if beat is not None and beat > began:
                return "committed in PostgreSQL, read in Cassandra"
            if name := ends.hopeless(launcher.states(self._settings)):
                log = self._settings.logs / f"{name}.log"
                raise StartupFailed(
                    f"first row: {name} ends again and again; the cause stands in {log}, whose "
                    f"last lines follow; then type `tidemark up` again\n{tail(log, 5)}"
                )
            if time.monotonic() > deadline:
                raise StartupFailed(
                    f"first row: nothing new reached Cassandra in {FIRST_ROW_S:.0f} s; "
                    "`tidemark status` says where it stands, `tidemark logs` why"
                )
            time.sleep(LOOK_S)
