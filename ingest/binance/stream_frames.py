"""Frames of a combined WebSocket connection. Pure: what cannot be read is told, never raised.

    {"stream": "btcusdt@trade", "data": {…}}        an event
    {"result": null, "id": 7}                       the answer to a message of ours
    {"e": "serverShutdown", …}, wrapped or not      the server will close soon

Source: Binance's "WebSocket Streams" documents of August 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from ingest.binance.book_messages import read_diff, read_top
from ingest.binance.rows import UNREADABLE, BadValueError, reject
from ingest.binance.stream_messages import (
    WHOLE_MARKET,
    Told,
    read_kline,
    read_mini_ticker,
    read_trade,
    read_whole_market,
)

_FAREWELL: Final = "serverShutdown"
_REFUSAL_LIMIT: Final = 200  # characters
_NAME_LIMIT: Final = 60
_READERS: Final[dict[str, Callable[[msgspec.Raw, str, str], Told]]] = {
    WHOLE_MARKET: read_whole_market,
    "@trade": read_trade,
    "@kline": read_kline,
    "@miniTicker": read_mini_ticker,
    "@depth": read_diff,
    "@bookTicker": read_top,
}


class Reply(msgspec.Struct, frozen=True):
    """The answer to our message number `id`; `refusal` says why not, "" where it was accepted."""

    id: int | str | None
    refusal: str = ""


class Farewell(msgspec.Struct, frozen=True):
    """serverShutdown: the server is about to close; connect anew, now."""


Frame: TypeAlias = Reply | Farewell | Told


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Envelope(msgspec.Struct):
    stream: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Error | None = None
    code: int | None = None
    msg: str = ""
    e: str | None = None


class _Kind(msgspec.Struct):
    e: str = ""


_envelope = msgspec.json.Decoder(_Envelope)
_kind = msgspec.json.Decoder(_Kind)


def read_frame(frame: bytes | str, venue: str) -> Frame:
    """One text frame; what is wrong with it is among the rejected of what it told."""
    raw = frame.encode("utf-8", "backslashreplace") if isinstance(frame, str) else frame
    try:
        envelope = _envelope.decode(raw)
    except UNREADABLE as error:
        return _unread(venue, f"no frame that we know ({error})", raw)
    if envelope.e == _FAREWELL:
        return Farewell()
    if envelope.stream is not None and not isinstance(envelope.data, msgspec.UnsetType):
        return _event(envelope.stream, envelope.data, venue)
    return _reply(envelope) or _unread(venue, "neither an event nor an answer", raw)


def kind_of(stream: str) -> str:
    """`btcusdt@kline_1m` → `@kline`; a stream of the whole market is its own kind; "" → unread."""
    if not stream:
        return "unread"
    if stream.startswith("!"):
        return stream
    return "@" + stream.partition("@")[2].partition("@")[0].partition("_")[0]


def _reply(envelope: _Envelope) -> Reply | None:
    error = envelope.error
    if error is None and envelope.code is not None:
        error = _Error(envelope.code, envelope.msg)
    if error is not None:
        return Reply(envelope.id, f"code {error.code}: {error.msg}"[:_REFUSAL_LIMIT])
    if isinstance(envelope.result, msgspec.UnsetType):
        return None
    return Reply(envelope.id)


def _event(stream: str, data: msgspec.Raw, venue: str) -> Frame:
    kind = kind_of(stream)
    read = _READERS.get(kind)
    if read is None:
        return _unasked(stream, data, venue)
    try:
        return read(data, venue, stream)
    except (*UNREADABLE, BadValueError) as error:
        return Told(stream, rejected=[reject(venue, kind, str(error), data)])


def _unasked(stream: str, data: msgspec.Raw, venue: str) -> Frame:
    """An event of a stream that nobody reads: a wrapped farewell, or evidence."""
    try:
        if _kind.decode(data).e == _FAREWELL:
            return Farewell()
    except UNREADABLE:
        pass
    return _unread(venue, f"an event of {stream[:_NAME_LIMIT]!r}, which nobody reads", bytes(data))


def _unread(venue: str, reason: str, raw: bytes) -> Told:
    # the endpoint labels a metric, so it is no text of the other side
    return Told(rejected=[reject(venue, "stream", reason, raw)])
