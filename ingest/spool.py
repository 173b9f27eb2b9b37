"""What was fetched and is not yet written: a queue bounded by the bytes of the answers in it.

It outlasts a short absence of PostgreSQL. When it is full, whoever puts waits, so polling pauses by
itself and goes on when there is room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from ingest import metrics

Item = TypeVar("Item")


class Spool(Generic[Item]):
    """First in, first out; for one event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._putting: deque[object] = deque()  # who waits for room, first come first served
        self._changed = asyncio.Condition()

    async def put(self, item: Item, size: int) -> None:
        """Append; wait while it is full. An item larger than the limit fits when alone.

        Items are taken in the order in which they were put, also those that waited: what is stored
        of a symbol's trades never jumps over others that are still on their way.
        """
        ticket = object()
        self._putting.append(ticket)
        try:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: self._putting[0] is ticket and self._fits(size)
                )
                self._items.append((item, size))
                self._account(size)
        finally:
            self._putting.remove(ticket)  # before anybody who is woken can look

    async def take(self, limit: int) -> list[Item]:
        """The oldest items, at most `limit`; waits while there is none, until it is closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._items) > 0 or self._closed)
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._account(-sum(size for _, size in taken))
            return [item for item, _ in taken]

    async def close(self) -> None:
        """Nothing more will be put: who takes gets what is left, then empty lists."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._items or self._bytes + size <= self._limit

    def _account(self, size: int) -> None:
        self._bytes += size
        metrics.SPOOL_BYTES.set(self._bytes)
        metrics.SPOOL_BATCHES.set(len(self._items))
        self._changed.notify_all()
