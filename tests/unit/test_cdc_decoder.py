"""Events from bytes to types: what is sound passes, what is not is named, nothing is nulled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc.errors import Undecodable
from cdc.sink.decoder import decoders

PRICES = decoders()["prices"]
ROW: dict[str, Any] = {
    "venue": "simulator",
    "symbol": "BTCUSDT",
    "observed_at": "2026-11-20T22:07:10.123000Z",
    "price": "64123.450000000000000000",
    "ingested_at": "2026-11-20T22:07:10.485118Z",
}
EVENT: dict[str, Any] = {
    "before": None,
    "after": ROW,
    "source": {
        "version": "3.7.0.Final",
        "snapshot": "false",
        "sequence": '["69924000","69932496"]',
        "ts_us": 1,
        "table": "prices",
        "txId": 1348,
        "lsn": 69932496,
        "xmin": None,
    },
    "transaction": None,
    "op": "c",
    "ts_us": 2,
}


def event(**changes: Any) -> bytes:
    """EVENT as bytes, with top-level fields replaced."""
    return json.dumps({**EVENT, **changes}).encode()


def row(**changes: Any) -> dict[str, Any]:
    """ROW with columns replaced."""
    return {**ROW, **changes}


def test_a_change_keeps_its_values_as_the_log_has_them() -> None:
    """Decimals and times stay text: nothing is rounded on the way."""
    change = PRICES.decode(event())
    assert change.op == "c"
    assert change.row.price == "64123.450000000000000000"
    assert (change.source.lsn, change.source.tx_id, change.ts_us) == (69932496, 1348, 2)
    assert change.source.streamed
    assert not change.source.initial


def test_an_added_column_is_ignored_until_it_is_declared() -> None:
    """ADD COLUMN in PostgreSQL stops nothing."""
    assert PRICES.decode(event(after=row(spread="1"))).row.price == ROW["price"]


def test_null_outside_the_key_is_null() -> None:
    """A value may be null, a key may not."""
    assert PRICES.decode(event(after=row(price=None))).row.price is None
    with pytest.raises(Undecodable, match="symbol"):
        PRICES.decode(event(after=row(symbol=None)))


def test_a_column_that_is_gone_is_never_nulled_silently() -> None:
    """DROP and RENAME COLUMN: the event names the column that it lacks."""
    gone = {name: value for name, value in ROW.items() if name != "price"}
    with pytest.raises(Undecodable, match=r"price.*\$\.after"):
        PRICES.decode(event(after=gone))


def test_a_delete_reads_the_key_alone() -> None:
    """Its other columns are zeros that mean nothing."""
    change = PRICES.decode(event(op="d", before=row(price=17), after=None))
    assert change.row.symbol == "BTCUSDT"
    assert not hasattr(change.row, "price")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'{"op":',
        b"\xff\xfe",
        event()[:-20],
        event(op="x"),
        event(op=None),
        event(after=None),
        event(op="d", before=None),
        event(after=row(price=12.5)),
        event(after=row(observed_at=1)),
        event(source=None),
        event(source={"table": "prices"}),
        event(ts_us="soon"),
    ],
)
def test_what_is_no_change_event_is_undecodable(raw: bytes) -> None:
    """Cut, of a wrong type, of an unknown operation, without its row: said with the table."""
    with pytest.raises(Undecodable, match=r"^prices: "):
        PRICES.decode(raw)


def test_no_message_repeats_a_value() -> None:
    """Errors go to logs: they name paths, never what stood there."""
    with pytest.raises(Undecodable) as caught:
        PRICES.decode(event(after=row(price={"secret": "hunter2"})))
    assert "hunter2" not in str(caught.value)


def test_a_truncate_has_no_row() -> None:
    """It is decoded, so that the table can halt for it."""
    assert PRICES.decode(event(op="t", after=None)).op == "t"
