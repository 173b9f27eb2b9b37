"""The JSON Schema of a table's change events, made from its Source. Pure.

`contracts/changes/` holds one file a table, for readers that are not ours; `tidemark contracts
write` writes them, and a test tells when one is out of date.
"""

from __future__ import annotations

from typing import Any, Final

from cdc.mapping import Field, Kind, Source
from contracts.change import CREATE, DELETE, INCREMENTAL, READ, TRUNCATE, UPDATE

JsonSchema = dict[str, Any]

FIRST: Final = "1.0"

_NULL: Final = {"type": "null"}
_VALUE: Final[dict[Kind, JsonSchema]] = {
    Kind.TEXT: {"type": "string"},
    Kind.JSONB: {"type": "string", "contentMediaType": "application/json"},
    Kind.BIGINT: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    Kind.INT: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DECIMAL: {
        "type": "string",
        "pattern": r"^(-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?|NAN|-?infinity)$",
    },
    Kind.TIMESTAMP: {
        "type": "string",
        "pattern": r"^[+-]?[0-9]{4,9}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(Z|[+-][0-9:]{4,8})$",
    },
}
_SOURCE: Final[JsonSchema] = {
    "description": "Where in PostgreSQL's log the change stands; its order among all changes is "
    "max(sequence[0], lsn), then its place in its transaction.",
    "type": "object",
    "required": ["table", "ts_us", "snapshot"],
    "properties": {
        "table": {"type": "string"},
        "ts_us": {"description": "Commit, of snapshot rows reading; µs.", "type": "integer"},
        "snapshot": {
            "description": f"false: from the log; {INCREMENTAL}; else of the initial snapshot.",
            "type": "string",
        },
        "lsn": {"type": ["integer", "null"], "multipleOf": 8},
        "sequence": {
            "description": "JSON: [LSN of the previous commit or null, LSN of the change].",
            "type": ["string", "null"],
        },
        "txId": {"type": ["integer", "null"]},
    },
}


def change_schema(source: Source, version: str = FIRST) -> JsonSchema:
    """The schema of one table's topic; `version` by the rules of `contracts.compatibility`."""
    key = [source.field_of(name) for name in source.key]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"urn:tidemark:change:{source.table}",
        "title": f"A change of the table {source.table}",
        "description": f"Topic market.g<generation>.public.{source.table}, keyed by its primary "
        "key. `after` is the whole row, of a deletion null; `before` holds the key of what was, "
        "and what else it holds is not to be trusted. A text that was large and did not change "
        "may stand as the connector's placeholder.",
        "version": version,
        "key": list(source.key),
        "type": "object",
        "required": ["before", "after", "source", "op", "ts_us"],
        "properties": {
            "before": {"anyOf": [_NULL, {"$ref": "#/definitions/key"}]},
            "after": {"anyOf": [_NULL, {"$ref": "#/definitions/row"}]},
            "source": _SOURCE,
            "op": {
                "description": "create, update, delete, read by a snapshot, truncate",
                "enum": [CREATE, UPDATE, DELETE, READ, TRUNCATE],
            },
            "ts_us": {"description": "When Debezium saw it; µs.", "type": "integer"},
        },
        "definitions": {"key": _object(source, key), "row": _object(source, source.fields)},
    }


def _object(source: Source, fields: tuple[Field, ...] | list[Field]) -> JsonSchema:
    return {
        "type": "object",
        "required": [each.name for each in fields if not each.may_lack],
        "properties": {each.name: _property(source, each) for each in fields},
    }


def _property(source: Source, each: Field) -> JsonSchema:
    """A value of the key is never null; whether another may be is PostgreSQL's business."""
    value = _VALUE[each.kind]
    return value if each.name in source.key else value | {"type": [value["type"], "null"]}
