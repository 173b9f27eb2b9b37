"""The WebSocket connections: what `ingest.binance.connection` decides is done here, and no more.

    driver (every 0.1 s) ──actions──► a task a socket ──frames──► `take`
            ▲                              │
            └───────────events─────────────┘

Everything runs in one event loop. A frame is read and handed on where it arrives, and `take` never
waits, so nothing queues here; what lags is seen by the exchange as a slow reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn, cast

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.protocol import Event as WireEvent

from ingest import metrics
from ingest.binance.connection import ATTEMPTS, ATTEMPTS_PER_S, Connection, Rules
from ingest.binance.dialogue import (
    Action,
    Answered,
    Close,
    Ended,
    Event,
    Heard,
    Open,
    Opened,
    Parting,
    Subscribe,
    Unsubscribe,
)
from ingest.binance.hosts import Hosts
from ingest.binance.limits import silence_until, utc_now
from ingest.binance.pace import Pace
from ingest.binance.stream_frames import Farewell, Reply, kind_of, read_frame
from ingest.binance.stream_messages import Told
from ingest.errors import RegionRefused
from ingest.settings import is_loopback

log = structlog.get_logger(__name__)

Take = Callable[[Told, datetime], None]

_TICK_S: Final = 0.1
_CLOSE_WITHIN_S: Final = 1.0  # of ours and the exchange's farewell; a half-open one never answers
_FRAME_LIMIT_BYTES: Final = 8 * 1024 * 1024
_FRAMES_IN_A_ROW: Final = 64  # then others have their turn, however many wait
_REGION_REFUSED, _FIREWALL, _SILENCING = 451, 403, {403, 418, 429}
_HOST_FAILED: Final = {"silent", "no handshake", "no answer"}


class Refusals(msgspec.Struct, frozen=True):
    """What is shared with requests: a ban is of the address, however we came by it.

    `pause_s`: silence after a firewall's 403, and after 451 from every host. `silent_s` tells for
    how long a silence that is already demanded lasts; `banned` hears (status, until) of a new one.
    """

    pause_s: float
    silent_s: Callable[[], float] = lambda: 0.0
    banned: Callable[[int, datetime], None] = lambda _status, _until: None


class _Socket(ClientConnection):
    """A connection that says when any frame came; the exchange's pings are life, too."""

    heard: Callable[[], None] | None = None

    def process_event(self, event: WireEvent) -> None:
        super().process_event(event)
        if self.heard is not None:
            self.heard()


class _Opening(connect):
    """No redirect is followed: our data come from hosts that the settings name."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Line(msgspec.Struct):
    """A connection, its tasks and its open sockets by number."""

    name: str
    connection: Connection
    tasks: dict[int, asyncio.Task[None]] = {}
    sockets: dict[int, _Socket] = {}
    hosts: dict[int, str] = {}


class Streams:
    """Keeps allotments of streams flowing; `take` gets each event with when it was received."""

    def __init__(
        self,
        venue: str,
        urls: Sequence[str],
        allotments: Sequence[Sequence[str]],
        take: Take,
        refusals: Refusals,
        rules: Rules | None = None,
    ) -> None:
        self._venue = venue
        self._hosts = Hosts(urls, time.monotonic)
        self._take = take
        self._refusals = refusals
        self._attempts = Pace(ATTEMPTS, ATTEMPTS_PER_S)
        self._rules = rules or Rules()
        self._lines: list[_Line] = []
        self._line_of: dict[str, _Line] = {}
        self.follow(allotments)
        self._errands: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until it is cancelled; then every socket is closed."""
        try:
            while True:
                for line in self._lines:
                    _raise_failure(line)
                    self._do(line, line.connection.tick(_now_s()))
                self._show()
                await asyncio.sleep(_TICK_S)
        finally:
            tasks = [task for line in self._lines for task in line.tasks.values()]
            for task in (*tasks, *self._errands):
                task.cancel()
            await asyncio.gather(*tasks, *self._errands, return_exceptions=True)
            metrics.STREAM_CONNECTIONS.set(0)
            metrics.STREAMS_LIVE.set(0)

    def follow(self, allotments: Sequence[Sequence[str]]) -> None:
        """Carry these from now on, each by the connection of its place; more are made if needed."""
        for _ in range(len(allotments) - len(self._lines)):
            carrier = Connection((), self._attempts, random.random, self._rules)
            self._lines.append(_Line(f"{len(self._lines) + 1}", carrier))
        for place, line in enumerate(self._lines):
            line.connection.follow(allotments[place] if place < len(allotments) else ())
        self._line_of = {name: line for line in self._lines for name in line.connection.streams}

    def flows(self, stream: str) -> bool:
        """Whether the stream is live, as far as anybody can know."""
        line = self._line_of.get(stream)
        return line is not None and line.connection.carries(stream, _now_s())

    def silent_s(self, stream: str) -> float:
        """For how long nothing, of whatever stream, has come by the connection of this one."""
        line = self._line_of.get(stream)
        return math.inf if line is None else line.connection.silent_s(_now_s())

    def _show(self) -> None:
        metrics.STREAM_CONNECTIONS.set(sum(len(line.sockets) for line in self._lines))
        metrics.STREAMS_LIVE.set(sum(map(self.flows, self._line_of)))
        metrics.STREAMS_WANTED.set(len(self._line_of))

    # what the state machine decides

    def _do(self, line: _Line, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Open(number):
                    line.tasks[number] = asyncio.create_task(self._carry(line, number))
                case Subscribe(number, message, streams):
                    self._send(line.sockets[number], "SUBSCRIBE", message, streams)
                case Unsubscribe(number, message, streams):
                    self._send(line.sockets[number], "UNSUBSCRIBE", message, streams)
                case Close(number, reason):
                    self._close(line, number, reason)

    def _send(self, socket: _Socket, method: str, message: int, streams: tuple[str, ...]) -> None:
        text = {"method": method, "params": streams, "id": message}
        self._errand(_said(socket, msgspec.json.encode(text).decode()))

    def _close(self, line: _Line, number: int, reason: str) -> None:
        line.tasks.pop(number).cancel()  # its end closes the socket
        if reason in _HOST_FAILED and number in line.hosts:
            self._hosts.failed(line.hosts[number])
        metrics.STREAM_ENDS.labels(reason.partition(":")[0]).inc()
        tell = log.info if reason in {"replaced", "not needed"} else log.warning
        tell("a stream connection is closed", connection=line.name, reason=reason)

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _on(self, line: _Line, event: Event) -> None:
        self._do(line, line.connection.on(event, _now_s()))

    # one socket

    async def _carry(self, line: _Line, number: int) -> None:
        """From the handshake to the end; of an end that is not ours the state machine hears."""
        wait_s, reason = self._refusals.silent_s(), "the exchange demands silence"
        if wait_s <= 0:
            wait_s, reason = await self._use(line, number)
        metrics.STREAM_ENDS.labels("broken").inc()
        log.warning("a stream connection broke", connection=line.name, reason=reason[:300])
        line.tasks.pop(number, None)
        self._on(line, Ended(number, wait_s))

    async def _use(self, line: _Line, number: int) -> tuple[float, str]:
        """Pick a host and converse; why that ended, and for how many seconds to keep silent."""
        try:
            host = line.hosts[number] = self._hosts.pick()
        except RegionRefused as error:
            self._hosts.forgive()  # asked again after the pause: places and rules change
            return self._refusals.pause_s, str(error)
        try:
            await self._converse(line, number, host)
        except ConnectionClosed as error:
            return 0.0, str(error)
        except InvalidStatus as error:
            self._hosts.failed(host)
            return self._turned_away(host, error), str(error)
        except (OSError, TimeoutError, WebSocketException) as error:
            self._hosts.failed(host)
            return 0.0, str(error) or type(error).__name__
        finally:
            line.sockets.pop(number, None)
            line.hosts.pop(number, None)

    async def _converse(self, line: _Line, number: int, host: str) -> NoReturn:
        opening = _Opening(
            f"{host}/stream",
            create_connection=_Socket,
            user_agent_header="tidemark",
            compression=None,
            proxy=None if is_loopback(host) else True,
            open_timeout=None,  # the state machine counts
            ping_interval=None,  # the exchange pings, and pings of ours would count as messages
            close_timeout=_CLOSE_WITHIN_S,
            max_size=_FRAME_LIMIT_BYTES,
        )
        async with opening as opened:
            socket = line.sockets[number] = cast(_Socket, opened)
            socket.heard = lambda: self._on(line, Heard(number))
            self._on(line, Opened(number))
            while True:
                for _ in range(_FRAMES_IN_A_ROW):
                    self._hear(line, number, await socket.recv(decode=False))
                await asyncio.sleep(0)

    def _hear(self, line: _Line, number: int, frame: bytes) -> None:
        received = utc_now()
        match read_frame(frame, self._venue):
            case Reply(id=int(message), refusal=refusal):
                self._on(line, Answered(number, message, refusal))
            case Reply(refusal=refusal):
                log.warning("an answer to nothing", connection=line.name, refusal=refusal)
            case Farewell():
                log.info("the exchange will close a connection", connection=line.name)
                metrics.STREAM_ENDS.labels("farewell").inc()
                self._on(line, Parting(number))
            case Told() as told:
                metrics.STREAM_MESSAGES.labels(kind_of(told.stream)).inc()
                self._take(told, received)

    def _turned_away(self, host: str, error: InvalidStatus) -> float:
        """Judge an answer to the handshake that is no welcome; seconds to keep silent."""
        response = error.response
        if response.status_code == _REGION_REFUSED:
            self._hosts.refused(host)
        if response.status_code not in _SILENCING:
            return 0.0
        now, pause_s = utc_now(), self._refusals.pause_s
        body = bytes(response.body or b"")
        until = silence_until(response.status_code, response.headers, body, now, pause_s)
        if response.status_code != _FIREWALL:  # which guards this host; the others are of us
            self._refusals.banned(response.status_code, until)
        return (until - now).total_seconds()


def _raise_failure(line: _Line) -> None:
    """A task that is done and still known ended by an error of ours: the process ends by it."""
    for task in list(line.tasks.values()):
        if task.done():
            task.result()


async def _said(socket: _Socket, text: str) -> None:
    with contextlib.suppress(ConnectionClosed):  # whoever reads from it sees that, too
        await socket.send(text)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
