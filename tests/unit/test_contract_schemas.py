"""The schemas are what the Python types are, what was released, and what the examples obey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdc.change_schema import change_schema
from cdc.dead_letters.letter import headers
from cdc.errors import Undecodable
from cdc.mapping import Source
from cdc.routes import SOURCES
from cdc.sink.decoder import decoders
from contracts import schemas
from contracts.compatibility import objection
from contracts.events import VERSION, DeadPriceEvent, PriceEvent
from tests.contract_schemas import admits, compiled, validator
from tests.unit.test_cdc_dead_letters import Message

CURRENT = schemas.current()
TYPES: list[type[PriceEvent | DeadPriceEvent]] = [PriceEvent, DeadPriceEvent]
EXAMPLES = sorted(schemas.EXAMPLES.rglob("*.json"))
WORDS = {"title", "description"}


def schema_name(example: Path) -> str:
    return example.relative_to(schemas.EXAMPLES).as_posix().partition(".")[0]


def load(example: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(example.read_text(encoding="utf-8"))
    return found


def bare(schema: Any, document: dict[str, Any], below: str) -> Any:
    """A schema with its references followed and without its words."""
    if isinstance(schema, list):
        return [bare(each, document, below) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return bare(document[below][schema["$ref"].rpartition("/")[2]], document, below)
    return {
        name: bare(each, document, below)
        for name, each in schema.items()
        if name not in WORDS or isinstance(each, dict)
    }


def shape(schema: dict[str, Any], below: str) -> tuple[dict[str, Any], set[str]]:
    """(properties, required ones) of an object."""
    whole = bare(schema, schema, below)
    return whole["properties"], set(whole["required"])


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.SCHEMA)
def test_a_schema_and_its_python_type_say_the_same(
    kind: type[PriceEvent | DeadPriceEvent],
) -> None:
    """Field by field: names, types, patterns, limits, and which are required."""
    of_type = msgspec.json.schema(kind, ref_template="#/$defs/{name}")
    whole = bare(of_type, of_type, "$defs")
    properties, required = shape(CURRENT[kind.SCHEMA], "definitions")
    for each in whole["properties"].values():
        if each.pop("contentEncoding", None):
            each["contentEncoding"] = "base64"
    assert properties == whole["properties"]
    assert required == set(whole["required"])


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.SCHEMA)
def test_events_bear_the_version_of_their_schema(kind: type[PriceEvent | DeadPriceEvent]) -> None:
    """`type` and `schema_version` say which schema an event obeys."""
    assert CURRENT[kind.SCHEMA]["version"] == VERSION


@pytest.mark.parametrize("name", CURRENT)
def test_a_schema_fits_what_was_released(name: str) -> None:
    """A change that breaks readers needs a new major version; `tidemark contracts check` tells."""
    last = schemas.released(name)
    assert last is not None, f"{name} was never released: `tidemark contracts write`"
    assert objection(last, CURRENT[name]) is None
    assert schemas.version_of(last) == schemas.version_of(CURRENT[name]), "release it, too"


def test_nothing_that_was_released_is_gone() -> None:
    """Readers of a topic whose schema vanished would not know what they read."""
    names = {
        path.relative_to(schemas.RELEASED).as_posix().rpartition("-")[0]
        for path in schemas.RELEASED.rglob(f"*{schemas.SUFFIX}")
    }
    assert names == set(CURRENT)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_obeys_its_schema(example: Path) -> None:
    """By a validator that is not ours."""
    validator(schema_name(example))(load(example))


def test_the_price_has_two_examples() -> None:
    """One of an exchange, one of a source that knows whole coins, and both are our types."""
    found = [each for each in EXAMPLES if schema_name(each) == PriceEvent.SCHEMA]
    assert len(found) == 2
    for each in found:
        event = msgspec.json.decode(each.read_bytes(), type=PriceEvent)
        assert msgspec.to_builtins(event) == load(each)
    (dead,) = [each for each in EXAMPLES if schema_name(each) == DeadPriceEvent.SCHEMA]
    bad = msgspec.json.decode(dead.read_bytes(), type=DeadPriceEvent)
    assert bad.raw_base64 == b'{"symbol":"BTCUSDT","price":"-1"}'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("price", value) for value in ("0", "0.000", "-1", "1e5", "NaN", "1.", ".5", 1, None)],
        *[("coin_id", value) for value in ("", "a|b", "a\tb", "x" * 101, None)],
        *[("ts_event", value) for value in ("2026-11-29", "2026-11-29T06:00:00Z", 1795932000123)],
        ("market_cap_rank", 0),
        ("market_cap", None),
        ("schema_version", "2.0"),
    ],
)
def test_schema_and_type_refuse_the_same_prices(field: str, value: object) -> None:
    """What must never go out is refused by both."""
    event = load(schemas.EXAMPLES / "event_crypto_price.coingecko.json") | {field: value}
    assert not admits(PriceEvent.SCHEMA, event)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(event, PriceEvent)


@pytest.mark.parametrize("field", ["source", "price", "ts_event", "vs_currency"])
def test_schema_and_type_want_every_required_field(field: str) -> None:
    event = load(schemas.EXAMPLES / "event_crypto_price.exchange.json")
    del event[field]
    assert not admits(PriceEvent.SCHEMA, event)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(event, PriceEvent)


def test_a_field_of_a_later_version_is_passed_over() -> None:
    """Readers of 1.1 read 1.2."""
    event = load(schemas.EXAMPLES / "event_crypto_price.exchange.json")
    later = event | {"schema_version": "1.2", "confidence": 1}
    assert admits(PriceEvent.SCHEMA, later)
    assert msgspec.convert(later, PriceEvent).schema_version == "1.2"


def test_every_replicated_table_has_its_schema() -> None:
    """`tidemark contracts write` writes them from cdc/tables.py; none is written by hand."""
    of_tables = {name: schema for name, schema in CURRENT.items() if "/" in name}
    made = {
        name: change_schema(source, of_tables[name]["version"])
        for source in SOURCES
        if (name := f"changes/{source.table}") in of_tables
    }
    assert of_tables == made
    assert len(of_tables) == len(SOURCES)


def change(source: Source) -> dict[str, Any]:
    """An update of a table, made of the kinds of its columns."""
    sample = {
        "text": "BTC",
        "jsonb": '[["1", "2"]]',
        "bigint": 2**62,
        "int": 7,
        "boolean": True,
        "decimal": "0E-18",
        "timestamp": "2026-11-29T06:00:00.123000Z",
    }
    after = {each.name: sample[each.kind.value] for each in source.fields}
    example = load(schemas.EXAMPLES / "changes" / "prices.create.json")
    place = example["source"] | {"table": source.table}
    return example | {"op": "u", "after": after, "source": place}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.table)
def test_a_tables_schema_and_the_sinks_decoder_agree(source: Source) -> None:
    """Each column in turn: gone, null, of another type."""
    decode, name = decoders()[source.table].decode, f"changes/{source.table}"
    event = change(source)
    assert admits(name, event)
    assert decode(json.dumps(event).encode()).row is not None
    for each in source.fields:
        for wrong in ("gone", None, ["no", "such", "value"]):
            after = {key: value for key, value in event["after"].items() if key != each.name}
            if wrong != "gone":
                after[each.name] = wrong
            spoilt = event | {"after": after}
            try:
                decode(json.dumps(spoilt).encode())
            except Undecodable:
                decoded = False
            else:
                decoded = True
            assert admits(name, spoilt) == decoded, (each.name, wrong)


def as_text(header: str | bytes | None) -> str:
    return header.decode() if isinstance(header, bytes) else header or ""


def test_a_letters_headers_obey_their_schema() -> None:
    """Whole and cut, with a place in the order and without."""
    for event, timestamp, cut in (
        (Message(), None, None),
        (Message(body=b"junk", key_=b"k" * 70_000), 76596153577463809, 9_000_000),
    ):
        error = Undecodable("prices: broken", "$.after.price")
        said = headers(event, table="prices", error=error, timestamp=timestamp, cut_from=cut)
        assert admits("dead_letter", {name: as_text(text) for name, text in said})


def test_a_schema_must_be_one() -> None:
    """The validator refuses a schema that is none, so the tests above mean something."""
    with pytest.raises(Exception, match="type"):
        compiled({"type": "no such type"})({})
