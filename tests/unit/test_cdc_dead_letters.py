"""A dead letter as headers and back, letters that nobody of us wrote, and the command to type."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cdc.dead_letters.letter import Letter, headers, letter_of, lsn_of
from cdc.dead_letters.remedy import touch_remedy
from cdc.errors import Undecodable

LOGGED_MS = 1_795_212_430_555
TOPIC = "market.g4.public.trades"


@dataclass(frozen=True)
class Message:
    """What a Kafka message answers."""

    name: str = TOPIC
    place: tuple[int, int] = (3, 17)
    body: bytes | None = b'{"source": {"lsn": 8000}, "op": 7}'
    key_: bytes | None = b'{"venue": "v"}'
    ms: int = LOGGED_MS
    said: list[tuple[str, Any]] | None = None

    def topic(self) -> str:
        return self.name

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.body

    def timestamp(self) -> tuple[int, int]:
        return (1, self.ms)

    def headers(self) -> list[tuple[str, Any]] | None:
        return self.said


EVENT = Message()


def letter_about(event: Message, *, timestamp: int | None = 99, cut: int | None = None) -> Message:
    """The message that the sink would make of an event."""
    error = Undecodable("trades: Expected `str`, got `int`", "$.op")
    said = headers(event, table="trades", error=error, timestamp=timestamp, cut_from=cut)
    return replace(event, name="tidemark.dead-letters", place=(0, 5), ms=LOGGED_MS + 1, said=said)


def test_a_letter_says_all_of_its_event() -> None:
    """Cause, path, place, times, LSN, bytes."""
    found = letter_of(letter_about(EVENT))
    assert found == Letter(
        id=f"{TOPIC}-3-17",
        cause="undecodable",
        path="$.op",
        reason="trades: Expected `str`, got `int`",
        table="trades",
        topic=TOPIC,
        partition=3,
        offset=17,
        lsn=8000,
        write_timestamp=99,
        logged_at=datetime(2026, 11, 20, 22, 7, 10, 555_000, tzinfo=UTC),
        at=datetime(2026, 11, 20, 22, 7, 10, 556_000, tzinfo=UTC),
        letter_partition=0,
        letter_offset=5,
        key=b'{"venue": "v"}',
        value=EVENT.body,
        value_bytes=34,
    )


def test_what_an_event_does_not_say_its_letter_does_not_either() -> None:
    """No position, no LSN, no key; a cut letter knows how large the event was."""
    found = letter_of(letter_about(replace(EVENT, body=b"\xff{", key_=None), timestamp=None, cut=9))
    assert (found.write_timestamp, found.lsn, found.key, found.value_bytes) == (None, None, None, 9)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        [("id", None)],
        [("id", b"\xff"), ("topic", b"t"), ("partition", b"1"), ("offset", b"2")],
        [("id", b"t--1-2"), ("topic", b"t"), ("partition", b"-1"), ("offset", b"2")],
        [
            ("id", b"t-9999999999-2"),
            ("topic", b"t"),
            ("partition", b"9999999999"),
            ("offset", b"2"),
        ],
        [("id", b"t-x-y"), ("topic", b"t"), ("partition", b"x"), ("offset", b"y")],
    ],
)
def test_a_message_that_the_sink_did_not_make_is_a_letter_about_itself(
    said: list[tuple[str, Any]] | None,
) -> None:
    """So that nothing in the topic can hold up what comes behind it."""
    found = letter_of(replace(EVENT, said=said))
    assert found.id == f"{TOPIC}-3-17"
    assert (found.cause, found.table, found.write_timestamp) == ("unknown", "unknown", None)


@pytest.mark.parametrize("ms", [-1, 0, 2**62])
def test_a_time_that_no_calendar_has_is_1970(ms: int) -> None:
    """A producer may say any time."""
    assert letter_of(replace(EVENT, ms=ms, said=None)).at == datetime(1970, 1, 1, tzinfo=UTC)


def test_headers_hold_whatever_a_reason_holds() -> None:
    """Long ones are cut, half a character is replaced: a letter can always be sent."""
    error = Undecodable("\ud800" + "x" * 5000)
    said = dict(headers(EVENT, table="trades", error=error, timestamp=None, cut_from=None))
    reason = said["reason"]
    assert isinstance(reason, bytes)
    assert len(reason) == 1000


@pytest.mark.parametrize(
    ("value", "lsn"),
    [
        (b'{"source": {"lsn": 8}}', 8),
        (b'{"source": {}}', None),
        (b'{"source": null}', None),
        (b'{"source": {"lsn": "8"}}', None),
        (b"[]", None),
        (b"\xff", None),
        (b"", None),
        (None, None),
    ],
)
def test_the_lsn_is_read_where_it_can_be(value: bytes | None, lsn: int | None) -> None:
    """Of anything at all."""
    assert lsn_of(value) == lsn


def remedy(key: bytes | None, table: str = "instruments") -> str:
    letter = replace(letter_of(letter_about(EVENT)), key=key, table=table)
    return touch_remedy(letter)


def test_the_remedy_names_the_row_where_its_key_can_be_read() -> None:
    """As one word of a shell, quotes in values included."""
    plain = remedy(b'{"venue": "v", "symbol": "BTC"}')
    assert plain.endswith("""resync instruments --where "venue = 'v' AND symbol = 'BTC'\"""")
    tricky = remedy(json.dumps({"venue": "it's", "symbol": "$(reboot)"}).encode())
    assert tricky.endswith(
        """--where 'venue = '"'"'it'"'"''"'"'s'"'"' AND symbol = '"'"'$(reboot)'"'"''"""
    )
    numbers = remedy(
        b'{"venue": "v", "symbol": "S", "stream": "trades", "first_missing": 5}', "gaps"
    )
    assert numbers.endswith("AND stream = 'trades' AND first_missing = 5\"")


@pytest.mark.parametrize("key", [None, b"", b"junk", b"{}", b'{"venue": 1}', b'{"a": {"b": 1}}'])
def test_the_remedy_names_the_table_where_the_key_cannot_be_read(key: bytes | None) -> None:
    """A key of other columns is none of that table."""
    assert remedy(key) == "touch the rows it may concern instead: tidemark resync instruments"


def test_what_is_of_no_table_has_no_row_to_touch() -> None:
    """A message that somebody else put into the topic."""
    assert "tidemark resync" not in remedy(b"{}", "unknown")
