"""Which changes of a schema break its readers. Pure.

Within a major version two things hold: whoever reads by the released schema reads every event of
the new one, and whoever reads by the new one reads every event that the log still has. So fields
may come and go only while they are optional (readers pass over what they do not know, and what is
optional is not always there), words for people may change, and everything else is a new major
version: what widens a value surprises old readers, what narrows one refuses old events. A keyword
that is not known here counts as breaking, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from contracts.schemas import JsonSchema, Version, version_of

Kind = Literal["words", "compatible", "breaking"]

_WORDS: Final = frozenset({"$id", "$comment", "title", "description", "examples", "version"})
_APART: Final = frozenset({"properties", "required", "definitions", "$ref"})
_MISSING: Final = object()


class SchemaChange(msgspec.Struct, frozen=True):
    """One difference: where (`$.price`), what, and whether it breaks readers."""

    path: str
    what: str
    kind: Kind


def changes(old: JsonSchema, new: JsonSchema) -> list[SchemaChange]:
    """Every difference between a released schema and another."""
    return list(_compare(_Side(old, old), _Side(new, new), "$"))


def least_version(old: JsonSchema, new: JsonSchema) -> Version:
    """The lowest version that a schema with these changes may have."""
    major, minor = version_of(old)
    kinds = {each.kind for each in changes(old, new)}
    if "breaking" in kinds:
        return major + 1, 0
    return (major, minor + 1) if "compatible" in kinds else (major, minor)


def objection(old: JsonSchema, new: JsonSchema) -> str | None:
    """Why the new schema's version does not fit its changes; None where it does."""
    was, now, least = version_of(old), version_of(new), least_version(old, new)
    if now >= least:
        return None
    weight = {"breaking": 2, "compatible": 1, "words": 0}
    worst = max(changes(old, new), key=lambda each: weight[each.kind], default=None)
    why = "" if worst is None else f" ({worst.path}: {worst.what})"
    return f"version {_text(now)}, where {_text(least)} is due after {_text(was)}{why}"


class _Side(msgspec.Struct, frozen=True):
    """A schema, and the whole document that its references point into."""

    schema: JsonSchema
    document: JsonSchema

    def resolved(self) -> _Side:
        reference = self.schema.get("$ref")
        if reference is None:
            return self
        name = reference.removeprefix("#/definitions/")
        return _Side(self.document["definitions"][name], self.document).resolved()

    def below(self, schema: Any) -> _Side:
        return _Side(schema, self.document)

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = self.schema.get("properties", {})
        return fields

    def requires(self, name: str) -> bool:
        return name in self.schema.get("required", ())


def _compare(old: _Side, new: _Side, path: str) -> Iterator[SchemaChange]:
    yield from _words(old.schema, new.schema, path)
    old, new = old.resolved(), new.resolved()
    for keyword in sorted((old.schema.keys() | new.schema.keys()) - _WORDS - _APART):
        yield from _keyword(old, new, keyword, path)
    for name in sorted(old.fields.keys() | new.fields.keys()):
        yield from _field(old, new, name, f"{path}.{name}")


def _words(old: JsonSchema, new: JsonSchema, path: str) -> Iterator[SchemaChange]:
    for keyword in sorted(_WORDS - {"version"}):
        if old.get(keyword) != new.get(keyword):
            yield SchemaChange(path, f"{keyword} is other words", "words")


def _keyword(old: _Side, new: _Side, keyword: str, path: str) -> Iterator[SchemaChange]:
    before, after = old.schema.get(keyword, _MISSING), new.schema.get(keyword, _MISSING)
    alternatives = (before, after)
    if keyword in {"anyOf", "oneOf"} and all(isinstance(each, list) for each in alternatives):
        if len(before) == len(after):
            for number, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _compare(old.below(one), new.below(other), f"{path}[{number}]")
            return
    elif keyword == "items" and all(isinstance(each, dict) for each in alternatives):
        yield from _compare(old.below(before), new.below(after), f"{path}[]")
        return
    if _unordered(keyword, before) != _unordered(keyword, after):
        what = f"{keyword} was {_shown(before)} and is {_shown(after)}"
        yield SchemaChange(path, what, "breaking")


def _field(old: _Side, new: _Side, name: str, path: str) -> Iterator[SchemaChange]:
    required = old.requires(name), new.requires(name)
    if name not in old.fields:
        kind: Kind = "breaking" if required[1] else "compatible"
        yield SchemaChange(path, f"a new {_need(required[1])} field", kind)
    elif name not in new.fields:
        kind = "breaking" if required[0] else "compatible"
        yield SchemaChange(path, f"the {_need(required[0])} field is gone", kind)
    else:
        if required[0] != required[1]:
            yield SchemaChange(
                path, f"was {_need(required[0])} and is {_need(required[1])}", "breaking"
            )
        yield from _compare(old.below(old.fields[name]), new.below(new.fields[name]), path)


def _unordered(keyword: str, value: Any) -> Any:
    """Lists that mean sets, sorted."""
    as_set = keyword in {"enum", "type"} and isinstance(value, list)
    return sorted(value, key=str) if as_set else value


def _shown(value: Any) -> str:
    return "not there" if value is _MISSING else repr(value)


def _need(required: bool) -> str:
    return "required" if required else "optional"


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
