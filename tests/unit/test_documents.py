"""What documents tell people to type exists: commands, their options, settings, units."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import tidemark
from runtime.settings import PROJECT_ROOT
from stack import launcher
from tests.documents import DOCS, blocks, chapter
from tests.unit.test_stack_env_sample import sample

README = PROJECT_ROOT / "README.md"
DOCUMENTS = [README, *sorted(DOCS.glob("*.md"))]
FOR_TESTS = {"TIDEMARK_ENV_FILE"}
GRAFANAS = "TIDEMARK_GRAFANA_"  # whoever starts Grafana sets them
_FAMILY = re.compile(r"TIDEMARK_[A-Z0-9_]+_(?=<)")  # TIDEMARK_RETAIN_<TABLE>_DAYS
_SETTING = re.compile(r"TIDEMARK_[A-Z0-9_]+[A-Z0-9](?![A-Z0-9_]*<)")
_INLINE = re.compile(r"`(tidemark [^`]+)`")
_TYPED = re.compile(r"^(?: {4}|\| )?(tidemark [a-z][^|\n]*)", re.MULTILINE)
_MEANT_AS_A_HOLE = re.compile(r"…|[\[\]]|\bTABLE\b|\bNAME\b|\bID\b|\bT\b|\bCONDITION\b")


def commands(text: str) -> Iterator[list[str]]:
    """Words of each `tidemark …`, inline or in a block; what stands for something else is left."""
    for found in (*_INLINE.findall(text), *_TYPED.findall(text)):
        line = _MEANT_AS_A_HOLE.sub("x", found.split("  #")[0].split(" # ")[0])
        for part in re.split(r"\s\|\s|\s&&\s|;", line):
            try:
                words = shlex.split(part)
            except ValueError:
                continue  # prose with an apostrophe
            if words[:1] == ["tidemark"]:
                yield words[1:]


def misspelt(words: list[str]) -> str | None:
    """What is unknown about a command line; None where it could be typed."""
    command: click.Command = tidemark
    for place, word in enumerate(words):
        if not isinstance(command, click.Group):
            break
        if word.startswith("-"):
            continue
        name = word.rstrip(",.:)")
        found = command.get_command(click.Context(command), name)
        if found is None:
            return f"{' '.join(words[: place + 1])} is no command"
        command = found
    known = {option for each in command.params for option in each.opts} | {"--help", "--version"}
    unknown = [
        word.split("=")[0].rstrip(",.:)")
        for word in words
        if word.startswith("--") and word.split("=")[0].rstrip(",.:)") not in known
    ]
    return f"{' '.join(words)}: no {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_a_document_can_be_typed(path: Path) -> None:
    """Sub-commands and options exist."""
    text = path.read_text(encoding="utf-8")
    assert [wrong for words in commands(text) if (wrong := misspelt(words))] == []


def test_a_wrong_command_is_found() -> None:
    """So the test above means something."""
    wrong = [misspelt(words) for words in commands("`tidemark explode`, `tidemark verify --fast`")]
    assert wrong == ["explode is no command", "verify --fast: no --fast"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_settings_of_a_document_exist(path: Path) -> None:
    """Each TIDEMARK_… is a line of .env.sample."""
    text = _FAMILY.sub("", path.read_text(encoding="utf-8"))
    known = sample().keys() | FOR_TESTS
    named = {name for name in _SETTING.findall(text) if not name.startswith(GRAFANAS)}
    assert named - known == set()


def test_the_unit_of_the_runbook_starts_and_stops_the_stack() -> None:
    """It waits longer for the end than `down` does, and never ends a start."""
    (block,) = blocks(chapter("runbook.md", "boot"), "ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
    unit.read_string(block.text)
    service = unit["Service"]
    assert (service["Type"], service["RemainAfterExit"]) == ("oneshot", "yes")
    assert ".venv/bin/tidemark up" in service["ExecStart"]
    assert service["ExecStop"] == f"{service['WorkingDirectory']}/.venv/bin/tidemark down"
    assert service["TimeoutStartSec"] == "infinity"
    assert 60 * int(service["TimeoutStopSec"].removesuffix("min")) > launcher._STOP_TIMEOUT_S
