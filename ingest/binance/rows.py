"""From JSON to checked values: one bad row is set aside with its bytes, the others stay.

Rules for every number and time on the wire:
- an amount is a JSON string of plain decimal digits, at most 20 before and 18 after the point, so
  that NUMERIC(38,18) holds it exactly. JSON numbers, NaN, Infinity and exponents are refused: the
  exchange does not document them, so they mean that something between us is broken;
- a time is in milliseconds between 2009 and 2100. Microseconds are a thousand times larger and
  never pass for milliseconds; where a source has both, they are told apart by that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Generic, TypeVar

import msgspec

from contracts.market import Rejected
from ingest.errors import BadAnswer

Row = TypeVar("Row")
Whole = TypeVar("Whole")

RAW_LIMIT_BYTES = 64 * 1024
_EARLIEST_MS = 1_230_768_000_000  # 2009-01-01
_LATEST_MS = 4_102_444_800_000  # 2100-01-01

_AMOUNT = r"[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+"
_UNSIGNED = re.compile(rf"{_AMOUNT}(?:,{_AMOUNT})*+")  # many at once: one match, no backtracking
_SIGNED = re.compile(rf"-?{_AMOUNT}(?:,-?{_AMOUNT})*+")

_ROWS = msgspec.json.Decoder(list[msgspec.Raw])

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that decoding hostile bytes can raise; the last by nesting without end."""


class BadValueError(ValueError):
    """A value that breaks a rule; its text is the reason in quarantine."""


class Parsed(msgspec.Struct, Generic[Row], frozen=True):
    """The good rows of an answer in its order, and the bad ones."""

    rows: list[Row]
    rejected: list[Rejected]


def read_rows(
    body: bytes, *, source: str, endpoint: str, read: Callable[[msgspec.Raw], Row | None]
) -> Parsed[Row]:
    """Read a JSON array row by row; BadAnswer where the body is no JSON array at all.

    A row of which `read` makes None stands for nothing.
    """
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for raw in decode_whole(_ROWS, body, source=source, endpoint=endpoint):
        try:
            row = read(raw)
            if row is not None:
                rows.append(row)
        except (*UNREADABLE, BadValueError) as error:
            rejected.append(reject(source, endpoint, str(error), raw))
    return Parsed(rows, rejected)


def decode_whole(
    decoder: msgspec.json.Decoder[Whole], body: bytes, *, source: str, endpoint: str
) -> Whole:
    """Decode a whole body; BadAnswer with the body as evidence where that is impossible."""
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        reason = _what_it_is(body) or f"not the expected JSON ({error})"
        raise BadAnswer(endpoint, reason, reject(source, endpoint, reason, body)) from error


def reject(source: str, endpoint: str, reason: str, raw: bytes | msgspec.Raw) -> Rejected:
    """A quarantine record; more than 64 KiB of bytes are cut."""
    kept = bytes(memoryview(raw)[:RAW_LIMIT_BYTES])
    return Rejected(source=source, endpoint=endpoint, reason=reason, raw=kept)


def _what_it_is(body: bytes) -> str | None:
    start = body[:256].lstrip().lower()
    if not start:
        return "an empty body"
    if start.startswith(b"<"):
        return "HTML where JSON is due (maintenance or a firewall)"
    return None


def amounts(texts: Sequence[str], names: Sequence[str]) -> list[Decimal]:
    """Exact non-negative amounts; `names` say which one is wrong."""
    return _amounts(_UNSIGNED, texts, names)


def signed_amounts(texts: Sequence[str], names: Sequence[str]) -> list[Decimal]:
    """Exact amounts of either sign."""
    return _amounts(_SIGNED, texts, names)


def plain_amounts(texts: Iterable[str]) -> bool:
    """Whether each text is a non-negative amount; one that holds a comma may pass for two."""
    return _UNSIGNED.fullmatch(",".join(texts)) is not None


def _amounts(rule: re.Pattern[str], texts: Sequence[str], names: Sequence[str]) -> list[Decimal]:
    if rule.fullmatch(",".join(texts)):
        try:
            return list(map(Decimal, texts))
        except InvalidOperation:  # a text that holds the comma we joined with
            pass
    raise _blamed(rule, texts, names)


def _blamed(rule: re.Pattern[str], texts: Sequence[str], names: Sequence[str]) -> BadValueError:
    for text, name in zip(texts, names, strict=True):
        if "," in text or not rule.fullmatch(text):
            return BadValueError(f"{name} is {text[:60]!r}: not a plain decimal of NUMERIC(38,18)")
    return BadValueError("no amount where one is due")


def moment(ms: int, name: str) -> datetime:
    """Milliseconds since the epoch as an aware datetime, exact to the millisecond."""
    if not _EARLIEST_MS <= ms < _LATEST_MS:
        hint = " (microseconds?)" if _EARLIEST_MS <= ms // 1000 < _LATEST_MS else ""
        raise BadValueError(f"{name} is {ms}: not milliseconds between 2009 and 2100{hint}")
    return datetime.fromtimestamp(ms / 1000, UTC)


def in_range(times: Sequence[int]) -> bool:
    """Whether `moment` takes each of some times."""
    return min(times) >= _EARLIEST_MS and max(times) < _LATEST_MS


def microseconds(time: int, name: str) -> int:
    """Microseconds since the epoch of a time in milliseconds or microseconds."""
    if _EARLIEST_MS <= time < _LATEST_MS:
        return time * 1000
    if _EARLIEST_MS <= time // 1000 < _LATEST_MS:
        return time
    raise BadValueError(f"{name} is {time}: neither ms nor µs between 2009 and 2100")


def positive(value: Decimal, name: str) -> Decimal:
    """The value itself where it is above zero."""
    if value <= 0:
        raise BadValueError(f"{name} is {value}: not above zero")
    return value
