"""The connection's state machine: by example, and under any order of events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.binance.allotment import CONNECTIONS_LIMIT
from ingest.binance.connection import ATTEMPTS
from tests.unit.stream_world import HALF_OPEN_S, RULES, STREAMS, TICK_S, World, live_world


def test_a_connection_is_live_once_every_subscription_is_answered() -> None:
    """Streams go out in messages of a hundred, paced; until the last answer nothing flows."""
    world = World()
    number, socket = world.only()
    world.open(0, number)
    assert len(socket.streams) == 100
    world.tick()
    assert len(socket.streams) == 100, "paced: not two messages at once"
    world.wait(2 * TICK_S)
    assert socket.streams == list(STREAMS)
    world.answer(0, number)
    world.answer(0, number)
    assert not world.machines[0].flowing(world.now_s)
    world.answer(0, number)
    assert world.machines[0].flowing(world.now_s)


def test_a_silent_connection_is_doubted_then_replaced_at_once() -> None:
    """REST takes over after 25 s, another connection is opened after 45 s."""
    world = live_world()
    number, _ = world.only()
    world.hear(0, number)
    world.wait(RULES.doubt_s - 1)
    assert world.machines[0].flowing(world.now_s)
    assert world.machines[0].silent_s(world.now_s) == RULES.doubt_s - 1
    world.wait(1)
    assert not world.machines[0].flowing(world.now_s)
    world.wait(RULES.silent_s - RULES.doubt_s)
    assert world.closed == ["silent"]
    assert world.only()[0] != number


def test_before_a_day_is_over_a_second_connection_takes_over() -> None:
    """Both are live for a few seconds; then the older is closed. Nothing else is opened."""
    world = live_world()
    number, socket = world.only()
    opened = len(world.opened_s)
    world.wait(RULES.rotate_after_s - RULES.rotate_jitter_s - 100, calm=True)
    overlap = 0.0
    while number in world.sockets[0]:
        world.wait(TICK_S, calm=True)
        overlap += len([s for s in world.sockets[0].values() if s.live_s is not None]) == 2
        assert world.machines[0].flowing(world.now_s)
    assert world.closed == ["replaced"]
    assert overlap >= RULES.overlap_s - TICK_S
    assert world.now_s - socket.began_s < 24 * 3600
    assert opened == 1
    assert world.only()[1].live_s is not None


def test_a_farewell_is_answered_with_another_connection_while_the_old_one_still_tells() -> None:
    """At once, where the connection was stable."""
    world = live_world()
    number, _ = world.only()
    world.part(0, number)
    assert len(world.sockets[0]) == 2
    assert world.machines[0].flowing(world.now_s)
    world.end(0, number)
    assert not world.machines[0].flowing(world.now_s)
    world.wait(10, calm=True)
    assert world.machines[0].flowing(world.now_s)
    assert len(world.sockets[0]) == 1


def test_farewells_of_each_new_connection_do_not_make_a_storm() -> None:
    """An exchange that goes down says it on every connection: waits grow all the same."""
    world = live_world()
    before = world.now_s
    while world.now_s < before + 600:
        for number in list(world.sockets[0]):
            world.part(0, number)
        world.wait(1, calm=True)
    assert len(world.opened_s) <= 12


def test_a_connection_that_was_stable_is_followed_within_a_second() -> None:
    """A cut after hours of work is no reason to wait."""
    world = live_world()
    world.end(0, world.only()[0])
    world.wait(RULES.backoff_s)
    assert len(world.sockets[0]) == 1


def test_failures_are_followed_by_waits_that_double_with_jitter() -> None:
    """Half to the whole of 1, 2, 4 … 60 s; and no two connections in step."""
    waits: list[list[float]] = []
    for seed in (1, 2):
        world = World(seed=seed)
        found = []
        for _ in range(10):
            world.end(0, world.only()[0])
            before = world.now_s
            while not world.sockets[0]:
                world.now_s += 0.01
                world.tick()
            found.append(world.now_s - before)
        waits.append(found)
        for place, wait_s in enumerate(found):
            whole_s = min(2.0**place, RULES.backoff_limit_s)
            assert whole_s / 2 <= wait_s <= whole_s + 0.02
    assert waits[0] != waits[1]


@pytest.mark.parametrize(
    ("leave_out", "reason"), [("open", "no handshake"), ("answer", "no answer")]
)
def test_a_server_that_does_not_go_on_is_left(leave_out: str, reason: str) -> None:
    """A handshake or an answer that does not come within ten seconds."""
    world = World()
    number, _ = world.only()
    if leave_out != "open":
        world.open(0, number)
    for _ in range(12):
        world.hear(0, number)
        world.wait(TICK_S)
    assert world.closed == [reason]


def test_a_refused_subscription_ends_the_connection() -> None:
    """Half of the streams would look like all of them."""
    world = World()
    number, _ = world.only()
    world.open(0, number)
    world.answer(0, number, "code 2: Invalid request")
    assert world.closed == ["refused: code 2: Invalid request"]
    world.wait(2)
    assert world.only()[0] != number


def test_a_silence_that_the_exchange_demands_is_kept() -> None:
    """Also by a connection that finds itself half-open meanwhile."""
    world = World()
    world.end(0, world.only()[0], wait_s=300)
    world.wait(299)
    assert not world.sockets[0]
    world.wait(2)
    assert world.sockets[0]


def test_streams_come_and_go_on_a_connection_that_stays() -> None:
    """Nothing is opened or closed; what is new flows as soon as it is answered, the rest on."""
    world = live_world()
    number, socket = world.only()
    machine = world.machines[0]
    world.follow(0, (*STREAMS[100:], "new@trade"))
    assert not machine.carries(STREAMS[0], world.now_s), "nobody listens to it any more"
    world.wait(TICK_S)
    assert socket.streams == [*STREAMS[100:], "new@trade"]
    assert machine.carries(STREAMS[100], world.now_s)
    assert not machine.carries("new@trade", world.now_s)
    world.answer(0, number)
    assert not machine.carries("new@trade", world.now_s), "the first answer is to the other message"
    world.answer(0, number)
    assert machine.carries("new@trade", world.now_s)
    assert world.only() == (number, socket)


def test_a_connection_without_streams_is_closed_until_it_has_some_again() -> None:
    world = live_world()
    world.follow(0, ())
    world.wait(7200)
    assert (world.closed, world.sockets[0]) == (["not needed"], {})
    world.follow(0, STREAMS[:1])
    world.wait(30, calm=True)
    assert world.machines[0].carries(STREAMS[0], world.now_s)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("wait", "calm", "day", "open", "answer", "refuse", "hear", "part", "end", "ban"),
                *("follow", "follow"),
            )
        ),
        st.integers(0, 1),  # which connection
        st.integers(0, 5),  # which socket of it, the newest first, gone ones included
        st.integers(1, 70),  # seconds
    ),
    max_size=40,
)


def happen(world: World, what: str, place: int, which: int, seconds: int) -> None:
    known = sorted([*world.sockets[place], *world.gone[place]], reverse=True)
    number = known[min(which, len(known) - 1)]
    deeds: dict[str, Any] = {
        "wait": lambda: world.wait(seconds),
        "calm": lambda: world.wait(seconds, calm=True),
        "day": lambda: leap(world, seconds * 1200.0),
        "open": lambda: world.open(place, number),
        "answer": lambda: world.answer(place, number),
        "refuse": lambda: world.answer(place, number, "code 2: no"),
        "hear": lambda: world.hear(place, number),
        "part": lambda: world.part(place, number),
        "end": lambda: world.end(place, number),
        "ban": lambda: world.end(place, number, wait_s=float(seconds)),
        "follow": lambda: world.follow(place, STREAMS[(which - 1) * 60 : which * 5 * seconds]),
    }
    deeds[what]()


def leap(world: World, seconds: float) -> None:
    """Let time pass in which everything that is there is well, without a tick each second."""
    world.wait(10, calm=True)
    for sockets in world.sockets:
        seconds = min([seconds, *(s.began_s + 22.4 * 3600 - world.now_s for s in sockets.values())])
    if seconds > 0:
        world.now_s += seconds
        world.behave()
    world.tick()


@settings(max_examples=150)
@given(EVENTS, st.integers(0, 3))
def test_any_order_of_events_keeps_the_limits_and_ends_well(
    events: list[tuple[str, int, int, int]], seed: int
) -> None:
    """`World` judges each step; as soon as the exchange is well, everything flows again."""
    world = World(connections=2, seed=seed)
    for event in events:
        happen(world, *event)
        for place in range(2):
            replaced = world.now_s < world.forbidden_s + HALF_OPEN_S
            replaced |= not world.wanted[place] or len(world.sockets[place]) > 0
            waits = world.machines[place]._open_at_s > world.now_s
            assert replaced or waits or len(world.opened_s) >= ATTEMPTS
    world.wait(max(world.forbidden_s - world.now_s, 0.0) + 2 * RULES.backoff_limit_s, calm=True)
    for machine, sockets, wanted in zip(world.machines, world.sockets, world.wanted, strict=True):
        assert all(machine.carries(stream, world.now_s) for stream in wanted)
        assert all(set(socket.streams) == wanted for socket in sockets.values())
        assert bool(sockets) == bool(wanted)


def test_a_storm_of_failures_stays_below_the_exchange_s_limit() -> None:
    """Fifty connections whose handshakes all fail: never more than half of 300 in five minutes."""
    world = World(connections=CONNECTIONS_LIMIT)
    most = 0
    while world.now_s < 1900:
        for place, sockets in enumerate(world.sockets):
            for number in list(sockets):
                world.end(place, number)
        world.wait(TICK_S)
        most = max(most, len([at for at in world.opened_s if at > world.now_s - 300.0]))
    assert 100 < most <= ATTEMPTS
