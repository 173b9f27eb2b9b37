"""Aggregate trades. Pure, like `ingest.binance.messages`."""

from __future__ import annotations

import msgspec

from ingest.aggregates import Aggregate
from ingest.binance.messages import Count
from ingest.binance.rows import BadValueError, Parsed, amounts, moment, positive, read_rows

MOST_TRADES = 100_000  # of one taker order at one price; more is no aggregate that we believe
_NOBODYS = -1  # first and last id of a row whose trades the exchange has taken back


class _Aggregate(msgspec.Struct):
    a: Count
    p: str
    q: str
    f: int
    l: int  # noqa: E741 - the exchange's name
    T: int
    m: bool


_aggregate = msgspec.json.Decoder(_Aggregate)


def aggregates(body: bytes, venue: str) -> Parsed[Aggregate]:
    """Aggregate trades as sent, without those that stand for no trade.

    BadAnswer where the body is no list of them.
    """

    def read(raw: msgspec.Raw) -> Aggregate | None:
        row = _aggregate.decode(raw)
        if row.f == row.l == _NOBODYS:
            return None
        if row.f < 0:
            raise BadValueError(f"f is {row.f}: no trade id")
        price, quantity = amounts((row.p, row.q), ("p", "q"))
        if not 0 <= row.l - row.f < MOST_TRADES:
            raise BadValueError(f"trades {row.f} to {row.l} in one aggregate")
        return Aggregate(
            aggregate_id=row.a,
            first_id=row.f,
            last_id=row.l,
            traded_at=moment(row.T, "T"),
            price=positive(price, "p"),
            quantity=positive(quantity, "q"),
            is_buyer_maker=row.m,
        )

    return read_rows(body, source=venue, endpoint="aggTrades", read=read)
