"""One dead letter: what it says of its event, as headers of a message and as a row. Pure.

Key and value of the message are those of the event, byte for byte; headers say the rest. An event
that is met again after a restart makes the same letter again: `id` tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cdc.errors import Poison

Message = Any  # confluent_kafka.Message, or what speaks like it
Headers = list[tuple[str, str | bytes | None]]

MAX_REASON = 1000
MAX_KEY_BYTES = 65_536
MAX_MS = 253_402_300_800_000  # the year 10000
UNKNOWN = "unknown"  # cause and table of a message that the sink did not make

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter. `path`: where in the event it is wrong, '' where no one place is.

    `topic`, `partition`, `offset`, `logged_at`: where and when the event stands in the log; `at`
    and `letter_*`: the same of the letter. `write_timestamp`: the event's own, None where it has
    no place in the order. `value_bytes`: size of the event's value, of which `value` is what there
    is at hand: less where it was cut, None where it was not kept here.
    """

    id: str
    cause: str
    path: str
    reason: str
    table: str
    topic: str
    partition: int
    offset: int
    lsn: int | None
    write_timestamp: int | None
    logged_at: datetime
    at: datetime
    letter_partition: int
    letter_offset: int
    key: bytes | None
    value: bytes | None
    value_bytes: int
    redriven_at: datetime | None = None
    redrive_result: str | None = None


def headers(
    event: Message, *, table: str, error: Poison, timestamp: int | None, cut_from: int | None
) -> Headers:
    """What a letter says about its event.

    `timestamp`: its write timestamp, None where it has no place in the order; `cut_from`: the
    value's full size, where it is cut.
    """
    key = event.key()
    topic, partition, offset = _place(event)
    fields: dict[str, object] = {
        "id": f"{topic}-{partition}-{offset}",
        "cause": error.cause,
        "path": error.path,
        "reason": str(error)[:MAX_REASON],
        "table": table,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "logged_ms": event.timestamp()[1],
        "lsn": _or_empty(lsn_of(event.value())),
        "write_timestamp": _or_empty(timestamp),
    }
    if cut_from is not None:
        fields["cut_from_bytes"] = cut_from
    if key is not None and len(key) > MAX_KEY_BYTES:
        fields["key_cut_from_bytes"] = len(key)
    return [(name, str(said).encode(errors="replace")) for name, said in fields.items()]


def letter_of(message: Message) -> Letter:
    """The letter that a message of the dead-letter topic is.

    One that the sink did not make is a letter about itself: it is shown, and cannot be redriven.
    """
    says = {
        name: (text or b"").decode(errors="replace")[:MAX_REASON]
        for name, text in (message.headers() or ())
    }
    topic, partition, offset = _event_of(says) or _place(message)
    at_ms, value = message.timestamp()[1], message.value()
    logged_ms, cut_from = _number(says.get("logged_ms")), _number(says.get("cut_from_bytes"))
    return Letter(
        id=f"{topic}-{partition}-{offset}",
        cause=says.get("cause") or UNKNOWN,
        path=says.get("path", ""),
        reason=says.get("reason", ""),
        table=says.get("table") or UNKNOWN,
        topic=topic,
        partition=partition,
        offset=offset,
        lsn=_number(says.get("lsn")),
        write_timestamp=_number(says.get("write_timestamp")),
        logged_at=_moment(logged_ms or at_ms),
        at=_moment(at_ms),
        letter_partition=message.partition(),
        letter_offset=message.offset(),
        key=message.key(),
        value=value,
        value_bytes=len(value or b"") if cut_from is None else cut_from,
    )


def _place(message: Message) -> tuple[str, int, int]:
    return message.topic(), message.partition(), message.offset()


def _event_of(says: dict[str, str]) -> tuple[str, int, int] | None:
    """(topic, partition, offset) of the event that the headers name."""
    partition, offset = _number(says.get("partition")), _number(says.get("offset"))
    if partition is None or offset is None or not 0 <= partition < 2**31:
        return None
    topic = says.get("topic", "")
    return (topic, partition, offset) if says.get("id") == f"{topic}-{partition}-{offset}" else None


def _moment(ms: int) -> datetime:
    """The moment, 1970 where the number is none that a calendar has."""
    return _EPOCH + timedelta(milliseconds=ms if 0 <= ms < MAX_MS else 0)


def _or_empty(number: int | None) -> object:
    return "" if number is None else number


def _number(text: str | None) -> int | None:
    """A whole number that fits 64 bits, None where there is none."""
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


class _Placed(msgspec.Struct):
    lsn: int | None = None


class _Envelope(msgspec.Struct):
    source: _Placed | None = None


def lsn_of(value: bytes | None) -> int | None:
    """The LSN that an event names, if it can be read at all."""
    try:
        envelope = msgspec.json.decode(value or b"", type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if envelope.source is None else envelope.source.lsn
