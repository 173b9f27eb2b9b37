"""`tidemark contracts`: the JSON Schemas of the topics, against what was released."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from cdc.change_schema import change_schema
from cdc.mapping import Source
from cdc.routes import SOURCES
from contracts import schemas
from contracts.compatibility import changes, least_version, objection


@click.group()
def contracts() -> None:
    """Look after the schemas in contracts/: what they promise and what may change."""


@contracts.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
def check(*, as_json: bool) -> None:
    """Compare each schema with its released copy; exit 1 where its version does not fit."""
    found = {name: _look(name, schema) for name, schema in _current().items()}
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, each in found.items():
            click.echo(f"{name:<32} {each['version']:<6} {each['objection'] or each['state']}")
            for change in each["changes"]:
                click.echo(f"    {change['kind']:<11} {change['path']}: {change['what']}")
    if any(each["objection"] for each in found.values()):
        raise click.exceptions.Exit(1)


@contracts.command()
@click.option("--breaking", is_flag=True, help="Allow a new major version of a table's schema")
def write(*, breaking: bool) -> None:
    """Write the tables' schemas anew, and copies of versions that were not released before."""
    for source in SOURCES:
        path = schemas.CHANGES / f"{source.table}{schemas.SUFFIX}"
        _put(path, schemas.dump(_of_table(source, breaking=breaking)))
    for name, schema in _current().items():
        last = schemas.released(name)
        why_not = None if last is None else objection(last, schema)
        if why_not is not None:
            raise click.ClickException(f"{name}: {why_not}")
        version = schemas.version_of(schema)
        if last is None or schemas.version_of(last) < version:
            _put(schemas.released_path(name, version), schemas.dump(schema))


def _of_table(source: Source, *, breaking: bool) -> schemas.JsonSchema:
    """A table's schema with the version that its changes want."""
    schema = change_schema(source)
    last = schemas.released(f"{schemas.CHANGES.name}/{source.table}")
    if last is None:
        return schema
    version = least_version(last, schema)
    if version[0] > schemas.version_of(last)[0] and not breaking:
        worst = next(each for each in changes(last, schema) if each.kind == "breaking")
        raise click.ClickException(
            f"{source.table}: {worst.path}: {worst.what}; readers of its topic break, so declare "
            "the field in cdc/tables.py as `added`, or say --breaking"
        )
    return change_schema(source, "{}.{}".format(*version))


def _current() -> dict[str, schemas.JsonSchema]:
    try:
        return schemas.current()
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _look(name: str, schema: schemas.JsonSchema) -> dict[str, Any]:
    last = schemas.released(name)
    differences = [] if last is None else changes(last, schema)
    state = "never released" if last is None else "as released"
    return {
        "version": schema.get("version"),
        "state": "changed since its release" if differences else state,
        "objection": None if last is None else objection(last, schema),
        "changes": [msgspec.structs.asdict(each) for each in differences],
    }


def _put(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote contracts/{path.relative_to(schemas.FOLDER)}")
