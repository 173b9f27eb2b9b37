"""What one WebSocket connection listens to, and its dialogue about it. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from simulator.errors import SimulatorError
from simulator.rest import Exchange, Moment
from simulator.streams import Stream, stream

_MOST_STREAMS = 1024
_LOOK_AGAIN_US = 1_000_000  # for a symbol that was not listed
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class RequestError(SimulatorError):
    """A message of the client that the exchange refuses."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Subscriptions:
    """The streams of a connection by name. `combined`: events name their stream."""

    def __init__(self, exchange: Exchange, *, combined: bool) -> None:
        self._exchange = exchange
        self._combined = combined
        self._streams: dict[str, Stream | None] = {}
        self._due_us: dict[str, int] = {}

    def add(self, name: str, moment: Moment) -> None:
        """Subscribe; a name that means nothing is kept, and is silent until it does."""
        if name not in self._streams:
            self._streams[name] = stream(self._exchange, name, moment)
            self._due_us[name] = 0

    def renew(self, symbol: str, moment: Moment) -> None:
        """Take the streams of a symbol up anew; of one that is gone they are silent."""
        for name in self._streams:
            if name.partition("@")[0].upper() == symbol:
                self._streams[name] = stream(self._exchange, name, moment)

    def news(self, moment: Moment) -> Iterator[tuple[str, str, list[str]]]:
        """(stream, symbol, events) of each stream that has something to say now."""
        for name in list(self._streams):
            if moment.now_us < self._due_us[name]:
                continue
            source = self._streams[name]
            if source is None:
                source = self._streams[name] = stream(self._exchange, name, moment)
            if source is None:
                self._due_us[name] = moment.now_us + _LOOK_AGAIN_US
                continue
            if source.every_us:
                self._due_us[name] = (moment.now_us // source.every_us + 1) * source.every_us
            events = source.news(moment)
            if events:
                yield name, source.symbol, events

    def wrapped(self, name: str, event: str) -> str:
        """An event as it goes out."""
        return f'{{"stream":"{name}","data":{event}}}' if self._combined else event

    def reply(self, text: str, moment: Moment) -> str:
        """The answer to a message of the client, after doing what it asks."""
        number: object = None
        try:
            request = _parsed(text)
            number = request.get("id")
            answer = {"result": self._done(request, moment), "id": number}
        except RequestError as error:
            answer = {"code": error.code, "msg": str(error)}
            if number is not None:
                answer["id"] = number
        return json.dumps(answer, ensure_ascii=False)

    def _done(self, request: dict[str, Any], moment: Moment) -> object:
        match request["method"]:
            case "LIST_SUBSCRIPTIONS":
                return list(self._streams)
            case "GET_PROPERTY":
                return self._combined
            case "SET_PROPERTY":
                self._combined = request.get("params") == ["combined", True]
            case "SUBSCRIBE":
                names = _names(request)
                if len({*self._streams, *names}) > _MOST_STREAMS:
                    raise RequestError(2, f"Invalid request: more than {_MOST_STREAMS} streams")
                for name in names:
                    self.add(name, moment)
            case _:
                for name in _names(request):
                    self._streams.pop(name, None)
        return None


def requested(text: str) -> tuple[str, list[str]]:
    """Method and stream names of a message; ("", []) where it is none."""
    try:
        request = _parsed(text)
        return request["method"], _names(request)
    except RequestError:
        return "", []


def _parsed(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except ValueError as error:
        raise RequestError(3, f"Invalid JSON: {error}") from error
    if not isinstance(request, dict) or "method" not in request:
        raise RequestError(2, "Invalid request: missing field `method`")
    if request["method"] not in _METHODS:
        known = ", ".join(f"`{method}`" for method in _METHODS)
        raise RequestError(
            2, f"Invalid request: unknown variant `{request['method']}`, expected one of {known}"
        )
    return request


def _names(request: dict[str, Any]) -> list[str]:
    names = request.get("params")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(2, "Invalid request: params must be an array of stream names")
    return names
