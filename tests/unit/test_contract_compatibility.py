"""Each kind of change of a schema, and whether it breaks who reads by the released one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from contracts.compatibility import changes, least_version, objection
from contracts.schemas import load, name_of, released_path, version_of

SCHEMA: dict[str, Any] = {
    "title": "A price",
    "version": "1.4",
    "key": ["coin"],
    "type": "object",
    "required": ["coin", "price"],
    "properties": {
        "coin": {"type": "string", "pattern": "^[a-z]+$"},
        "price": {"$ref": "#/definitions/amount"},
        "rank": {"type": ["integer", "null"], "minimum": 1},
        "side": {"enum": ["bid", "ask"]},
        "before": {"anyOf": [{"type": "null"}, {"$ref": "#/definitions/amount"}]},
        "levels": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "object", "required": ["at"], "properties": {"at": {"type": "integer"}}},
    },
    "definitions": {"amount": {"type": "string", "pattern": "^[0-9]+$"}},
}


def changed(*path: str | int, to: Any = None) -> dict[str, Any]:
    """SCHEMA with one place set, or removed where `to` is None."""
    made = copy.deepcopy(SCHEMA)
    at: Any = made
    for step in path[:-1]:
        at = at[step]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return made


def kinds(new: dict[str, Any]) -> set[str]:
    return {each.kind for each in changes(SCHEMA, new)}


def test_the_same_schema_has_no_changes() -> None:
    """Nor has one that says the same with its lists in another order, or without references."""
    assert changes(SCHEMA, copy.deepcopy(SCHEMA)) == []
    assert changes(SCHEMA, changed("required", to=["price", "coin"])) == []
    assert changes(SCHEMA, changed("properties", "side", "enum", to=["ask", "bid"])) == []
    inlined = changed("properties", "price", to=SCHEMA["definitions"]["amount"])
    assert changes(SCHEMA, inlined) == []


def test_words_are_free() -> None:
    assert kinds(changed("title", to="What it costs")) == {"words"}
    described = changed("properties", "coin", "description", to="its name")
    assert kinds(described) == {"words"}
    assert objection(SCHEMA, described) is None


@pytest.mark.parametrize(
    "new",
    [
        changed("properties", "note", to={"type": "string"}),
        changed("properties", "rank"),
        changed("properties", "place", "properties", "by", to={"type": "string"}),
    ],
    ids=["added", "removed", "added inside"],
)
def test_optional_fields_come_and_go(new: dict[str, Any]) -> None:
    """Who reads passes over what it does not know; the minor version tells."""
    assert kinds(new) == {"compatible"}
    assert least_version(SCHEMA, new) == (1, 5)
    assert "1.5 is due" in (objection(SCHEMA, new) or "")
    assert objection(SCHEMA, new | {"version": "1.5"}) is None


@pytest.mark.parametrize(
    ("new", "path"),
    [
        (changed("properties", "coin"), "$.coin"),
        (changed("required", to=["coin"]), "$.price"),
        (changed("required", to=["coin", "price", "rank"]), "$.rank"),
        (changed("properties", "coin", "type", to="integer"), "$.coin"),
        (changed("properties", "rank", "type", to="integer"), "$.rank"),
        (changed("properties", "rank", "minimum", to=0), "$.rank"),
        (changed("properties", "rank", "minimum"), "$.rank"),
        (changed("properties", "rank", "maximum", to=9), "$.rank"),
        (changed("properties", "side", "enum", to=["bid", "ask", "mid"]), "$.side"),
        (changed("properties", "side", "enum", to=["bid"]), "$.side"),
        (changed("properties", "coin", "pattern", to="^.+$"), "$.coin"),
        (changed("definitions", "amount", "pattern", to="^.+$"), "$.price"),
        (changed("properties", "before", "anyOf", 1, to={"type": "string"}), "$.before[1]"),
        (changed("properties", "before", "anyOf", to=[{"type": "null"}]), "$.before"),
        (changed("properties", "levels", "items", to={"type": "number"}), "$.levels[]"),
        (changed("properties", "place", "required", to=[]), "$.place.at"),
        (changed("additionalProperties", to=False), "$"),
        (changed("key", to=["coin", "at"]), "$"),
        (changed("properties", "coin", "no-such-keyword", to=1), "$.coin"),
    ],
)
def test_everything_else_breaks_readers(new: dict[str, Any], path: str) -> None:
    """Old readers would meet what they cannot read, or new ones refuse what the log still has."""
    assert path in {each.path for each in changes(SCHEMA, new) if each.kind == "breaking"}
    assert least_version(SCHEMA, new) == (2, 0)
    assert "2.0 is due" in (objection(SCHEMA, new | {"version": "1.5"}) or "")
    assert objection(SCHEMA, new | {"version": "2.0"}) is None


def test_a_new_required_field_breaks_who_reads_the_log_again() -> None:
    new = changed("properties", "at", to={"type": "string"})
    new["required"] = [*new["required"], "at"]
    assert kinds(new) == {"breaking"}


def test_a_version_never_goes_back() -> None:
    assert "1.4 is due" in (objection(SCHEMA, SCHEMA | {"version": "1.3"}) or "")


@pytest.mark.parametrize("version", ["", "1", "1.x", "one.two", 1])
def test_a_schema_without_a_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match='needs a "version"'):
        version_of({"version": version})


def test_a_broken_file_is_named() -> None:
    """Names and paths of copies belong together."""
    path = released_path("changes/prices", (1, 0))
    assert name_of(path) == "released/changes/prices-1.0"
    with pytest.raises(ValueError, match=r"README\.md is no JSON"):
        load(path.parents[3] / "README.md")
