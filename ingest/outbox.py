"""Rows of `outbox`: events of the contract, made of what a transaction has really stored. Pure.

A price is told by the transaction that stores it, from the row as PostgreSQL returns it: one that
was there already is not told again, and one that is not stored is not told at all. What is set
aside in quarantine and should have been a price is a dead price. Debezium's outbox router makes a
message of each row: `aggregatetype` is its topic, `aggregateid` its key, `type` a header, `payload`
its value (docs/decisions/0021).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from contracts.events import VERSION, DeadPriceEvent, PriceEvent
from contracts.market import Rejected
from contracts.naming import DEAD_PRICES_TOPIC, PRICES_TOPIC
from ingest.binance.stream_messages import WHOLE_MARKET
from ingest.coincap import messages as coincap
from ingest.coingecko import messages as coingecko
from ingest.source import name_of

Stored = Mapping[str, Any]  # column → value, as `upserts.telling` returns them

PRICE_ENDPOINTS: Final = frozenset(
    {
        *("ticker/price", WHOLE_MARKET, "@miniTicker", coingecko.ENDPOINT, coincap.ENDPOINT),
        *("prices", "coin_markets"),  # rows that PostgreSQL cannot hold
        PRICES_TOPIC,  # rows that it holds and the contract refuses
    }
)
_SAID: Final = ("market_cap", "total_volume", "price_change_percent_24h")

_encode = msgspec.json.Encoder().encode
_check = msgspec.json.Decoder(PriceEvent).decode


class Message(msgspec.Struct, frozen=True):
    """A row of `outbox` without its id."""

    created_at: datetime
    aggregatetype: str
    aggregateid: str
    type: str
    payload: msgspec.Raw


def price_events(stored: Iterable[Stored], at: datetime) -> tuple[list[Message], list[Rejected]]:
    """Messages of the rows that a transaction stored, and what the contract refuses of them.

    A price whose symbol no exchangeInfo has listed yet is passed over: of which coin it is, nobody
    can say.
    """
    messages: list[Message] = []
    refused: list[Rejected] = []
    for row in stored:
        event = _event(row)
        if event is None:
            continue
        payload = _encode(event)
        try:
            _check(payload)
        except msgspec.ValidationError as error:
            refused.append(
                Rejected(source=row["venue"], endpoint=PRICES_TOPIC, reason=str(error), raw=payload)
            )
        else:
            messages.append(_message(PRICES_TOPIC, event, payload, at))
    return messages, refused


def dead_prices(rejected: Sequence[Rejected], at: datetime) -> list[Message]:
    """Messages of what was set aside and should have been prices."""
    messages = []
    for each in rejected:
        if each.endpoint in PRICE_ENDPOINTS:
            event = DeadPriceEvent(
                schema_version=VERSION,
                source=each.source or "unknown",
                endpoint=each.endpoint,
                reason=each.reason or "unknown",
                ts_ingest=_to_us(at),
                raw_base64=each.raw,
            )
            messages.append(_message(DEAD_PRICES_TOPIC, event, _encode(event), at))
    return messages


def _message(
    topic: str, event: PriceEvent | DeadPriceEvent, payload: bytes, at: datetime
) -> Message:
    kind = f"{event.SCHEMA}/{event.schema_version}"
    return Message(at, topic, event.key, kind, msgspec.Raw(payload))


def _event(row: Stored) -> PriceEvent | None:
    coin = _coin(row)
    if coin is None:
        return None
    coin_id, vs_currency = coin
    said: dict[str, Any] = {name: _plain(row[name]) for name in _SAID if row.get(name) is not None}
    said |= {name: row[name] for name in ("name", "market_cap_rank") if row.get(name) is not None}
    return PriceEvent(
        schema_version=VERSION,
        source=row["venue"],
        coin_id=coin_id,
        vs_currency=vs_currency,
        ts_event=_to_ms(row["ts_event"]),
        ts_ingest=_to_us(row["ingested_at"]),
        symbol=row["symbol"],
        price=_plain(row["price"]),
        **said,
    )


def _coin(row: Stored) -> tuple[str, str] | None:
    """(coin, currency) of a row, by the source's own names; None where they are not known yet."""
    if row["coin_id"] is not None:
        return row["coin_id"], row["vs_currency"]
    if name_of(row["venue"]) == "coincap":  # it lists nothing: ids of coins, in dollars
        return row["symbol"], "usd"
    return None


def _plain(amount: Decimal) -> str:
    """An exact decimal without exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _to_ms(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _to_us(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"
