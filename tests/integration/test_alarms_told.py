"""From what the sink meets to everywhere an alarm is told: within 30 seconds, by the real watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from contracts.naming import topic_of
from tests.conftest import free_ports
from tests.integration.alarm_witness import AlarmWitness
from tests.integration.conftest import Replica
from tests.integration.receiver import Receiver
from tests.integration.sinking import CraftedLog, Event, change, instrument_change, wait_until

pytestmark = pytest.mark.integration


class Watched:
    """A crafted log with a sink and a watch, and a witness of its alarms."""

    def __init__(self, log: CraftedLog, folder: Path, running: ExitStack) -> None:
        sink_port, watch_port = free_ports(2)
        self.log = log
        receiver = running.enter_context(closing(Receiver()))
        (folder / "url").write_text(f"http://127.0.0.1:{receiver.port}/alarms")
        log.replica.variables |= {
            "TIDEMARK_SINK_METRICS_PORT": str(sink_port),
            "TIDEMARK_WATCH_METRICS_PORT": str(watch_port),
            "TIDEMARK_INGEST_METRICS_PORT": "0",
            "TIDEMARK_WATCH_WEBHOOK_FILE": str(folder / "url"),
            "TIDEMARK_STATE_DIR": str(folder),
            "TIDEMARK_SECRETS_DIR": str(log.settings.state_dir / "secrets"),
        }
        self.witness = AlarmWitness(
            watch_port,
            receiver,
            log.replica.sql,
            lambda: log.replica.tidemark("status", "--json"),
        )
        running.enter_context(log.replica.process("watch"))
        wait_until(lambda: "tidemark_check_last_success" in self.witness.metrics(), 60)


@pytest.fixture
def watched(replica: Replica, tmp_path: Path) -> Iterator[Watched]:
    log = CraftedLog.begin(replica)
    usual = dict(replica.variables)
    with ExitStack() as running:
        running.callback(lambda: replica.variables.update(usual))
        yield Watched(log, tmp_path, running)


def test_what_stops_in_the_sink_is_told_everywhere_within_30_s(watched: Watched) -> None:
    """A dead letter, a halted table, and a sink that stops: metric, events, webhook, status."""
    log = watched.log
    truncate = change("gaps", "t", {}, lsn=8080, tx=2)
    with log.replica.process("sink") as sink:
        log.produce([instrument_change("c", "A", lsn=8000, tx=1)])
        log.wait_applied()
        began = time.monotonic()
        log.produce([Event("instruments", b"{}", b"junk"), Event("gaps", None, truncate.value)])
        texts = watched.witness.wait_told(began, "dead_letters", "table_halted")
        assert "1 new within five minutes" in texts["dead_letters"]
        assert "gaps: it was truncated in PostgreSQL" in texts["table_halted"]
        log.delete_dead_letter_topic()
        began = time.monotonic()
        log.produce([Event("instruments", b"{}", b"more junk")])
        said = watched.witness.wait_told(began, "sink_stopped")["sink_stopped"]
        assert "dead_letter_lost: a dead letter cannot be stored" in said
        assert "`tidemark connector apply` makes the topic" in said
        assert sink.wait(60) == 1
    topic = topic_of("instruments", log.settings.generation)
    assert log.committed()[topic, 0] <= 2, "the event whose letter was lost is not passed"
