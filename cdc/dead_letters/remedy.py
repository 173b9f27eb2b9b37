"""What a person types where a letter cannot be redriven: touch its row in PostgreSQL. Pure."""

from __future__ import annotations

import shlex

import msgspec

from cdc.dead_letters.letter import Letter
from cdc.routes import SOURCES

_KEYS = {source.table: source.key for source in SOURCES}


def touch_remedy(letter: Letter) -> str:
    """The command that sends the letter's row again, as far as its key can be read."""
    if letter.table not in _KEYS:
        return "no table of ours is concerned; `tidemark dlq show` has its bytes"
    where = _condition(letter)
    row = "the row" if where else "the rows it may concern"
    argument = f" --where {_quoted(where)}" if where else ""
    return f"touch {row} instead: tidemark resync {letter.table}{argument}"


def _condition(letter: Letter) -> str | None:
    """The row's key as an SQL condition, None where the event's key is not that of its table."""
    try:
        key = msgspec.json.decode(letter.key or b"", type=dict[str, str | int | bool])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    names = _KEYS[letter.table]
    if set(key) != set(names):
        return None
    return " AND ".join(f"{name} = {_literal(key[name])}" for name in names)


def _quoted(condition: str) -> str:
    """As one word of a shell; it holds single quotes, so double ones where they do no more."""
    if any(special in condition for special in '"$`\\!'):
        return shlex.quote(condition)
    return f'"{condition}"'


def _literal(value: str | int) -> str:
    """A value as SQL writes it; a time is a text that PostgreSQL reads."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower()
