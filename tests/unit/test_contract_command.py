"""`tidemark contracts`: what a change of a schema means is said before it is released."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import contracts as command
from contracts import schemas

NAME = "event_crypto_price"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of contracts/ that a test may spoil."""
    copy = tmp_path / "contracts"
    shutil.copytree(schemas.FOLDER, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for constant, below in (("FOLDER", ""), ("CHANGES", "changes"), ("RELEASED", "released")):
        monkeypatch.setattr(schemas, constant, copy / below)
    return copy


def change(folder: Path, version: str, **properties: Any) -> None:
    """Give the price's schema a version and properties; None takes one away."""
    path = folder / f"{NAME}{schemas.SUFFIX}"
    schema = schemas.load(path)
    schema["version"] = version
    for name, value in properties.items():
        if value is None:
            del schema["properties"][name]
        else:
            schema["properties"][name] = value
    path.write_text(schemas.dump(schema))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.contracts, arguments)


def looked(name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("check", "--json").stdout)[name]
    return found


@pytest.mark.usefixtures("folder")
def test_what_is_as_released_is_said_so() -> None:
    done = run("check")
    assert done.exit_code == 0
    assert {line.split(maxsplit=2)[2] for line in done.stdout.splitlines()} == {"as released"}
    assert run("write").stdout == ""


def test_a_new_optional_field_wants_a_minor_version(folder: Path) -> None:
    """It is told until the version says so; then it is released beside the old one."""
    change(folder, "1.1", confidence={"type": "number"})
    assert run("check").exit_code == 1
    assert "1.2 is due" in looked()["objection"]
    assert run("write").exit_code == 1
    change(folder, "1.2")
    assert looked()["objection"] is None
    assert looked()["changes"] == [
        {"path": "$.confidence", "what": "a new optional field", "kind": "compatible"}
    ]
    assert run("write").stdout == f"wrote contracts/released/{NAME}-1.2{schemas.SUFFIX}\n"
    assert (folder / "released" / f"{NAME}-1.1{schemas.SUFFIX}").exists()
    assert looked()["state"] == "as released"


def test_a_breaking_change_wants_a_major_version(folder: Path) -> None:
    """A minor one is refused, with the place and what is wrong with it."""
    change(folder, "1.2", price={"type": "number"})
    done = run("check")
    assert done.exit_code == 1
    assert "2.0 is due after 1.1 ($.price:" in done.stdout
    change(folder, "2.0")
    assert run("check").exit_code == 0


def test_a_tables_new_column_is_a_minor_version(folder: Path) -> None:
    """Written from the routes: here one column was not in what was released."""
    released = folder / "released" / "changes" / f"gaps-1.0{schemas.SUFFIX}"
    schema = schemas.load(released)
    del schema["definitions"]["row"]["properties"]["detail"]
    schema["definitions"]["row"]["required"].remove("detail")
    released.write_text(schemas.dump(schema))
    refused = run("write")
    assert refused.exit_code == 1
    assert "gaps: $.after[1].detail: a new required field" in refused.output
    assert "added" in refused.output
    assert run("write", "--breaking").exit_code == 0
    assert looked("changes/gaps")["version"] == "2.0"


def test_a_schema_that_is_no_json_is_named(folder: Path) -> None:
    (folder / f"{NAME}{schemas.SUFFIX}").write_text("{")
    done = run("check")
    assert done.exit_code == 1
    assert f"{NAME}{schemas.SUFFIX} is no JSON" in done.output
