"""Dead letters from the topic to the table, and back: list, show, redrive."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from cdc import keyspace, state
from cdc.dead_letters.redrive import Redriver
from cdc.dead_letters.table import LetterTable
from cdc.sink.decoder import Decoder, change_type, decoders
from contracts.naming import Role, topic_of
from runtime.settings import PROJECT_ROOT
from tests.integration.conftest import Replica
from tests.integration.sinking import (
    MOMENT,
    CraftedLog,
    Event,
    change,
    instrument_change,
    wait_until,
)

pytestmark = pytest.mark.integration

EACH = 20  # of each kind of poison; tests/faults does 200
BIG = 5_000_000
KEY = b'{"venue": "crafted", "symbol": "P"}'


@pytest.fixture
def log(replica: Replica) -> CraftedLog:
    """An empty log of a generation of its own."""
    return CraftedLog.begin(replica)


@dataclass(frozen=True)
class Poison:
    """A kind of bad event: cause and path that its letter must name, whether it has a position."""

    name: str
    key: bytes | None
    value: bytes
    path: str
    placed: bool
    cause: str = "undecodable"


def kinds(number: int) -> Iterator[Poison]:
    """Each kind of row C10 once, different for each number; the large junk seldom."""
    lsn = 8_000_000 + 8 * number
    good = instrument_change("c", f"P{number}", lsn=lsn, tx=10_000 + number)
    body = json.loads(good.value or b"")

    def altered(**changes: Any) -> bytes:
        return json.dumps(body | changes).encode()

    after, source = body["after"], body["source"]
    unplaced = {name: each for name, each in source.items() if name not in ("lsn", "sequence")}
    yield Poison("bad JSON", KEY, b"no json \xff\x00 %d" % number, "", placed=False)
    yield Poison("cut", KEY, (good.value or b"")[: 40 + number], "", placed=False)
    wrong = altered(after=after | {"tick_size": number})
    yield Poison("wrong type", good.key, wrong, "$.after.tick_size", placed=True)
    yield Poison("no LSN", good.key, altered(source=unplaced), "", placed=False)
    yield Poison("unknown op", good.key, altered(op="x"), "$.op", placed=True)
    yield Poison("null key", None, good.value or b"", "", placed=False)
    nan = altered(after=after | {"min_notional": "NAN"})
    path = "$.after.min_notional"
    yield Poison("not a number", good.key, nan, path, placed=True, cause="unrepresentable")
    if number % EACH < 2:
        junk = random.Random(number).randbytes(BIG)
        yield Poison("5 MB of junk", KEY, junk, "", placed=False)


def command(log: CraftedLog, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """`tidemark dlq …`, with its bytes as they come."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "dlq", *arguments],
        cwd=PROJECT_ROOT,
        env=log.replica.stack.process_env | log.replica.variables,
        capture_output=True,
        timeout=120,
        check=False,
    )


def filed(log: CraftedLog) -> dict[str, Any]:
    """The table's letters about this log's generation, by id."""
    prefix = topic_of("", log.settings.generation)
    rows = log.replica.cql("SELECT * FROM dead_letters")
    return {row.id: row for row in rows if row.id.startswith(prefix)}


def test_each_kind_of_poison_is_kept_whole_in_topic_and_table(log: CraftedLog) -> None:
    """Count, bytes, cause, path, place; good events between them arrive."""
    injected: dict[str, Poison] = {}
    events: list[Event] = []
    topic = topic_of("instruments", log.settings.generation)
    for number in range(EACH):
        for poison in kinds(number):
            injected[f"{topic}-0-{len(events)}"] = poison
            events.append(Event("instruments", poison.key, poison.value))
            lsn = 8000 + 80 * len(events)
            events.append(instrument_change("c", f"G{len(events)}", lsn=lsn, tx=len(events)))
    log.produce(events)
    with log.replica.sink():
        log.wait_applied()
        wait_until(lambda: len(filed(log)) == len(injected))
    letters = log.dead_letters(len(injected))
    rows = filed(log)
    assert rows.keys() == injected.keys()
    for letter in letters:
        says = {name: text.decode() for name, text in letter.headers()}
        poison, row = injected[says["id"]], rows[says["id"]]
        assert (letter.key(), letter.value()) == (poison.key, poison.value), poison.name
        assert (says["cause"], says["path"]) == (poison.cause, poison.path), poison.name
        assert bool(says["write_timestamp"]) == poison.placed, poison.name
        assert (row.key, row.payload_bytes) == (poison.key, len(poison.value))
        assert row.payload == (poison.value if len(poison.value) < BIG else None)
        assert (row.cause, row.path, row.reason) == (says["cause"], says["path"], says["reason"])
        assert (row.topic, row.partition, str(row.offset)) == (topic, 0, says["offset"])
        assert (row.letter_partition, row.letter_offset) == (letter.partition(), letter.offset())
        assert row.source_table == "instruments"
        assert (row.write_timestamp is not None) == poison.placed
        assert (row.lsn is None) == (not says["lsn"])
    assert Counter(each.name for each in injected.values())["wrong type"] == EACH
    found = {row.symbol for row in log.rows("instruments")}
    assert {f"G{place}" for place in range(1, len(events) + 1, 2)} <= found
    assert not any(symbol.startswith("P") for symbol in found)
    _commands_tell_of(log, injected)


def _commands_tell_of(log: CraftedLog, injected: dict[str, Poison]) -> None:
    """`list` filters, `show --raw` gives the bytes, `redrive` says why it cannot."""
    causes = Counter(each.cause for each in injected.values())
    listed = command(log, "list", "--cause", "unrepresentable", "--limit", "1000", "--json")
    told = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len([each for each in told if each["id"] in injected]) == causes["unrepresentable"]
    big = next(name for name, each in injected.items() if each.name == "5 MB of junk")
    assert command(log, "show", "--raw", big).stdout == injected[big].value
    null_key = next(name for name, each in injected.items() if each.name == "null key")
    shown = command(log, "show", null_key).stdout.decode()
    assert "the event has no key" in shown
    assert "tidemark resync instruments" in shown
    placeless = command(log, "redrive", big)
    assert placeless.returncode == 1
    remedy = b"tidemark resync instruments --where \"venue = 'crafted' AND symbol = 'P'\""
    assert b"no position in the order; touch the row instead: " + remedy in placeless.stdout
    assert command(log, "show", "nothing-0-0").returncode == 1
    assert command(log, "redrive").returncode == 2


def gap_change(
    op: str, symbol: str, lsn: int, last_missing: Any, tx: int, snapshot: str = "false"
) -> Event:
    """A change of a gap whose `last_missing` a newer contract may read, though today's does not."""
    key = {"venue": "crafted", "symbol": symbol, "stream": "trades", "first_missing": 1}
    row = {"last_missing": last_missing, "state": f"{op}@{lsn}", "cause": "shed", "detail": ""}
    times = dict.fromkeys(("detected_at", "as_of", "ingested_at"), MOMENT)
    return change("gaps", op, key, row | times, lsn=lsn, tx=tx, snapshot=snapshot)


class Lenient(Decoder):
    """A contract that was widened: it takes a number that comes as a text."""

    def __init__(self) -> None:
        super().__init__(decoders()["gaps"].source)
        self._decode = msgspec.json.Decoder(change_type(self.source), strict=False).decode


def test_a_widened_contract_heals_and_nothing_newer_is_lost(log: CraftedLog) -> None:
    """Redriven once, twice, and behind newer versions and deletes: the newest version stays."""
    log.produce(
        [
            gap_change("c", "HEALED", 8000, "17", tx=1),
            gap_change("c", "NEWER", 8080, "17", tx=2),
            gap_change("u", "NEWER", 8160, 18, tx=3),
            gap_change("c", "DELETED", 8240, "17", tx=4),
            gap_change("d", "DELETED", 8320, 0, tx=5),
            gap_change("c", "LATER", 8400, "17", tx=6),
        ]
    )
    with log.replica.sink():
        log.wait_applied()
        wait_until(lambda: len(filed(log)) == 4)
    assert states(log) == {"NEWER": "u@8160"}
    refused = command(log, "redrive", "--table", "gaps")
    assert refused.returncode == 1
    assert b"still undecodable: gaps: Expected `int | null`, got `str`" in refused.stdout
    assert states(log) == {"NEWER": "u@8160"}

    assert [each.why_not for each in redrive(log, dry=True)] == [None] * 4
    assert states(log) == {"NEWER": "u@8160"}
    assert [each.writes for each in redrive(log)] == [(("INSERT", "gaps"),)] * 4
    healed = {"HEALED": "c@8000", "NEWER": "u@8160", "LATER": "c@8400"}
    assert states(log) == healed

    log.produce([gap_change("u", "LATER", 8480, 19, tx=7)])
    log.apply()
    assert redrive(log) == [], "they are redriven and no longer wait"
    assert len(redrive(log, *filed(log))) == 4
    assert states(log) == healed | {"LATER": "u@8480"}
    rows = filed(log).values()
    assert {row.redrive_result for row in rows} == {"written: INSERT gaps"}
    assert all(row.redriven_at for row in rows)


def test_what_might_do_harm_is_not_redriven(log: CraftedLog) -> None:
    """A delete that Cassandra may have forgotten, a snapshot that was taken since."""
    log.produce([gap_change("c", "HARM", 8000, "17", tx=1)])
    with log.replica.sink():
        wait_until(lambda: len(filed(log)) == 1)
    with keyspace.session(log.settings, Role.SINK) as session:
        (letter,) = [each for name in filed(log) if (each := LetterTable(session).find(name))]
        redriver = Redriver(log.settings, session, decoders() | {"gaps": Lenient()})
        old = replace(letter, logged_at=letter.logged_at - timedelta(days=10))
        (good, late) = redriver.plan([letter, old])
        assert good.why_not is None
        assert "may have forgotten that its row was deleted" in str(late.why_not)
        later = CraftedLog.begin(log.replica).settings
        (superseded,) = Redriver(later, session).redrive([letter])
        assert f"the snapshot of generation {later.generation}" in str(superseded.why_not)
    assert "HARM" not in states(log)
    (row,) = filed(log).values()
    assert (row.redriven_at, row.redrive_result) == (None, superseded.why_not)


def test_a_letter_of_an_attempt_at_the_snapshot_that_failed_is_not_redriven(
    log: CraftedLog,
) -> None:
    """Its row may have been deleted before the next attempt, and no sweep comes behind it.

    Connect did not tell the snapshot's LSN in time: then the rows that were read do.
    """
    log.produce(
        [
            gap_change("r", "GHOST", 8000, "17", tx=1, snapshot="first"),
            gap_change("r", "KEPT", 8800, "17", tx=2, snapshot="last"),
        ]
    )
    generation = log.settings.generation
    with log.replica.sink(), keyspace.session(log.settings, Role.SINK) as session:
        wait_until(lambda: len(filed(log)) == 2)
        wait_until(lambda: state.recall(session)[generation].snapshot_seen_lsn == 8800)
        state.complete_snapshot(session, generation, None)
        state.complete_sweep(session, generation)
    why_not = {json.loads(each.letter.key)["symbol"]: each.why_not for each in redrive(log)}
    assert why_not["KEPT"] is None
    assert "of an attempt at the snapshot that failed" in str(why_not["GHOST"])
    stored = states(log)
    assert (stored.get("KEPT"), "GHOST" in stored) == ("r@8800", False)


def redrive(log: CraftedLog, *identities: str, dry: bool = False) -> list[Any]:
    """Redrive by the widened contract: those named, else all that wait."""
    with keyspace.session(log.settings, Role.SINK) as session:
        table = LetterTable(session)
        waiting = [each.id for each in table.newest(table="gaps")]
        letters = [letter for name in identities or waiting if (letter := table.find(name))]
        redriver = Redriver(log.settings, session, decoders() | {"gaps": Lenient()})
        return list(redriver.plan(letters) if dry else redriver.redrive(letters))


def states(log: CraftedLog) -> dict[str, str]:
    """{symbol: state} of the crafted gaps."""
    return {row.symbol: row.state for row in log.rows("gaps")}


def test_the_table_is_made_anew_from_the_topic(log: CraftedLog) -> None:
    """Letters that the table lost are filed again by a group that begins; none is doubled."""
    log.produce([Event("instruments", KEY, b"junk %d" % number) for number in range(5)])
    with log.replica.sink():
        wait_until(lambda: len(filed(log)) == 5)
    before = filed(log)
    log.replica.cql("TRUNCATE dead_letters")
    log.read_again()
    with log.replica.sink():
        wait_until(lambda: len(filed(log)) == 5)
        log.wait_applied()  # each is met again, and is a letter again
    assert {row.payload for row in filed(log).values()} == {b"junk %d" % n for n in range(5)}
    assert filed(log).keys() == before.keys()
