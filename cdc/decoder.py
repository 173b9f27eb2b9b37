"""Bytes of a topic to typed change events: one msgspec Struct a table, made from its Source.

Values stay as JSON has them (a decimal and a time are strings): `cdc.packing` turns them into
Cassandra's bytes without an object in between. Strict on purpose: a field that is gone (dropped,
renamed) or of another type is Undecodable, never a silent null; a field that was added is ignored
until its Source declares it.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast

import msgspec

from cdc.errors import Undecodable
from cdc.mapping import Field, Kind, Source
from cdc.routes import SOURCES
from contracts.change import DELETE, TRUNCATE, Origin

_JSON_TYPE: dict[Kind, Any] = {
    Kind.TEXT: str,
    Kind.JSONB: str,
    Kind.BIGINT: int,
    Kind.INT: int,
    Kind.BOOLEAN: bool,
    Kind.DECIMAL: str,
    Kind.TIMESTAMP: str,
}


class Envelope(msgspec.Struct, gc=False):
    """What places an event in the order, even where its row cannot be read."""

    source: Origin
    op: str = ""


class Change(msgspec.Struct, gc=False):
    """A decoded event; the concrete type of each table narrows `before` and `after`.

    `before` has the key columns alone: the others are not to be trusted (contracts.change).
    """

    op: Literal["c", "u", "d", "r", "t"]
    ts_us: int
    source: Origin
    before: Any = None
    after: Any = None

    @property
    def row(self) -> Any:
        """The row that the change speaks of: the new version, or of a delete its key."""
        return self.before if self.op == DELETE else self.after


def _row_type(name: str, source: Source, fields: tuple[Field, ...]) -> type[msgspec.Struct]:
    """A Struct of required fields; those of the key are never null."""

    def json_type(each: Field) -> Any:
        plain = _JSON_TYPE[each.kind]
        return plain if each.name in source.key else plain | None

    return msgspec.defstruct(
        name, [(each.name, json_type(each)) for each in fields], frozen=True, gc=False
    )


def change_type(source: Source) -> type[Change]:
    """The type of a table's events."""
    title = source.table.title().replace("_", "")
    key = _row_type(f"{title}Key", source, tuple(source.field_of(name) for name in source.key))
    row = _row_type(f"{title}Row", source, source.fields)
    fields: list[tuple[str, Any, Any]] = [("before", key | None, None), ("after", row | None, None)]
    made = msgspec.defstruct(f"{title}Change", fields, bases=(Change,), gc=False)
    return cast("type[Change]", made)


_PATH = re.compile(r"`(\$[^`]*)`$")


class Decoder:
    """Decodes the events of one table."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._decode = msgspec.json.Decoder(change_type(source)).decode

    def decode(self, value: bytes) -> Change:
        """Return the change; Undecodable names the path of what is wrong, never a value."""
        try:
            change = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            path = _PATH.search(str(error))
            message = f"{self.source.table}: {error}"
            raise Undecodable(message, path[1] if path else "") from error
        if change.row is None and change.op != TRUNCATE:
            side = "before" if change.op == DELETE else "after"
            message = f"{self.source.table}: op {change.op!r} without `{side}`"
            raise Undecodable(message, f"$.{side}")
        return change


_decode_envelope = msgspec.json.Decoder(Envelope).decode


def envelope_of(value: bytes) -> Envelope | None:
    """The envelope of an event that is otherwise undecodable, if there is one."""
    try:
        return _decode_envelope(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def decoders() -> dict[str, Decoder]:
    """A decoder for each source table."""
    return {source.table: Decoder(source) for source in SOURCES}
