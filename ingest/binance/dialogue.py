"""What a connection's state machine is told, and what it wants done. Numbers tell sockets apart."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Opened(msgspec.Struct, frozen=True):
    """The handshake is done."""

    socket: int


class Heard(msgspec.Struct, frozen=True):
    """A frame of any kind came, a ping included."""

    socket: int


class Answered(msgspec.Struct, frozen=True):
    """The exchange answered our message; `refusal` is "" where it accepted it."""

    socket: int
    message: int
    refusal: str = ""


class Parting(msgspec.Struct, frozen=True):
    """The exchange said serverShutdown."""

    socket: int


class Ended(msgspec.Struct, frozen=True):
    """The socket did not open, or is closed, and not by us; none is to be opened for `wait_s`."""

    socket: int
    wait_s: float = 0.0


Event: TypeAlias = Opened | Heard | Answered | Parting | Ended


class Open(msgspec.Struct, frozen=True):
    """Open a socket; Opened or Ended is to follow."""

    socket: int


class Subscribe(msgspec.Struct, frozen=True):
    """Send a SUBSCRIBE with this id; Answered is to follow."""

    socket: int
    message: int
    streams: tuple[str, ...]


class Unsubscribe(msgspec.Struct, frozen=True):
    """Send an UNSUBSCRIBE with this id; Answered is to follow."""

    socket: int
    message: int
    streams: tuple[str, ...]


class Close(msgspec.Struct, frozen=True):
    """Close a socket and forget it; nothing is to follow."""

    socket: int
    reason: str


Action: TypeAlias = Open | Subscribe | Unsubscribe | Close
