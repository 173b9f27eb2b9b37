"""The running pipeline as a fault test handles it: load, faults, recovery, proof."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg2
from confluent_kafka.admin import AdminClient

from cdc import generation, state
from cdc.settings import CdcSettings
from contracts.naming import Role, slot_name
from stack.settings import PROCESSES, SERVICES
from tests.conftest import Pipeline
from tests.faults import oracles
from tests.faults.programs import Programs
from tests.faults.reconcile import reconcile
from tests.faults.trial import Trial
from tests.faults.workload import Workload
from tests.integration.conftest import cdc_settings
from tests.integration.sessions import Sessions

FRESH_S = 5.0
LEAD_S = 3.0  # of load before the fault
EDITED = timedelta(minutes=3)  # the load changes trades of the last two minutes
HEALTHY_S = 60.0
ALARM_S = 30.0
TPS = 60
WARM_TPS, WARM_S = 300, 45.0


def metrics_of(port: int) -> str:
    """A process's metrics as text; empty where nobody answers."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5, trust_env=False).text
    except httpx.HTTPError:
        return ""


class Rig(Programs):
    """One pipeline: its programs, load and proof, and what its stores say."""

    def __init__(self, pipeline: Pipeline, patience: float = 1) -> None:
        super().__init__(pipeline, patience)
        self._as_started = cdc_settings(pipeline.env)
        self.cdc: CdcSettings = generation.current(self._as_started)
        self._glance = oracles.Glance(self.cdc)
        self._sessions = Sessions()

    def close(self) -> None:
        self._glance.close()
        self._sessions.close()

    # --- load and proof -------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Load until the JVMs have compiled what it runs: limits of time hold for a warm stack."""
        load = Workload(self.dsn(Role.OWNER), seed=0, tps=WARM_TPS)
        load.start()
        try:
            time.sleep(WARM_S)
        finally:
            load.stop()

    @contextmanager
    def under_load(
        self, trial: Trial, tps: float = TPS, settle_s: float = 120
    ) -> Iterator[Workload]:
        """Load for the length of the block; then it stops and O1 and O2 are proved."""
        self.ensure_healthy()
        since = datetime.now(UTC) - EDITED
        load = Workload(self.dsn(Role.OWNER), trial.seed, tps)
        with oracles.CanaryPoller(self.cdc, load.canary_venue) as poller:
            load.start()
            try:
                time.sleep(LEAD_S)
                yield load
            finally:
                load.stop()
            counts = reconcile(self.cdc, since=since, settle_s=settle_s * self._patience)
        trial.note(f"{load.committed:,} transactions, {poller.looks} looks at canaries")
        trial.prove(counts, poller.monotone.wrong)
        assert len(poller.monotone.gone) > 0, "no canary was seen to be deleted"
        self.verify()

    def verify(self) -> None:
        """The second witness: `tidemark verify` finds no difference either."""
        verified = self.pipeline.tidemark("verify", "--full-speed", "--json")
        told = verified.stdout[-2000:] + verified.stderr[-1000:]
        assert verified.returncode == 0, f"tidemark verify: {told}"

    def recover(self, trial: Trial, within_s: float, patience_s: float = 60) -> float:
        """O5: seconds from now until heartbeats of after now are in Cassandra and fresh."""
        began, ended = time.monotonic(), datetime.now(UTC)
        within_s *= self._patience
        while True:
            if self._fresh(max(ended, datetime.now(UTC) - timedelta(seconds=FRESH_S))):
                break
            waited = time.monotonic() - began
            assert waited < within_s + patience_s, (
                f"heartbeats are not fresh {waited:.0f} s after the fault"
            )
            time.sleep(0.2)
        seconds = round(time.monotonic() - began, 1)
        trial.recovery_s = max(seconds, trial.recovery_s or 0)
        assert seconds <= within_s, f"recovery took {seconds} s, allowed are {within_s:.0f} s"
        return seconds

    def recover_or_resync(self, trial: Trial, within_s: float) -> None:
        """Fresh heartbeats; where the watch refuses to go on instead, the resync that it names."""

        def judged() -> bool | None:
            if self._raised("replication_refused"):
                return False
            return True if self._fresh(datetime.now(UTC) - timedelta(seconds=FRESH_S)) else None

        time.sleep(10)  # what is fresh now may be of before the fault's end
        if self.until("fresh heartbeats, or a refusal", judged, within_s):
            return
        trial.note("refused by the watch: alarm replication_refused")
        self.resync(trial)
        self.recover(trial, within_s)

    def _fresh(self, since: datetime) -> bool:
        """Whether heartbeats of both sources that are newer than that are in Cassandra."""
        beats = oracles.newest_beats(self._glance)
        return len(beats) == len(oracles.BEAT_SOURCES) and min(beats.values()) > since

    def ensure_healthy(self) -> None:
        """Everything runs, heartbeats are fresh, and no older alarm could be taken for the fault's.

        Where an earlier row left it otherwise, `tidemark up` may mend it, and at last a resync.
        """
        for mend in ((), ("up",), ("resync", "--sweep-anyway")):
            if mend:
                self.pipeline.tidemark(*mend, timeout_s=400)
            self.cdc = generation.current(self._as_started)
            if self._healthy_within(HEALTHY_S):
                return
        raise AssertionError("the stack is not healthy before the fault")

    def _healthy_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds * self._patience
        while time.monotonic() < deadline:
            running = all(self.pid(name) for name in (*SERVICES, *PROCESSES))
            fresh = running and self._fresh(datetime.now(UTC) - timedelta(seconds=FRESH_S))
            if fresh and not self._raised("heartbeat_age"):
                return True
            time.sleep(0.5)
        return False

    # --- what the stores and the pipeline say ---------------------------------------------------

    def dsn(self, role: str) -> dict[str, Any]:
        return dict(self.cdc.postgres_dsn(role))

    def sql(self, statement: str, *values: object, role: str = Role.OWNER) -> list[Any]:
        """Run a statement in PostgreSQL, in a transaction of its own."""
        with closing(psycopg2.connect(**self.dsn(role))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

    def cql(self, statement: str, *values: object, role: str = Role.OWNER) -> list[Any]:
        """Run a prepared statement (`?` stands for a value) in Cassandra."""
        return self._sessions.run(self.cdc, role, statement, *values)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until the broker has forgotten it."""
        admin = AdminClient({"bootstrap.servers": self.cdc.kafka_bootstrap})
        admin.delete_topics([name])[name].result(30)
        self.until(
            f"{name} is gone", lambda: name not in admin.list_topics(timeout=10).topics or None, 30
        )

    def acknowledged(self, group: str = "") -> oracles.Offsets:
        """What the sink, or another group, says is acknowledged, by (topic, partition)."""
        session = self._sessions.of(self.cdc, Role.READER)
        return state.positions(session, group or self.cdc.sink_group)

    def committed(self) -> oracles.Offsets:
        """What the sink's group has committed."""
        return oracles.committed(self.cdc)

    def beyond_acknowledged(self) -> oracles.Offsets:
        """Commits that no acknowledgement of Cassandra stands behind: there must be none.

        Positions are published about once a second, so they may be a little late.
        """
        committed, deadline = self.committed(), time.monotonic() + 20
        while True:
            done = self.acknowledged()
            beyond = {key: at for key, at in committed.items() if at > done.get(key, 0)}
            if not beyond or time.monotonic() > deadline:
                return beyond
            time.sleep(1)

    def wait_assigned(self, within_s: float = 60) -> None:
        """Wait until a sink that has just started holds partitions: heartbeats are fresh."""
        self.recover(Trial(0), within_s)

    def retained_mb(self) -> float:
        """O7: WAL that PostgreSQL keeps for the slot."""
        found = self.sql(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) / 1048576.0 "
            "FROM pg_replication_slots WHERE slot_name = %s",
            slot_name(self.cdc.generation),
            role=Role.POSTGRES_ADMIN,
        )
        return float(found[0][0])

    def alarm(self, *names: str, within_s: float = ALARM_S) -> str:
        """O6: wait until one of the alarms is in the watch's metric, and in `tidemark status`.

        Which one, and after how many seconds, in words.
        """
        began = time.monotonic()
        name = str(
            self.until(
                f"an alarm in the metrics: {', '.join(names)}",
                lambda: next((each for each in names if self._raised(each)), None),
                within_s,
            )
        )
        seconds = time.monotonic() - began
        told = self.pipeline.tidemark("status", "--json").stdout
        assert name in told, f"`tidemark status` does not tell of {name}"
        return f"alarm {name} after {seconds:.0f} s"

    def _raised(self, name: str) -> bool:
        port = int(self.pipeline.env["TIDEMARK_WATCH_METRICS_PORT"])
        return f'tidemark_alarm{{alarm="{name}"}} 1.0' in metrics_of(port)

    def resync(self, trial: Trial, *options: str) -> None:
        """The way back from broken replication: a new generation, a new snapshot, the sweep."""
        began, before = time.monotonic(), self.cdc.generation
        done = self.pipeline.tidemark("resync", *options)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
        self.cdc = generation.current(self._as_started)
        assert self.cdc.generation > before
        trial.note(
            f"resync to generation {self.cdc.generation} took {time.monotonic() - began:.0f} s"
        )
