"""Fault scripts, corrupted bodies and the exchange's limits, without any I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulator import pages
from simulator.corruption import corrupted
from simulator.errors import ScriptError
from simulator.faults import Duplicate, Hide, Omit, Replace, Rescale, Reverse, Script
from simulator.limits import LimitExceededError, Limits

MINUTE = 1_800_000_000.0  # a full minute, in seconds
ROWS = '[{"id":1,"p":"2.5","T":1700000000000},{"id":2,"p":"2.6","T":1700000000001}]'


def script(*rules: dict[str, Any], now_s: float = 0.0) -> Script:
    made = Script()
    made.load(json.dumps({"rules": list(rules)}), now_s)
    return made


def met(made: Script, path: str = "/api/v3/time", symbol: str | None = None, at: float = 0) -> bool:
    return bool(made.meet(path, symbol, at))


def test_a_rule_skips_then_acts_as_often_as_it_says() -> None:
    """Skip lets the first ones pass, count ends it."""
    made = script({"skip": 2, "count": 2, "action": {"do": "drop"}})
    assert [met(made) for _ in range(6)] == [False, False, True, True, False, False]
    assert made.state()[0]["acted"] == 2


def test_a_rule_meets_its_path_its_symbol_and_its_time() -> None:
    """Other paths, other symbols and other times go by."""
    rule = {"path": "*/klines", "symbol": "X", "from_s": 5, "until_s": 9, "action": {"do": "drop"}}
    made = script(rule, now_s=100)
    assert not met(made, "/api/v3/klines", "X", 104)
    assert met(made, "/api/v3/klines", "X", 105)
    assert not met(made, "/api/v3/klines", "Y", 105)
    assert not met(made, "/api/v3/depth", "X", 105)
    assert not met(made, "/api/v3/klines", "X", 109)


def test_chance_is_the_same_in_each_run() -> None:
    """A rule with a probability acts on the same requests each time it is loaded."""
    rule = {"id": "half", "probability": 0.5, "action": {"do": "drop"}}
    runs = [[met(made) for _ in range(200)] for made in (script(rule), script(rule))]
    assert runs[0] == runs[1]
    assert 60 < sum(runs[0]) < 140


def test_a_delay_lets_the_next_rule_act() -> None:
    """Of several rules the first acts, but a delay comes on top."""
    made = script(
        {"id": "slow", "action": {"do": "delay", "seconds": 1}},
        {"id": "page", "action": {"do": "page", "name": "gateway"}},
        {"id": "drop", "action": {"do": "drop"}},
    )
    assert [rule.id for rule in made.meet("/api/v3/time", None, 0)] == ["slow", "page"]


@pytest.mark.parametrize("text", ["", "[]", '{"rules": 5}', '{"rules": [{"action": {}}]}', "\xff"])
def test_a_script_that_makes_no_sense_is_an_error(text: str) -> None:
    """The error says that it is the script."""
    with pytest.raises(ScriptError, match="fault script"):
        Script().load(text, 0.0)


def test_an_unknown_page_is_an_error_that_names_the_known_ones() -> None:
    """The message lists the pages."""
    with pytest.raises(ScriptError, match="maintenance"):
        pages.page("nowhere")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Replace(field="p", value="NaN", row=-1), '[{"id":1,"p":"2.5"},{"id":2,"p":"NaN"}]'),
        (
            Replace(field="p", value="NaN", row="all", bare=True),
            '[{"id":1,"p":NaN},{"id":2,"p":NaN}]',
        ),
        (Replace(field="p", value=None, where={"id": 2}), '[{"id":1,"p":"2.5"},{"id":2,"p":null}]'),
        (Replace(field="q", value=1), '[{"id":1,"p":"2.5"},{"id":2,"p":"2.6"}]'),
        (Replace(field="p", value="0", row=7), '[{"id":1,"p":"2.5"},{"id":2,"p":"2.6"}]'),
        (Omit(field="p", row="all"), '[{"id":1},{"id":2}]'),
        (
            Duplicate(times=2),
            '[{"id":1,"p":"2.5"},{"id":1,"p":"2.5"},{"id":2,"p":"2.6"},{"id":2,"p":"2.6"}]',
        ),
        (Reverse(), '[{"id":2,"p":"2.6"},{"id":1,"p":"2.5"}]'),
        (Hide(first=1, last=1), '[{"id":2,"p":"2.6"}]'),
    ],
)
def test_a_body_is_changed_where_it_was_meant(action: Any, expected: str) -> None:
    """Only the meant rows and fields change, everything else stays to the byte."""
    assert corrupted('[{"id":1,"p":"2.5"},{"id":2,"p":"2.6"}]', action) == expected


def test_a_wrong_unit_changes_times_only() -> None:
    """Ids and prices stay, times are multiplied."""
    rows = json.loads(corrupted(ROWS, Rescale(factor=1000)))
    assert [row["T"] for row in rows] == [1_700_000_000_000_000, 1_700_000_000_001_000]
    assert [row["id"] for row in rows] == [1, 2]


def test_a_level_of_a_book_and_an_entry_of_exchange_info_can_be_replaced() -> None:
    """Nested answers are reached too: the best bid's price, a symbol's status."""
    book = '{"lastUpdateId":5,"bids":[["1.0","2.0"]],"asks":[]}'
    assert '[["-1","2.0"]]' in corrupted(book, Replace(field="bids", value="-1"))
    info = '{"symbols":[{"symbol":"A","status":"TRADING"},{"symbol":"B","status":"TRADING"}]}'
    halted = json.loads(
        corrupted(info, Replace(field="status", value="HALT", where={"symbol": "B"}))
    )
    assert [each["status"] for each in halted["symbols"]] == ["TRADING", "HALT"]


@pytest.mark.parametrize(
    ("bids", "expected"),
    [
        ('[["1.0","0.000"],["0.9","2.0"]]', [["1.0", "0.000"], ["9", "2.0"]]),
        ('[["1.0","0.000"]]', [["9", "1"], ["1.0", "0.000"]]),
        ("[]", [["9", "1"]]),
    ],
)
def test_a_price_is_put_into_a_level_that_is_one(bids: str, expected: list[list[str]]) -> None:
    """A diff whose levels are gone, or that has none, would pass the price over."""
    diff = json.loads(corrupted(f'{{"u":5,"b":{bids},"a":[]}}', Replace(field="b", value="9")))
    assert diff == {"u": 5, "b": expected, "a": []}


def test_weight_is_counted_by_address_and_minute() -> None:
    """A new minute and another address begin at zero."""
    limits = Limits(100)
    assert limits.charge("a", 60, MINUTE) == 60
    assert limits.charge("b", 60, MINUTE) == 60
    assert limits.charge("a", 40, MINUTE + 59) == 100
    assert limits.charge("a", 1, MINUTE + 60) == 1


def refusal(limits: Limits, now_s: float) -> LimitExceededError:
    with pytest.raises(LimitExceededError) as caught:
        limits.charge("a", 1, now_s)
    return caught.value


def test_past_the_limit_an_address_waits_for_the_next_minute() -> None:
    """429 names the seconds that are left of the minute; then it goes on."""
    limits = Limits(10)
    limits.charge("a", 10, MINUTE)
    error = refusal(limits, MINUTE + 18.5)
    assert (error.status, error.code, error.retry_after_s) == (429, -1003, 42)
    assert limits.blocked("a", MINUTE + 59)
    assert limits.charge("a", 1, MINUTE + 60) == 1


def test_each_ban_is_twice_as_long_up_to_three_days() -> None:
    """Going on during a 429 leads to a ban, going on during a ban to a longer one."""
    limits = Limits(10)
    limits.charge("a", 10, MINUTE)
    waits = []
    now_s = MINUTE + 1
    for _ in range(160):
        error = refusal(limits, now_s)
        if error.status == 418 and error.retry_after_s not in waits:
            waits.append(error.retry_after_s)
    assert waits[:4] == [120, 240, 480, 960]
    assert max(waits) == 3 * 86_400
    assert "IP banned until" in error.message


def test_no_limit_refuses_nobody() -> None:
    """0 lifts the limit."""
    limits = Limits(0)
    assert limits.charge("a", 10**9, MINUTE) == 10**9
    assert limits.charge("a", 1, MINUTE) == 10**9 + 1
