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

_MEMO_ENTRIES = 10_000
_MAX_TEXT = 7_000_000
_MAX_QUICK_DIGITS = 38
_MAX_DIGITS = 2000  # PostgreSQL's numeric can hold 147,455; a price has 38

_length = Struct(">i").pack
_int = Struct(">ii").pack
_bigint = Struct(">iq").pack
_decimal = Struct(">ii").pack

# Length and scale of the decimals that PostgreSQL's numeric(38,18) can hold, by scale, then size.
_DECIMAL_HEADS = tuple(
    tuple(_decimal(4 + size, scale) for size in range(18)) for scale in range(39)
)

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
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise Unrepresentable("a text with half a character (a lone surrogate)") from error
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
    whole, _, fraction = value.partition(".")
    fraction = fraction.rstrip("0")
    digits = whole + fraction
    if not (digits.isdecimal() and digits.isascii() and whole):
        return _pack_unusual_decimal(value)
    if len(digits) > _MAX_QUICK_DIGITS:
        return _framed_decimal(digits, len(fraction))
    unscaled = int(digits)
    size = unscaled.bit_length() // 8 + 1
    return _DECIMAL_HEADS[len(fraction)][size] + unscaled.to_bytes(size, "big")


def _framed_decimal(digits: str, scale: int) -> bytes:
    if len(digits) > _MAX_DIGITS:
        raise Unrepresentable(f"a number of {len(digits)} digits; at most {_MAX_DIGITS}")
    unscaled = int(digits)
    size = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    return _decimal(4 + size, scale) + unscaled.to_bytes(size, "big", signed=True)


def _pack_unusual_decimal(value: str) -> bytes:
    """1E-18, 0E-18, +1.50e3: as Java writes very small and very large numbers."""
    match = _DECIMAL.fullmatch(value)
    if match is None:
        raise Unrepresentable(f"{value[:40]!r} is not a finite decimal number")
    sign, whole, fraction, exponent = match.groups()
    digits = (whole + (fraction or "")).lstrip("0")
    scale = len(fraction or "") - int(exponent or 0)
    shorter = digits.rstrip("0")
    dropped = min(len(digits) - len(shorter), max(scale, 0))
    digits = digits[: len(digits) - dropped]
    if not -_MAX_DIGITS < scale < _MAX_DIGITS:
        raise Unrepresentable(f"a number with the exponent {exponent}")
    return _framed_decimal(sign + (digits or "0"), scale - dropped if digits else 0)


def pack_ms(ms: int) -> bytes:
    """A timestamp from ms since the epoch."""
    return pack_bigint(ms)


def pack_timestamp(value: str | None) -> bytes:
    """A timestamp (ms) from an ISO time; finer parts are floored."""
    return NULL if value is None else pack_bigint(micros(value) // 1000)


def pack_micros(value: str | None) -> bytes:
    """A bigint of exact µs from an ISO time."""
    return NULL if value is None else pack_bigint(micros(value))


def time_reader(*, usual: bool = False) -> Callable[[str], int]:
    """Make a reader of ISO times, µs since the epoch, for one column.

    Fast for the one form in which Debezium writes them ("2026-11-20T21:40:21.123456Z"), of which
    only the second is parsed, once; fastest where the last time comes again, as in a transaction.
    With `usual` any other form is a ValueError.
    """
    seconds: Memo[str, int] = Memo(lambda second: micros(second + "Z"))
    last_text: str | None = None
    last_us = 0

    def read(text: str) -> int:
        nonlocal last_text, last_us
        if text == last_text:
            return last_us
        fraction = text[20:26]
        if text[26:] == "Z" and text[19] == "." and fraction.isdecimal():
            us = seconds[text[:19]] + int(fraction)
        elif usual:
            raise ValueError("a time in another form")
        else:
            us = micros(text)
        last_text, last_us = text, us
        return us

    return read


class TimePacker:
    """ISO times to timestamps (`per_unit` 1000) or µs (1)."""

    def __init__(self, per_unit: int) -> None:
        self._per_unit = per_unit
        self._read = time_reader()

    def __call__(self, value: str | None) -> bytes:
        return NULL if value is None else pack_bigint(self._read(value) // self._per_unit)


# How much of "2026-11-20T21:40:21.5Z" names the bucket
PREFIX = {
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
        self._prefix = PREFIX[bucket]
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
        self._packers = {bucket: BucketPacker(bucket) for bucket in PREFIX}

    def __call__(self, value: str | None, interval: str) -> bytes:
        return self._packers[bucket_of_interval(interval)](value)
