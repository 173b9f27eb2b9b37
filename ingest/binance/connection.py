"""How one allotment of streams is kept flowing. No I/O: events and times in, actions out.

    opening ──► subscribing ──► live ──► (closed)
       │             │            │
       └─────────────┴────────────┴──► closed, or silent for `silent_s`: another is opened

One socket carries the allotment. Before the exchange ends it after 24 hours, or as soon as it says
serverShutdown, a second one is opened; when that is live, both run for `overlap_s`, so that nothing
falls between them, and then the older is closed. There are never more than the two.

Which streams the allotment has may change at any time (`follow`): what is no longer wanted is
unsubscribed, what is new subscribed, on the sockets that are there. Without streams there is none.

- The exchange pings every 20 s, so a socket from which nothing at all is heard for `silent_s` is
  half-open, however quiet its streams are: it is closed, and another is opened at once. From
  `doubt_s` on its streams no longer count as flowing.
- One that does not open, is refused, or breaks before it was live for `stable_s` is followed after
  a wait that doubles, up to `backoff_limit_s`, with jitter. One that was stable is followed within
  `backoff_s`.
- Subscriptions go out in messages of some streams each, paced below the exchange's five incoming
  messages a second, of which pongs take a share; openings below its 300 in five minutes, through a
  `Pace` that all connections share.

Source: Binance's "WebSocket Streams" documents of August 2026.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec

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
from ingest.binance.pace import Pace

ATTEMPTS: Final = 150  # half of what the exchange allows an address: others may share it
ATTEMPTS_PER_S: Final = 300.0


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, and streams a message."""

    open_within_s: float = 10
    answer_within_s: float = 10
    doubt_s: float = 25
    silent_s: float = 45
    rotate_after_s: float = 23 * 3600
    rotate_jitter_s: float = 1800  # so that connections of one start do not rotate together
    overlap_s: float = 5
    stable_s: float = 60
    backoff_s: float = 1
    backoff_limit_s: float = 60
    message_every_s: float = 0.5
    streams_a_message: int = 100


class _Socket(msgspec.Struct, kw_only=True):
    number: int
    began_s: float
    heard_s: float
    asked: set[str] = set()  # streams that were subscribed, whether that is answered or not
    carried: set[str] = set()  # and those of which it is
    unanswered: dict[int, tuple[float, tuple[str, ...]]] = {}  # message → sent when, to subscribe
    state: Literal["opening", "subscribing", "live"] = "opening"
    message_at_s: float = 0.0  # not before
    live_s: float = 0.0
    rotate_at_s: float
    parting: bool = False


class Connection:
    """One allotment of streams. `draw` gives random numbers in [0, 1)."""

    def __init__(
        self, streams: Sequence[str], attempts: Pace, draw: Callable[[], float], rules: Rules
    ) -> None:
        self.follow(streams)
        self._attempts = attempts
        self._draw = draw
        self._rules = rules
        self._current: _Socket | None = None
        self._next: _Socket | None = None
        self._open_at_s = 0.0  # not before, by our own patience
        self._allowed_s = 0.0  # not before, by the exchange's word
        self._failures = 0
        self._numbers = 0

    def follow(self, streams: Sequence[str]) -> None:
        """Carry these streams from now on; what that takes is said by the next ticks."""
        self.streams = tuple(streams)
        self._wanted = frozenset(streams)

    def flowing(self, now_s: float) -> bool:
        """Whether a live socket carries streams, as far as anybody can know."""
        return any(self._is_well(socket, now_s) for socket in self._sockets())

    def carries(self, stream: str, now_s: float) -> bool:
        """Whether this very stream flows: its subscription is answered on such a socket."""
        return any(
            stream in socket.carried and self._is_well(socket, now_s) for socket in self._sockets()
        )

    def silent_s(self, now_s: float) -> float:
        """For how long nothing has been heard of it."""
        return now_s - max((socket.heard_s for socket in self._sockets()), default=-math.inf)

    def on(self, event: Event, now_s: float) -> list[Action]:
        """Take an event; events of sockets that are gone are ignored."""
        socket = next((each for each in self._sockets() if each.number == event.socket), None)
        if socket is None:
            return []
        if isinstance(event, Ended):
            self._allowed_s = max(self._allowed_s, now_s + event.wait_s)
            self._lose(socket, now_s)
            return self.tick(now_s)
        socket.heard_s = now_s
        match event:
            case Heard():
                return []
            case Opened() if socket.state == "opening":
                socket.state = "subscribing"
            case Answered(message=message, refusal=refusal):
                if refusal:
                    return [self._close(socket, f"refused: {refusal}", now_s), *self.tick(now_s)]
                _, streams = socket.unanswered.pop(message, (0.0, ()))
                socket.carried |= socket.asked.intersection(streams)
            case Parting() if not socket.parting:
                socket.parting = True
                self._wait(now_s, 0.0 if self._was_stable(socket, now_s) else self._backoff())
        return self.tick(now_s)

    def tick(self, now_s: float) -> list[Action]:
        """What is due; to be called a few times a second."""
        actions = [act for each in list(self._sockets()) for act in self._attend(each, now_s)]
        return [*actions, *self._hand_over(now_s), *self._open(now_s)]

    def _sockets(self) -> Iterator[_Socket]:
        return (each for each in (self._current, self._next) if each is not None)

    def _attend(self, socket: _Socket, now_s: float) -> Iterator[Action]:
        """Look after one socket."""
        rules = self._rules
        if not self.streams:
            yield self._close(socket, "not needed", now_s)
            return
        if socket.state == "opening":
            if now_s - socket.began_s >= rules.open_within_s:
                yield self._close(socket, "no handshake", now_s)
            return
        if now_s - socket.heard_s >= rules.silent_s:
            yield self._close(socket, "silent", now_s)
            self._open_at_s = now_s  # the silence was wait enough
        elif any(now_s - at_s >= rules.answer_within_s for at_s, _ in socket.unanswered.values()):
            yield self._close(socket, "no answer", now_s)
        elif socket.asked != self._wanted:
            if now_s >= socket.message_at_s:
                socket.message_at_s = now_s + rules.message_every_s
                yield self._say(socket, now_s)
        elif socket.state == "subscribing" and not socket.unanswered:
            socket.state, socket.live_s = "live", now_s

    def _say(self, socket: _Socket, now_s: float) -> Subscribe | Unsubscribe:
        """The next message; what is not wanted goes first, for the exchange counts streams."""
        self._numbers += 1
        size = self._rules.streams_a_message
        if gone := tuple(sorted(socket.asked - self._wanted)[:size]):
            socket.asked.difference_update(gone)
            socket.carried.difference_update(gone)
            socket.unanswered[self._numbers] = now_s, ()
            return Unsubscribe(socket.number, self._numbers, gone)
        fresh = tuple(each for each in self.streams if each not in socket.asked)[:size]
        socket.asked.update(fresh)
        socket.unanswered[self._numbers] = now_s, fresh
        return Subscribe(socket.number, self._numbers, fresh)

    def _is_well(self, socket: _Socket, now_s: float) -> bool:
        return socket.state == "live" and now_s - socket.heard_s < self._rules.doubt_s

    def _hand_over(self, now_s: float) -> Iterator[Action]:
        """The overlap is over: the newer socket alone goes on."""
        newer, older = self._next, self._current
        if newer is None or older is None or newer.state != "live":
            return
        if now_s - newer.live_s >= self._rules.overlap_s:
            self._current, self._next = newer, None
            yield Close(older.number, "replaced")

    def _open(self, now_s: float) -> Iterator[Action]:
        """Open the socket, or the second one, if one is wanted and may be opened."""
        current = self._current
        if not self.streams:
            return
        if current is not None and (self._next is not None or not self._too_old(current, now_s)):
            return
        if now_s < max(self._open_at_s, self._allowed_s, self._attempts.free_at_s(now_s)):
            return
        self._attempts.take(now_s)
        opened = self._new(now_s)
        if current is None:
            self._current = opened
        else:
            self._next = opened
        yield Open(opened.number)

    def _too_old(self, socket: _Socket, now_s: float) -> bool:
        return socket.parting or (socket.state == "live" and now_s >= socket.rotate_at_s)

    def _new(self, now_s: float) -> _Socket:
        self._numbers += 1
        rules = self._rules
        return _Socket(
            number=self._numbers,
            began_s=now_s,
            heard_s=now_s,
            rotate_at_s=now_s + rules.rotate_after_s - self._draw() * rules.rotate_jitter_s,
        )

    def _close(self, socket: _Socket, reason: str, now_s: float) -> Close:
        self._lose(socket, now_s)
        return Close(socket.number, reason)

    def _lose(self, socket: _Socket, now_s: float) -> None:
        """A socket is gone; the other one, if there is one, carries the streams alone."""
        if socket is self._current:
            self._current = self._next
        self._next = None
        soon_s = self._draw() * self._rules.backoff_s
        self._wait(now_s, soon_s if self._was_stable(socket, now_s) else self._backoff())

    def _was_stable(self, socket: _Socket, now_s: float) -> bool:
        """Whether it was live for long enough; then earlier failures are forgotten."""
        stable = socket.state == "live" and now_s - socket.live_s >= self._rules.stable_s
        if stable:
            self._failures = 0
        return stable

    def _backoff(self) -> float:
        """Seconds to wait after one more failure: half to the whole of 1, 2, 4 … × the first."""
        rules = self._rules
        whole_s = min(rules.backoff_s * 2.0 ** min(self._failures, 30), rules.backoff_limit_s)
        self._failures += 1
        return whole_s * (0.5 + 0.5 * self._draw())

    def _wait(self, now_s: float, wait_s: float) -> None:
        self._open_at_s = max(self._open_at_s, now_s + wait_s)
