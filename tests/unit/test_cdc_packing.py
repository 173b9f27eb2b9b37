"""Values packed by hand equal the driver's own serialisation, and what cannot be is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from cassandra.cqltypes import BooleanType, DateType, DecimalType, Int32Type, LongType, UTF8Type
from hypothesis import example, given
from hypothesis import strategies as st

from cdc.errors import Undecodable, Unrepresentable
from cdc.mapping import Bucket
from cdc.sink import packing
from cdc.sink.packing import BucketPacker, IntervalBucketPacker, Memo, TimePacker
from cdc.times import bucket_start, micros

PROTOCOL = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def body(framed: bytes) -> bytes:
    """The value inside its frame; the frame's length is right."""
    assert int.from_bytes(framed[:4], "big") == len(framed) - 4
    return framed[4:]


@given(st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal("0E-18"))
@example(Decimal("-0.0"))
@example(Decimal("1E-18"))
@example(Decimal("1E+400"))
@example(Decimal(-128))
@example(Decimal("99999999999999999999.999999999999999999"))
def test_a_decimal_comes_back_as_the_same_number(number: Decimal) -> None:
    """Read by the driver it is equal, in the shortest form the driver itself would write."""
    framed = packing.pack_decimal(str(number))
    back = DecimalType.deserialize(body(framed), PROTOCOL)
    assert back == number
    assert DecimalType.serialize(back, PROTOCOL) == body(framed)


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 18))
def test_a_numeric_of_38_digits_is_exact(unscaled: int, scale: int) -> None:
    """As Debezium writes NUMERIC(38,18): all digits of the scale."""
    number = Decimal(unscaled).scaleb(-scale)
    text = f"{number:f}"
    assert DecimalType.deserialize(body(packing.pack_decimal(text)), PROTOCOL) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    ["NAN", "infinity", "-infinity", "", ".", "-", "1_000", " 1", "1 ", "٣", "1e", "0x1", "1,5",
     "--1", "1.-5", "1.2.3", "1E+99999999", "9" * 3000],
)  # fmt: skip
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    """PostgreSQL's NaN and infinities, and everything that int() would be too kind to."""
    with pytest.raises(Unrepresentable):
        packing.pack_decimal(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_utf8(text: str) -> None:
    """Any text that JSON can hold."""
    assert body(packing.pack_text(text)) == UTF8Type.serialize(text, PROTOCOL)


def test_half_a_character_is_refused() -> None:
    """A lone surrogate, which JSON can escape and UTF-8 cannot hold."""
    with pytest.raises(Unrepresentable):
        packing.pack_text("\ud800")


@given(st.integers(-(2**63), 2**63 - 1))
def test_bigint_has_eight_bytes(number: int) -> None:
    """All of 64 bits."""
    assert body(packing.pack_bigint(number)) == LongType.serialize(number, PROTOCOL)


@given(st.integers(-(2**31), 2**31 - 1))
def test_int_has_four_bytes(number: int) -> None:
    """All of 32 bits."""
    assert body(packing.pack_int(number)) == Int32Type.serialize(number, PROTOCOL)


def test_numbers_beyond_their_type_are_refused() -> None:
    """Never cut off silently."""
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(Unrepresentable):
            packing.pack_bigint(number)
    for number in (2**31, -(2**31) - 1):
        with pytest.raises(Unrepresentable):
            packing.pack_int(number)


@pytest.mark.parametrize("value", [True, False])
def test_boolean_has_one_byte(value: bool) -> None:
    """As the driver writes it."""
    assert body(packing.pack_boolean(value)) == BooleanType.serialize(value, PROTOCOL)


def test_null_is_null_for_every_packer() -> None:
    """Length −1: a null, not an empty value and not unset."""
    for pack in (
        packing.pack_text,
        packing.pack_int,
        packing.pack_bigint,
        packing.pack_boolean,
        packing.pack_decimal,
        TimePacker(1000),
    ):
        assert pack(None) == packing.NULL


@given(
    st.datetimes(
        min_value=datetime(1900, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - likewise
    )
)
def test_timestamps_floor_to_ms_and_keep_micros_beside(moment: datetime) -> None:
    """The fast path for Debezium's form and the general one agree, before 1970 too."""
    utc = moment.replace(tzinfo=UTC)
    us = (utc - EPOCH) // timedelta(microseconds=1)
    fast, general = f"{moment.isoformat(timespec='microseconds')}Z", utc.isoformat()
    for text in (fast, general):
        assert body(TimePacker(1)(text)) == us.to_bytes(8, "big", signed=True)
        stored = DateType.deserialize(body(TimePacker(1000)(text)), PROTOCOL)
        assert stored.replace(tzinfo=UTC) == EPOCH + timedelta(milliseconds=us // 1000)


@pytest.mark.parametrize("text", ["", "Z", "none yet", "2026-11-20T21:40:21.12345xZ"])
def test_no_time_is_refused_also_as_the_first(text: str) -> None:
    """A reader remembers the last time: at its beginning there is none."""
    for usual, refusal in ((False, Undecodable), (True, ValueError)):
        read = packing.time_reader(usual=usual)
        with pytest.raises(refusal):
            read(text)
        assert read("1970-01-01T00:00:01.000002Z") == 1_000_002
        with pytest.raises(refusal):
            read(text)


@given(
    st.lists(
        st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - bounds
        min_size=1,
    ),
    st.sampled_from([each for each in Bucket if each is not Bucket.BY_INTERVAL]),
    st.sampled_from(["Z", "+02:00", "-11:30"]),
)
def test_a_remembered_bucket_is_the_right_one(
    moments: list[datetime], bucket: Bucket, offset: str
) -> None:
    """One packer sees many times, of which prefixes are alike although offsets differ."""
    pack = BucketPacker(bucket)
    for moment in moments:
        for text in (f"{moment.isoformat()}Z", f"{moment.isoformat()}{offset}"):
            expected = bucket_start(bucket, micros(text) // 1000)
            assert body(pack(text)) == expected.to_bytes(8, "big", signed=True)


def test_extended_years_do_not_share_a_bucket() -> None:
    """'infinity' has a prefix that looks like a year of four digits."""
    pack = BucketPacker(Bucket.YEAR)
    near, far = pack("2922-08-17T07:12:55.807Z"), pack("+292278994-08-17T07:12:55.807Z")
    assert near != far


def test_a_candle_falls_into_its_intervals_bucket() -> None:
    """A month for 1m, ten years for 1d."""
    pack = IntervalBucketPacker()
    assert body(pack("2026-11-20T00:00:00Z", "1m")) == (1_793_491_200_000).to_bytes(8, "big")
    assert body(pack("2026-11-20T00:00:00Z", "1d")) == (1_577_836_800_000).to_bytes(8, "big")
    with pytest.raises(Undecodable):
        pack("2026-11-20T00:00:00Z", "7m")


def test_a_memo_never_outgrows_its_bound() -> None:
    """It forgets, and answers as before."""
    memo: Memo[str, bytes] = Memo(packing.pack_text, entries=10)
    for number in range(1000):
        assert memo[str(number)] == packing.pack_text(str(number))
        assert len(memo) <= 10
