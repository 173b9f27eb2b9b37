"""What was asked, in order, and what was last answered.

Tests judge by it that nobody asked while banned, and that every value sent has arrived.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aiohttp import web

from simulator.faults import Rule

_KEPT = 50_000  # requests; the oldest go first
_KEPT_ANSWERS = 12  # whole answers of each path


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request. `while_blocked`: it came before the end of a 429 or 418."""

    at_ms: int
    address: str
    path: str
    query: str
    status: int
    weight: int = 0
    used_weight: int = 0
    while_blocked: bool = False
    fault: str = ""
    took_ms: float = 0.0


def request_of(
    http: web.Request, rules: Sequence[Rule], status: int, at_s: float, took_s: float = 0.0
) -> Request:
    """A request that weighs nothing; `rules` are those that acted on it."""
    return Request(
        at_ms=int(at_s * 1000),
        address=http.remote or "unknown",
        path=http.path,
        query=http.query_string,
        status=status,
        fault=",".join(rule.id for rule in rules),
        took_ms=round(took_s * 1e3, 3),
    )


class Journal:
    """The latest requests, and how many there were of each status since the start."""

    def __init__(self) -> None:
        self._answers: dict[str, deque[tuple[str, str]]] = {}
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self.statuses: dict[int, int] = {}

    def note(self, request: Request) -> None:
        """Keep a request."""
        self._requests.append(request)
        self.statuses[request.status] = self.statuses.get(request.status, 0) + 1

    def keep(self, path: str, query: str, body: str) -> None:
        """Keep an answer as it goes out."""
        self._answers.setdefault(path, deque(maxlen=_KEPT_ANSWERS)).append((query, body))

    def answers(self, path: str) -> list[tuple[str, str]]:
        """(query, body) of the latest answers of a path, oldest first."""
        return list(self._answers.get(path, ()))

    def since(self, at_ms: int, path: str = "") -> list[dict[str, object]]:
        """Requests from a time on, of paths that contain `path`, oldest first."""
        return [
            asdict(request)
            for request in self._requests
            if request.at_ms >= at_ms and path in request.path
        ]

    def clear(self) -> None:
        """Forget the requests, not the sums."""
        self._requests.clear()
