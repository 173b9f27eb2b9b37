"""Bodies gone wrong: pure functions from JSON text to something worse."""

from __future__ import annotations

import json
import uuid
from typing import Any

from simulator.faults import Corruption, Duplicate, Hide, Omit, Replace, Rescale, Reverse

_BOOK_SIDES = ("bids", "asks", "b", "a")
_TIMES_FROM = 10**12  # whole numbers from here on are times in ms or µs


def corrupted(text: str, action: Corruption) -> str:
    """The body after the action; a body that has no such rows or fields stays as it is."""
    body = json.loads(text)
    bare: dict[str, str] = {}
    match action:
        case Replace():
            _replace(body, action, bare)
        case Rescale(factor=factor):
            body = _rescaled(body, factor)
        case Omit(field=field, row=row):
            for target in _rows(body, row):
                _omit(target, field)
        case Duplicate(times=times) if isinstance(body, list):
            body = [row for row in body for _ in range(times)]
        case Reverse() if isinstance(body, list):
            body.reverse()
        case Hide(first=first, last=last, field=field) if isinstance(body, list):
            body = [row for row in body if not first <= _get(row, field, -1) <= last]
        case _:
            pass
    result = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    for marker, token in bare.items():
        result = result.replace(f'"{marker}"', token)
    return result


def _rows(body: Any, row: int | str) -> list[Any]:
    """The objects or arrays that a fault means: rows of a list, or the single answer."""
    if isinstance(body, dict):
        inner = body.get("symbols")  # exchangeInfo
        return _rows(inner, row) if isinstance(inner, list) else [body]
    if not isinstance(body, list):
        return []
    if row == "all":
        return body
    return [body[int(row)]] if -len(body) <= int(row) < len(body) else []


def _replace(body: Any, action: Replace, bare: dict[str, str]) -> None:
    value = action.value
    if action.bare:
        marker = uuid.uuid4().hex
        bare[marker], value = str(action.value), marker
    targets = _rows(body, "all" if action.where else action.row)
    for target in targets:
        if all(_get(target, name, None) == wanted for name, wanted in action.where.items()):
            _put(target, action.field, value)


def _get(target: Any, field: str | int, default: Any) -> Any:
    if isinstance(target, dict):
        return target.get(field, default)
    if isinstance(target, list) and isinstance(field, int) and field < len(target):
        return target[field]
    return default


def _put(target: Any, field: str | int, value: Any) -> None:
    present = _get(target, field, _ABSENT)
    if field in _BOOK_SIDES and isinstance(present, list):
        _put_price(present, value)
    elif present is not _ABSENT:
        target[field] = value


def _put_price(levels: list[list[Any]], price: Any) -> None:
    """Into the first level that is one; a diff may hold nothing, or only levels that are gone."""
    for level in levels:
        if float(level[1]):
            level[0] = price
            return
    levels.insert(0, [price, "1"])


def _omit(target: Any, field: str | int) -> None:
    if _get(target, field, _ABSENT) is not _ABSENT:
        del target[field]


def _rescaled(value: Any, factor: float) -> Any:
    if isinstance(value, dict):
        return {name: _rescaled(item, factor) for name, item in value.items()}
    if isinstance(value, list):
        return [_rescaled(item, factor) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= _TIMES_FROM:
        return int(value * factor)
    return value


_ABSENT = object()
