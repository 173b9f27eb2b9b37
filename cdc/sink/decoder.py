"""Bytes of a topic to typed change events: one msgspec Struct a table, made from its Source.

Values stay as JSON has them (a decimal and a time are strings): `cdc.sink.packing` turns them into
Cassandra's bytes without an object in between. Strict on purpose: a field that is gone (dropped,
renamed) or of another type is Undecodable, never a silent null; a field that was added is ignored
until its Source declares it.

Events from before a declared change of the schema (`Field.added`, …) are read in a second attempt,
so that those of today cost nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

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


_LACKS = {"lacks": True}


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row's values by column; each table has a subclass.

    `lacks`: some are UNSET, for the event is from before their columns were added.
    """

    lacks: ClassVar[bool] = False


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


def _json_type(source: Source, each: Field) -> Any:
    """A field's type in JSON; one of the key is never null."""
    plain = _JSON_TYPE[each.kind]
    return plain if each.name in source.key else plain | None


def _struct(name: str, fields: list[Any], **options: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, fields, frozen=True, gc=False, **options)


def _title(source: Source) -> str:
    return source.table.title().replace("_", "")


def row_type(source: Source) -> type[msgspec.Struct]:
    """A Struct of a whole row: every field is required."""
    fields = [(each.name, _json_type(source, each)) for each in source.fields]
    return _struct(f"{_title(source)}Row", fields, bases=(Row,))


def key_type(source: Source) -> type[msgspec.Struct]:
    """A Struct of a row's key."""
    declared = [source.field_of(name) for name in source.key]
    fields = [(each.name, _json_type(source, each)) for each in declared]
    return _struct(f"{_title(source)}Key", fields, bases=(Row,))


def change_type(source: Source) -> type[Change]:
    """The type of a table's events as they are today."""
    return _change_type(_title(source), key_type(source), row_type(source))


def _change_type(title: str, key: type[msgspec.Struct], row: type[msgspec.Struct]) -> type[Change]:
    fields: list[tuple[str, Any, Any]] = [("before", key | None, None), ("after", row | None, None)]
    made = msgspec.defstruct(f"{title}Change", fields, bases=(Change,), gc=False)
    return cast("type[Change]", made)


class _Form:
    """What a row, or a key, looked like before the declared changes of its fields."""

    def __init__(self, source: Source, fields: Sequence[Field], now: type[msgspec.Struct]) -> None:
        self._fields = fields
        self._now = now
        self._lacking = _struct(f"{now.__name__}Lacking", [], bases=(now,), namespace=_LACKS)
        shape: list[Any] = []
        for each in fields:
            json_type = _json_type(source, each)
            if each.retyped_from is not None:
                json_type |= _JSON_TYPE[each.retyped_from]
            if each.added or each.renamed_from:
                json_type |= UnsetType
                shape += [(name, json_type, UNSET) for name in (each.name, *each.renamed_from)]
            else:
                shape.append((each.name, json_type))
        self.type = _struct(f"{now.__name__}Earlier", shape, kw_only=True)

    def today(self, row: Any) -> Any:
        """The row in its form of today; None where it lacks a field that every event has."""
        values = [self._value(row, each) for each in self._fields]
        for each, value in zip(self._fields, values, strict=True):
            if value is UNSET and not each.may_lack:
                return None
        return (self._lacking if UNSET in values else self._now)(*values)

    @staticmethod
    def _value(row: Any, each: Field) -> Any:
        for name in (each.name, *each.renamed_from):
            value = getattr(row, name)
            if value is not UNSET:
                fits = value is None or type(value) is _JSON_TYPE[each.kind]
                return value if fits else UNSET
        return UNSET


class _EarlierDecoder:
    """Decodes events from before the declared changes of a table's schema."""

    def __init__(self, source: Source) -> None:
        declared = [source.field_of(name) for name in source.key]
        self._key = _Form(source, declared, key_type(source))
        self._row = _Form(source, source.fields, row_type(source))
        shape = _change_type(f"{_title(source)}Earlier", self._key.type, self._row.type)
        self._decode = msgspec.json.Decoder(shape).decode

    def decode(self, value: bytes) -> Change | None:
        """The change, its row as of today; None where it is no such event either."""
        try:
            change = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if change.op == DELETE and change.before is not None:
            change.before = self._key.today(change.before)
        elif change.op != DELETE and change.after is not None:
            change.after = self._row.today(change.after)
        return None if change.row is None and change.op != TRUNCATE else change


_PATH = re.compile(r"`(\$[^`]*)`$")


class Decoder:
    """Decodes the events of one table."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._decode = msgspec.json.Decoder(change_type(source)).decode
        changed = any(each.changed for each in source.fields)
        self._decode_earlier = _EarlierDecoder(source).decode if changed else _none

    def decode(self, value: bytes) -> Change:
        """Return the change; Undecodable names the path of what is wrong, never a value."""
        try:
            change = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            earlier = self._decode_earlier(value)
            if earlier is None:
                path = _PATH.search(str(error))
                message = f"{self.source.table}: {error}"
                raise Undecodable(message, path[1] if path else "") from error
            change = earlier
        if change.row is None and change.op != TRUNCATE:
            side = "before" if change.op == DELETE else "after"
            message = f"{self.source.table}: op {change.op!r} without `{side}`"
            raise Undecodable(message, f"$.{side}")
        return change


def _none(_value: bytes) -> Change | None:
    return None


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
