"""Conservation: the trades of a minute make its candle, or something of either is wrong. Pure.

A candle of one minute holds the trades whose time lies in it, in the order of their ids. What must
be equal: their number, open, high, low, close, base and quote volume, and both of taker's buys. All
sums are exact; `ingest.ledger_queries` adds up the same in SQL.

**The rounding rule.** Amounts of the exchange have eight decimals. Where price × quantity has more,
it cuts the rest off (price 0.003127 × quantity 4.708 = 0.014721916 is told as 0.01472191). So a
candle's quote volume must be the sum of price × quantity of its trades, less by under 10⁻⁸ for each
trade whose product is finer than eight decimals: exactly equal where none is, as for every pair
whose tick and lot have at most eight decimals together. The same holds for the quote quantity that
is stored with a trade: it is the product, or the product cut off at eight decimals.

Of a minute without trades only that is compared: its candle is flat at a price of before.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal

import msgspec

from contracts.market import Kline, Trade

NONE = -1  # the id where there is no trade
_EXACT = Context(prec=200)
_NOTHING = Decimal(0)
_STEP = Decimal("1e-8")


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What the trades of a minute make; without any, prices are 0 and ids NONE.

    `finer`, `taker_buy_finer`: how many products of price and quantity need more than eight
    decimals; `odd`: trades whose quote quantity is not their product.
    """

    trade_count: int = 0
    first_trade_id: int = NONE
    last_trade_id: int = NONE
    open: Decimal = _NOTHING
    high: Decimal = _NOTHING
    low: Decimal = _NOTHING
    close: Decimal = _NOTHING
    volume: Decimal = _NOTHING
    quote_volume: Decimal = _NOTHING
    taker_buy_volume: Decimal = _NOTHING
    taker_buy_quote_volume: Decimal = _NOTHING
    finer: int = 0
    taker_buy_finer: int = 0
    odd: int = 0


def product(trade: Trade) -> Decimal:
    """Price × quantity, exact."""
    return _EXACT.multiply(trade.price, trade.quantity)


def is_finer(amount: Decimal) -> bool:
    """Whether an amount needs more than eight decimals."""
    return _EXACT.remainder(amount, _STEP) != 0


def is_odd(trade: Trade) -> bool:
    """Whether the quote quantity is not price × quantity by the rounding rule."""
    return not 0 <= _EXACT.subtract(product(trade), trade.quote_quantity) < _STEP


def rebuild(trades: Iterable[Trade]) -> Rebuilt:
    """The candle that these trades of one minute make, in whatever order they come."""
    tape = sorted(trades, key=lambda trade: trade.trade_id)
    if not tape:
        return Rebuilt()
    bought = [trade for trade in tape if not trade.is_buyer_maker]
    prices = [trade.price for trade in tape]
    return Rebuilt(
        trade_count=len(tape),
        first_trade_id=tape[0].trade_id,
        last_trade_id=tape[-1].trade_id,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=_sum(trade.quantity for trade in tape),
        quote_volume=_sum(map(product, tape)),
        taker_buy_volume=_sum(trade.quantity for trade in bought),
        taker_buy_quote_volume=_sum(map(product, bought)),
        finer=sum(is_finer(product(trade)) for trade in tape),
        taker_buy_finer=sum(is_finer(product(trade)) for trade in bought),
        odd=sum(map(is_odd, tape)),
    )


def differences(candle: Kline, rebuilt: Rebuilt) -> list[str]:
    """What of the candle its trades do not make; empty where it is conserved."""
    equal = ["trade_count", "volume", "taker_buy_volume"]
    if candle.trade_count or rebuilt.trade_count:
        equal[1:1] = ["open", "high", "low", "close"]
    found = [
        _told(name, getattr(candle, name), getattr(rebuilt, name))
        for name in equal
        if getattr(candle, name) != getattr(rebuilt, name)
    ]
    for name, finer in (
        ("quote_volume", rebuilt.finer),
        ("taker_buy_quote_volume", rebuilt.taker_buy_finer),
    ):
        told, made = getattr(candle, name), getattr(rebuilt, name)
        cut_off = _EXACT.subtract(made, told)
        if not (cut_off == 0 or 0 < cut_off < finer * _STEP):
            found.append(_told(name, told, made))
    if rebuilt.odd:
        found.append(f"{rebuilt.odd} trades with a quote quantity that is not price × quantity")
    return found


def _told(name: str, candle: object, trades: object) -> str:
    plain = [f"{each.normalize(_EXACT):f}" if isinstance(each, Decimal) else str(each)
             for each in (candle, trades)]  # fmt: skip
    return f"{name} {plain[0]}, of trades {plain[1]}"


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = _NOTHING
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total
