"""Values as Cassandra's native protocol writes them: [length int32][bytes], straight from JSON.

A packer takes what stands in the event (str, int, bool, None) and returns the framed value. Values
that repeat (symbols, prices, the moment of a poll) come from bounded memos: a hit costs one
dictionary look-up in C. Source: native_protocol_v5.spec, sections 3 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import TypeVar

from cdc.errors import Undecodable, Unrepresentable
from cdc.mapping import Bucket
from cdc.times import bucket_of_interval, bucket_start, micros

Packer = Callable[..., bytes]

NULL = b"\xff\xff\xff\xff"
UNSET = b"\xff\xff\xff\xfe"
TRUE = b"\x00\x00\x00\x01\x01"
FALSE = b"\x00\x00\x00\x01\x00"

_MEMO_ENTRIES = 100_000
_MAX_TEXT = 7_000_000
_MAX_DIGITS = 2000  # PostgreSQL's numeric can hold 147,455; a price has 38

_length = Struct(">i").pack
_int = Struct(">ii").pack
_bigint = Struct(">iq").pack
_decimal = Struct(">ii").pack

_DECIMAL = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?", re.ASCII)

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """A bounded memo of a pure function: forgets all when full, so it never outgrows its bound."""

    def __init__(self, function: Callable[[K], V], entries: int = _MEMO_ENTRIES) -> None:
        super().__init__()
        self._function = function
        self._entries = entries

    def __missing__(self, key: K) -> V:
        value = self._function(key)
        if len(self) >= self._entries:
            self.clear()
        self[key] = value
        return value


def framed(value: bytes) -> bytes:
    return _length(len(value)) + value


def pack_text(value: str | None) -> bytes:
    if value is None:
        return NULL
    encoded = value.encode()
    if len(encoded) > _MAX_TEXT:
        raise Unrepresentable(f"a text of {len(encoded)} bytes; at most {_MAX_TEXT} are written")
    return _length(len(encoded)) + encoded


def pack_bigint(value: int | None) -> bytes:
    if value is None:
        return NULL
    if not -(2**63) <= value < 2**63:
        raise Unrepresentable("a whole number beyond 64 bits")
    return _bigint(8, value)


def pack_timestamp_value(timestamp: int) -> bytes:
    """The bound value of `USING TIMESTAMP ?`."""
    return _bigint(8, timestamp)


def pack_int(value: int | None) -> bytes:
    if value is None:
        return NULL
    if not -(2**31) <= value < 2**31:
        raise Unrepresentable("a whole number beyond 32 bits")
    return _int(4, value)


def pack_boolean(value: bool | None) -> bytes:
    if value is None:
        return NULL
    return TRUE if value else FALSE


def pack_decimal(value: str | None) -> bytes:
    """Scale (int32) and two's complement of the unscaled value; zeros at the end are dropped.

    The number is exact; NaN and infinity ('NAN', 'infinity') are Unrepresentable.
    """
    if value is None:
        return NULL
    match = _DECIMAL.fullmatch(value)
    if match is None:
        raise Unrepresentable(f"{value[:40]!r} is not a finite decimal number")
    sign, whole, fraction, exponent = match.groups()
    fraction = (fraction or "").rstrip("0") if exponent is None else fraction or ""
    digits = whole + fraction
    if len(digits) > _MAX_DIGITS:
        raise Unrepresentable(f"a number of {len(digits)} digits; at most {_MAX_DIGITS}")
    unscaled, scale = int(sign + digits), len(fraction) - int(exponent or 0)
    if exponent is not None:
        unscaled, scale = _shortened(unscaled, scale)
    size = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    return _decimal(4 + size, scale) + unscaled.to_bytes(size, "big", signed=True)


def _shortened(unscaled: int, scale: int) -> tuple[int, int]:
    """The same number without zeros at the end of its fraction: 1E-18 stays, 0E-18 is 0."""
    if unscaled == 0:
        return 0, 0
    while scale > 0 and unscaled % 10 == 0:
        unscaled //= 10
        scale -= 1
    return unscaled, scale


def pack_ms(ms: int) -> bytes:
    """A timestamp from ms since the epoch."""
    return pack_bigint(ms)


def pack_timestamp(value: str | None) -> bytes:
    """A timestamp (ms) from an ISO time; finer parts are floored."""
    return NULL if value is None else pack_bigint(micros(value) // 1000)


def pack_micros(value: str | None) -> bytes:
    """A bigint of exact µs from an ISO time."""
    return NULL if value is None else pack_bigint(micros(value))


class TimePacker:
    """ISO times to timestamps (`per_unit` 1000) or µs (1), fast for times of the same second."""

    def __init__(self, per_unit: int) -> None:
        self._per_unit = per_unit
        self._seconds: dict[str, int] = {}

    def __call__(self, value: str | None) -> bytes:
        if value is None:
            return NULL
        if value[4:5] == "-" and value[19:20] == "." and value[-1] == "Z":
            second = value[:19]
            base = self._seconds.get(second)
            fraction = value[20:-1]
            if base is not None and len(fraction) <= 6 and fraction.isdecimal():
                us = base + int(fraction.ljust(6, "0"))
                return _bigint(8, us // self._per_unit)
            self._remember(second)
        return pack_bigint(micros(value) // self._per_unit)

    def _remember(self, second: str) -> None:
        if len(self._seconds) > 10_000:
            self._seconds.clear()
        self._seconds[second] = micros(second + "Z")


# How much of "2026-11-20T21:40:21.5Z" names the bucket
_PREFIX = {
    Bucket.HOUR: slice(0, 13),
    Bucket.DAY: slice(0, 10),
    Bucket.MONTH: slice(0, 7),
    Bucket.YEAR: slice(0, 4),
    Bucket.DECADE: slice(0, 3),
}


class BucketPacker:
    """ISO times to the timestamp that starts their bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._prefix = _PREFIX[bucket]
        self._starts: dict[str, bytes] = {}

    def __call__(self, value: str | None) -> bytes:
        if value is None:
            raise Undecodable("a key's time is null")
        plain = value[4:5] == "-" and value[-1] == "Z"  # four-digit year, UTC
        if plain:
            known = self._starts.get(value[self._prefix])
            if known is not None:
                return known
        packed = pack_ms(bucket_start(self._bucket, micros(value) // 1000))
        if plain:
            if len(self._starts) > 10_000:
                self._starts.clear()
            self._starts[value[self._prefix]] = packed
        return packed


class IntervalBucketPacker:
    """(ISO time, candle interval) to the timestamp that starts the bucket of that interval."""

    def __init__(self) -> None:
        self._packers = {bucket: BucketPacker(bucket) for bucket in _PREFIX}

    def __call__(self, value: str | None, interval: str) -> bytes:
        return self._packers[bucket_of_interval(interval)](value)
