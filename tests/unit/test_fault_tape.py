"""O8 as pure code: what a tape lacks, has wrong, or is excused of."""

from __future__ import annotations

from decimal import Decimal

from tests.faults.exchange import Tape, Trade, judge


def trade(trade_id: int, price: str = "1.5") -> Trade:
    return trade_id, Decimal(price), Decimal(2), Decimal(3), True, 1_700_000_000_000 + trade_id


TOLD = [trade(1), trade(2), trade(3), trade(4)]


def test_a_tape_that_is_as_told_is_whole() -> None:
    assert judge(TOLD, TOLD, []) == Tape(told=4)
    assert judge(TOLD, TOLD, []).whole


def test_a_trade_that_nobody_has_is_missing_unless_a_gap_says_so() -> None:
    held = [trade(1), trade(4)]
    assert judge(TOLD, held, []).missing == (2, 3)
    excused = judge(TOLD, held, [range(2, 3)])
    assert (excused.missing, excused.lost, excused.whole) == ((3,), 1, False)
    assert judge(TOLD, held, [range(2, 4)]).whole
    assert judge(TOLD, TOLD, [range(2, 4)]).lost == 0, "it came after all"


def test_a_trade_that_is_other_or_twice_or_unknown_is_wrong() -> None:
    assert judge(TOLD, [*TOLD, trade(2)], []).wrong == (2,)
    assert judge(TOLD, [trade(1, "1.6"), *TOLD[1:]], []).wrong == (1,)
    assert judge(TOLD, [*TOLD, trade(9)], []).wrong == (9,)
