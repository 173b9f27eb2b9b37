"""A world around the connection's state machine: clock, sockets, and an exchange that answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

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
from ingest.binance.pace import Pace

RULES = Rules()
STREAMS = tuple(f"s{n}@trade" for n in range(250))  # three messages
HALF_OPEN_S = 60.0  # what the exchange's own limit and ours come to: found within that
TICK_S = 1.0


@dataclass
class Socket:
    """What the world knows of a socket."""

    began_s: float
    heard_s: float
    opened: bool = False
    parting: bool = False
    live_s: float | None = None
    streams: list[str] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)


class World:
    """Connections that share an address, and an exchange that does as it is told.

    Each action is checked when it is taken.
    """

    def __init__(self, connections: int = 1, seed: int = 1) -> None:
        self.now_s = 1000.0
        pace = Pace(ATTEMPTS, ATTEMPTS_PER_S)
        draw = random.Random(seed).random
        self.machines = [Connection(STREAMS, pace, draw, RULES) for _ in range(connections)]
        self.wanted = [set(STREAMS) for _ in self.machines]
        self.sockets: list[dict[int, Socket]] = [{} for _ in self.machines]
        self.gone: list[list[int]] = [[] for _ in self.machines]
        self.opened_s: list[float] = []
        self.closed: list[str] = []
        self.forbidden_s = 0.0
        self.tick()

    # what happens

    def follow(self, place: int, streams: tuple[str, ...]) -> None:
        self.wanted[place] = set(streams)
        self.machines[place].follow(streams)
        self.tick()

    def tick(self) -> None:
        for place, machine in enumerate(self.machines):
            self._take(place, machine.tick(self.now_s))
        self._judge()

    def tell(self, place: int, event: Event) -> None:
        self._take(place, self.machines[place].on(event, self.now_s))

    def wait(self, seconds: float, *, calm: bool = False) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            if calm:
                self.behave()
            self.now_s = min(self.now_s + TICK_S, end_s)
            self.tick()

    def behave(self) -> None:
        """Every handshake succeeds, every message is answered, everybody is heard."""
        for place, sockets in enumerate(self.sockets):
            for number in list(sockets):
                self.open(place, number)
                while number in sockets and sockets[number].unanswered:
                    self.answer(place, number)
                self.hear(place, number)

    def open(self, place: int, number: int) -> None:
        socket = self.sockets[place].get(number)
        if socket is not None and not socket.opened:
            socket.opened, socket.heard_s = True, self.now_s
            self.tell(place, Opened(number))

    def answer(self, place: int, number: int, refusal: str = "") -> None:
        socket = self.sockets[place].get(number)
        if socket is None or not socket.unanswered:
            return
        socket.heard_s = self.now_s
        message = socket.unanswered.pop(0)
        complete = not socket.unanswered and set(socket.streams) == self.wanted[place]
        if not refusal and complete and socket.live_s is None:
            socket.live_s = self.now_s
        self.tell(place, Answered(number, message, refusal))

    def hear(self, place: int, number: int) -> None:
        socket = self.sockets[place].get(number)
        if socket is None or socket.opened:
            if socket is not None:
                socket.heard_s = self.now_s
            self.tell(place, Heard(number))

    def part(self, place: int, number: int) -> None:
        socket = self.sockets[place].get(number)
        if socket is None or socket.opened:
            if socket is not None:
                socket.heard_s, socket.parting = self.now_s, True
            self.tell(place, Parting(number))

    def end(self, place: int, number: int, wait_s: float = 0.0) -> None:
        if number in self.sockets[place]:
            self._forget(place, number)
            self.forbidden_s = max(self.forbidden_s, self.now_s + wait_s)
        self.tell(place, Ended(number, wait_s))

    # what is right

    def _take(self, place: int, actions: list[Action]) -> None:
        sockets = self.sockets[place]
        for action in actions:
            match action:
                case Open(number):
                    self._may_open(place)
                    sockets[number] = Socket(self.now_s, self.now_s)
                case Subscribe(number, message, streams):
                    socket = self._hears(place, number, message)
                    assert streams
                    assert set(streams) <= self.wanted[place] - set(socket.streams)
                    socket.streams += streams
                case Unsubscribe(number, message, streams):
                    socket = self._hears(place, number, message)
                    assert streams
                    assert set(streams) <= set(socket.streams) - self.wanted[place]
                    socket.streams = [each for each in socket.streams if each not in streams]
                case Close(number, reason):
                    self._forget(place, number)
                    self.closed.append(reason)

    def _hears(self, place: int, number: int, message: int) -> Socket:
        """A message of ours reaches the exchange."""
        socket = self.sockets[place][number]
        socket.sent_s = [at for at in socket.sent_s if at > self.now_s - 1.0]
        socket.sent_s.append(self.now_s)
        assert len(socket.sent_s) <= 4, "pongs need room among five a second"
        assert socket.opened
        socket.unanswered.append(message)
        return socket

    def _may_open(self, place: int) -> None:
        others = list(self.sockets[place].values())
        assert len(others) <= 1
        assert self.wanted[place], "nothing is wanted of it"
        for other in others:
            age_s = self.now_s - other.began_s
            assert other.parting or age_s >= RULES.rotate_after_s - RULES.rotate_jitter_s
        self.opened_s = [at for at in self.opened_s if at > self.now_s - 300.0]
        self.opened_s.append(self.now_s)
        assert len(self.opened_s) <= 300

    def _judge(self) -> None:
        for sockets in self.sockets:
            for socket in sockets.values():
                assert self.now_s - socket.heard_s < HALF_OPEN_S, "a silent one is still there"
            live = [s.live_s for s in sockets.values() if s.live_s is not None]
            if len(live) == 2:
                assert self.now_s - max(live) <= RULES.overlap_s + TICK_S

    def _forget(self, place: int, number: int) -> None:
        del self.sockets[place][number]
        self.gone[place].append(number)

    def only(self, place: int = 0) -> tuple[int, Socket]:
        ((number, socket),) = self.sockets[place].items()
        return number, socket


def live_world(connections: int = 1) -> World:
    world = World(connections)
    world.wait(RULES.stable_s + 10, calm=True)
    assert all(machine.flowing(world.now_s) for machine in world.machines)
    return world
