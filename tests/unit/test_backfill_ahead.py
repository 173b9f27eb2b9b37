"""Several requests at once, their answers in order."""

from __future__ import annotations

import asyncio
import contextlib
import random

from hypothesis import given
from hypothesis import strategies as st

from ingest.backfill.ahead import TOGETHER, in_order


@given(st.integers(0, 40), st.integers(1, 8), st.integers(0, 2**32))
def test_answers_come_in_order_and_no_more_are_asked_for_than_allowed(
    count: int, in_flight: int, seed: int
) -> None:
    """Whichever is quicker."""
    chance = random.Random(seed)
    asked: list[int] = []
    most = 0

    async def ask(place: int) -> int:
        nonlocal most
        asked.append(place)
        most = max(most, len(asked))
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        asked.remove(place)
        return place

    async def collect() -> list[list[int]]:
        return [together async for together in in_order(ask, range(count), in_flight)]

    found = asyncio.run(collect())
    assert [place for together in found for place in together] == list(range(count))
    assert all(len(together) <= TOGETHER for together in found)
    assert most <= in_flight


def test_a_taker_that_leaves_ends_what_is_under_way() -> None:
    """Nobody waits for answers that nobody wants."""

    async def ask(place: int) -> int:
        await asyncio.sleep(60 if place else 0)
        return place

    async def leave() -> int:
        async with contextlib.aclosing(in_order(ask, range(9), 4)) as answers:
            async for together in answers:
                assert together == [0]
                break
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1


def test_an_answer_that_fails_ends_the_others() -> None:
    """And its error is the taker's."""

    async def ask(place: int) -> int:
        if place == 2:
            raise ValueError(place)
        return place

    async def take() -> list[int]:
        taken: list[int] = []
        with contextlib.suppress(ValueError):
            async for together in in_order(ask, range(9), 1):
                taken += together
        return taken

    assert asyncio.run(take()) == [0, 1]
