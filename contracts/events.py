"""Events that others read: what stands on the topics `crypto.prices.raw` and `crypto.prices.dlq`.

The JSON Schemas beside this module are the contract; these types are the same in Python, and
tests/unit/test_contract_schemas.py pins one to the other. Amounts are strings, for a float holds
none of them exactly; what a source does not say is left out, never null.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

VERSION = "1.1"

Version = Annotated[str, Meta(pattern=r"^1\.[0-9]+$")]
Name = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f|]{1,100}$")]
MsTime = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$")
]
UsTime = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")
]
Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,20}(\.[0-9]{1,18})?$")]
Change = Annotated[str, Meta(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,18})?$")]
AboveZero = Annotated[str, Meta(pattern=r"^(?!0+(\.0+)?$)[0-9]{1,20}(\.[0-9]{1,18})?$")]
Rank = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class PriceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of a coin costs, as a source said so at a time.

    The key is (coin_id, vs_currency, ts_event). `coin_id` and `vs_currency` are the source's own
    names: `BTC` and `USDT` of an exchange, `bitcoin` and `usd` of CoinGecko. `symbol` is what the
    source calls the pair or the coin; `ts_ingest` is when PostgreSQL took the row.
    """

    SCHEMA: ClassVar[str] = "event_crypto_price"

    schema_version: Version
    source: Name
    coin_id: Name
    vs_currency: Name
    ts_event: MsTime
    ts_ingest: UsTime
    symbol: Name
    price: AboveZero
    name: Name | UnsetType = UNSET
    market_cap: Amount | UnsetType = UNSET
    market_cap_rank: Rank | UnsetType = UNSET
    total_volume: Amount | UnsetType = UNSET
    price_change_percent_24h: Change | UnsetType = UNSET

    @property
    def key(self) -> str:
        """The event's key, as the key of its message holds it."""
        return f"{self.coin_id}|{self.vs_currency}|{self.ts_event}"


class DeadPriceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What should have been a price and failed validation: why, and its own bytes.

    `endpoint` is what was asked or listened to; `raw_base64` are the bytes as the source sent them,
    or, where they were readable and could not be stored or published, the row as JSON; at most
    64 KiB of either.
    """

    SCHEMA: ClassVar[str] = "event_crypto_price_dead"

    schema_version: Version
    source: Name
    endpoint: Name
    reason: Reason
    ts_ingest: UsTime
    raw_base64: bytes

    @property
    def key(self) -> str:
        """Dead prices of one source stay in their order."""
        return self.source
