"""Several requests on their way at once, their answers in order."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

Place = TypeVar("Place")
Value = TypeVar("Value")

TOGETHER = 8  # answers that may be handed on as one


async def in_order(
    ask: Callable[[Place], Awaitable[Value]], places: Iterable[Place], in_flight: int
) -> AsyncGenerator[list[Value], None]:
    """The answers for `places` in their order, at most `in_flight` of them asked for at once.

    Those that are there already come together. While a list is in its taker's hands, the next are
    on their way. Close it where it is left early: then nobody waits for them.
    """
    left = iter(places)
    waiting: deque[asyncio.Future[Value]] = deque()

    def send() -> None:
        for place in itertools.islice(left, in_flight - len(waiting)):
            waiting.append(asyncio.ensure_future(ask(place)))

    try:
        send()
        while waiting:
            ready = [await waiting[0]]
            waiting.popleft()
            send()
            while waiting and waiting[0].done() and len(ready) < TOGETHER:
                ready.append(waiting.popleft().result())
                send()
            yield ready
    finally:
        for unwanted in waiting:
            unwanted.cancel()
