"""The sink while Cassandra is away, answers into the void, or never comes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cdc.position import Phase, write_timestamp
from contracts.naming import topic_of
from tests.integration.conftest import Replica
from tests.integration.sinking import CraftedLog, instrument_change, wait_until
from tests.integration.tcp_proxy import TcpProxy

pytestmark = pytest.mark.integration


@pytest.fixture
def log(replica: Replica) -> CraftedLog:
    """An empty log of a generation of its own."""
    return CraftedLog.begin(replica)


def through(log: CraftedLog, proxy: TcpProxy) -> Any:
    """A sink that reaches Cassandra through the proxy, and gives up on an answer after 1 s."""
    return log.sink(TIDEMARK_CASSANDRA_PORT=str(proxy.port), TIDEMARK_REQUEST_TIMEOUT_MS="1000")


def positions(log: CraftedLog) -> dict[str, int]:
    """{symbol: write timestamp} of the crafted instruments."""
    rows = log.replica.cql("SELECT symbol, writetime(status) AS at FROM instruments")
    return {row.symbol: row.at for row in rows}


def test_a_write_whose_answer_was_lost_is_repeated_at_its_timestamp(log: CraftedLog) -> None:
    """Applied, but nobody heard: not acknowledged meanwhile, and the row is the same after."""
    topic = topic_of("instruments", log.settings.generation), 0
    log.produce([instrument_change("c", "FIRST", lsn=8000, tx=1)])
    with TcpProxy(log.settings.cassandra_port) as proxy, through(log, proxy):
        log.wait_applied()
        proxy.lose_replies = True
        log.produce([instrument_change("c", "UNHEARD", lsn=8080, tx=2)])
        wait_until(lambda: "UNHEARD" in positions(log))
        time.sleep(3)
        assert proxy.lost_bytes > 0
        assert log.acknowledged()[topic] == 1
        proxy.lose_replies = False
        log.wait_applied(120)
    stamp = write_timestamp(log.settings.generation, Phase.STREAM, 8080, 1)
    assert positions(log)["UNHEARD"] == stamp


def test_nothing_is_lost_while_cassandra_is_away(log: CraftedLog) -> None:
    """The sink stays up, acknowledges nothing, and goes on by itself."""
    topic = topic_of("instruments", log.settings.generation), 0
    log.produce([instrument_change("c", "EARLY", lsn=8000, tx=1)])
    with TcpProxy(log.settings.cassandra_port) as proxy, through(log, proxy) as process:
        log.wait_applied()
        proxy.refuse = True
        log.produce(
            instrument_change("c", f"L{number}", lsn=8080 + 8 * number, tx=2 + number)
            for number in range(5000)
        )
        time.sleep(8)
        assert process.poll() is None
        assert log.committed()[topic] <= 1
        proxy.refuse = False
        log.wait_applied(120)
    assert {f"L{number}" for number in range(5000)} <= set(positions(log))


def test_a_sink_that_starts_before_cassandra_waits_for_it(log: CraftedLog) -> None:
    """And says why, rather than end."""
    log.produce([instrument_change("c", "WAITED", lsn=8000, tx=1)])
    with TcpProxy(log.settings.cassandra_port) as proxy:
        proxy.refuse = True
        with through(log, proxy) as process:
            time.sleep(5)
            assert process.poll() is None
            proxy.refuse = False
            log.wait_applied(120)


@pytest.mark.parametrize("state", ["refuse", "lose_replies"])
def test_the_sink_ends_in_time_without_cassandra(log: CraftedLog, state: str) -> None:
    """SIGTERM while writes cannot succeed: within ten seconds, with nothing committed of them."""
    topic = topic_of("instruments", log.settings.generation), 0
    log.produce([instrument_change("c", "BEFORE", lsn=8000, tx=1)])
    with TcpProxy(log.settings.cassandra_port) as proxy, through(log, proxy) as process:
        log.wait_applied()
        setattr(proxy, state, True)
        log.produce([instrument_change("c", "AFTER", lsn=8080, tx=2)])
        time.sleep(2)
        start = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
        assert time.monotonic() - start < 10
    assert log.committed()[topic] <= 1


def test_the_sink_ends_in_time_without_kafka(log: CraftedLog) -> None:
    """A broker that never answers holds nothing up."""
    with log.sink(TIDEMARK_KAFKA_BOOTSTRAP="127.0.0.1:9") as process:
        time.sleep(8)
        assert process.poll() is None
        start = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
        assert time.monotonic() - start < 10
