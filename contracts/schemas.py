"""The JSON Schemas of the topics, their examples, and the copies that were released."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent
CHANGES: Final = FOLDER / "changes"
RELEASED: Final = FOLDER / "released"
EXAMPLES: Final = FOLDER / "EXAMPLES"
SUFFIX: Final = ".schema.json"

JsonSchema = dict[str, Any]
Version = tuple[int, int]


def load(path: Path) -> JsonSchema:
    """A schema; ValueError that names the file where it is no JSON."""
    try:
        schema: JsonSchema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    return schema


def dump(schema: JsonSchema) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def name_of(path: Path) -> str:
    """`event_crypto_price`, `changes/prices`: what a schema is called."""
    return path.relative_to(FOLDER).as_posix().removesuffix(SUFFIX)


def current() -> dict[str, JsonSchema]:
    """Every schema as it is now, by name."""
    paths = sorted((*FOLDER.glob(f"*{SUFFIX}"), *CHANGES.glob(f"*{SUFFIX}")))
    return {name_of(path): load(path) for path in paths}


def released(name: str) -> JsonSchema | None:
    """The newest released copy of a schema; None where it was never released."""
    copies = [load(path) for path in (RELEASED / name).parent.glob(f"{Path(name).name}-*{SUFFIX}")]
    return max(copies, key=version_of, default=None)


def released_path(name: str, version: Version) -> Path:
    """Where the copy of a released version stands."""
    return RELEASED / f"{name}-{version[0]}.{version[1]}{SUFFIX}"


def version_of(schema: JsonSchema) -> Version:
    """(major, minor); ValueError where the schema says none."""
    major, _, minor = str(schema.get("version", "")).partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise ValueError(f'{schema.get("$id", "a schema")} needs a "version" like "1.1"')
    return int(major), int(minor)
