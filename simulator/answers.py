"""What goes back to a client over HTTP, and how: whole, cut, damaged, or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from simulator.corruption import corrupted
from simulator.errors import SimulatorError
from simulator.faults import Corruption, Cut, Rule


@dataclass(slots=True)
class Answer:
    """Status 0: the connection is closed without an answer."""

    status: int
    body: str | bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: Cut | None = None

    @property
    def text(self) -> str:
        """The body of an answer that is text."""
        return self.body if isinstance(self.body, str) else self.body.decode()


class DroppedError(SimulatorError):
    """The connection is closed without an answer."""


def damaged(answer: Answer, rules: list[Rule]) -> Answer:
    """The answer after the faults that spoil its body."""
    for rule in rules:
        if isinstance(rule.action, Cut):
            answer.cut = rule.action
        elif isinstance(rule.action, Corruption) and isinstance(answer.body, str):
            answer.body = corrupted(answer.body, rule.action)
    return answer


async def send(http: web.Request, answer: Answer, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send an answer, with more headers of its exchange."""
    if answer.status == 0:
        abort(http)
        return web.Response(status=499)
    headers = {**headers, **answer.headers}
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    if answer.cut is None:
        return web.Response(
            status=answer.status,
            body=body,
            headers={**headers, "Content-Type": f"{answer.media_type};charset=UTF-8"},
        )
    if answer.cut.gzip:
        body = gzip.compress(body)
        headers["Content-Encoding"] = "gzip"
    part = body[: int(len(body) * answer.cut.share)]
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_type = answer.media_type
    response.content_length = len(body) if answer.cut.close else len(part)
    await response.prepare(http)
    await response.write(part)
    if answer.cut.close:
        abort(http)
    return response


def abort(http: web.Request) -> None:
    """Cut the connection."""
    if http.transport is not None:
        http.transport.abort()
