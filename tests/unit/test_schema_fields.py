"""Events from before a declared change of the schema are read as rows of today."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from cdc.errors import Undecodable
from cdc.mapping import Above, Bucket, Field, Kind, Source, bucket_column, columns_of, route
from cdc.sink import packing
from cdc.sink.decoder import Decoder
from cdc.sink.encoder import RouteEncoder

MOMENT = "2026-11-20T22:07:10.123000Z"
KEY = (Field("symbol", Kind.TEXT), Field("at", Kind.TIMESTAMP, whole_ms=True))


def source(*fields: Field, key: tuple[Field, ...] = KEY) -> Source:
    """A table with the usual key and these other fields."""
    return Source("quotes", key=tuple(each.name for each in key), fields=(*key, *fields))


def decode(fields: Source, op: str = "c", **row: Any) -> Any:
    """The row of an event that holds these columns beside its key."""
    side = "before" if op == "d" else "after"
    whole = {"symbol": "S", "at": MOMENT} | row
    origin = {"table": "quotes", "ts_us": 1, "lsn": 8, "txId": 1}
    event = {"op": op, side: whole, "source": origin, "ts_us": 2}
    return Decoder(fields).decode(json.dumps(event).encode()).row


ADDED = source(Field("price", Kind.DECIMAL), Field("spread", Kind.DECIMAL, added=True))
RENAMED = source(Field("cost", Kind.DECIMAL, column="price", renamed_from=("price", "fee")))
RETYPED = source(Field("rank", Kind.DECIMAL, column="exact_rank", retyped_from=Kind.INT))


def test_an_event_from_before_a_column_was_added_lacks_it() -> None:
    """It is not null: null would be written over what a touch brought."""
    row = decode(ADDED, price="1")
    assert row.lacks
    encoder = RouteEncoder(route(ADDED, "quotes", ("symbol",), ("at",)), "placeholder")
    assert encoder.pack(row).rest == packing.pack_decimal("1") + packing.UNSET
    assert encoder.pack(row).partial
    whole = decode(ADDED, price="1", spread=None)
    assert not whole.lacks
    assert encoder.pack(whole).rest == packing.pack_decimal("1") + packing.NULL


def test_a_column_that_was_not_added_later_is_never_lacking() -> None:
    """Dropped or renamed: the message names it."""
    with pytest.raises(Undecodable, match="price"):
        decode(ADDED, spread="1")
    with pytest.raises(Undecodable, match="spread"):
        decode(ADDED, price="1", spread=17)


@pytest.mark.parametrize("name", ["cost", "price", "fee"])
def test_a_renamed_column_is_read_under_each_of_its_names(name: str) -> None:
    """Its target column keeps the name that its rows have."""
    row = decode(RENAMED, **{name: "2.5"})
    assert (row.cost, row.lacks) == ("2.5", False)
    assert [each.name for each in columns_of(RENAMED)] == ["symbol", "at", "price"]


def test_a_row_without_any_of_its_names_is_undecodable() -> None:
    """The newest name wins where there are two, and a null is a value."""
    with pytest.raises(Undecodable, match="cost"):
        decode(RENAMED)
    assert decode(RENAMED, cost=None).cost is None
    assert decode(RENAMED, cost="1", price="2").cost == "1"


def test_a_renamed_key_is_read_under_its_old_name_in_deletes_too() -> None:
    """Else a delete from before would be lost."""
    key = (Field("ticker", Kind.TEXT, column="symbol", renamed_from=("symbol",)), KEY[1])
    renamed = source(Field("price", Kind.DECIMAL), key=key)
    assert decode(renamed, op="d").ticker == "S"
    assert decode(renamed, price="1").ticker == "S"


def test_a_value_of_the_type_before_is_left_out() -> None:
    """The new column gets it by a touch; a value of a third type is no event of this table."""
    old, new = decode(RETYPED, rank=7), decode(RETYPED, rank="7.5")
    assert (old.lacks, new.lacks, new.rank) == (True, False, "7.5")
    assert decode(RETYPED, rank=None).rank is None
    for value in (True, 7.5, {"secret": "hunter2"}):
        with pytest.raises(Undecodable) as caught:
            decode(RETYPED, rank=value)
        assert caught.value.path == "$.after.rank"
        assert "hunter2" not in str(caught.value)


def test_a_time_under_another_name_keeps_its_micros_beside_it() -> None:
    """Both target columns follow the field's target name."""
    times = source(Field("seen_at", Kind.TIMESTAMP, column="as_of", renamed_from=("as_of",)))
    assert [each.name for each in columns_of(times)] == ["symbol", "at", "as_of", "as_of_us"]


def test_what_every_event_must_have_cannot_be_declared_as_lacking() -> None:
    """Keys, what a route decides by, and names that would be ambiguous."""
    with pytest.raises(ValueError, match="key"):
        source(key=(Field("symbol", Kind.TEXT, added=True),))
    with pytest.raises(ValueError, match="another field"):
        source(Field("a", Kind.TEXT), Field("b", Kind.TEXT, renamed_from=("a",)))
    with pytest.raises(ValueError, match="spread"):
        route(
            ADDED,
            "wide",
            ("symbol", "day"),
            ("at",),
            bucket=bucket_column("day", "at", Bucket.DAY),
            condition=Above("spread", Decimal(1)),
        )
