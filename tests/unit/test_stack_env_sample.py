"""`.env.sample` names every setting that exists, with the default that it really has."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator

import pytest

from runtime.settings import ENV_PREFIX, PROJECT_ROOT, Settings

PACKAGES = ("runtime", "stack", "ingest", "cdc", "simulator", "watch", "page")
READ_ELSEWHERE = {"TIDEMARK_LOG_LEVEL"}  # runtime/logs.py, before any settings


def sample() -> dict[str, str]:
    """{variable: value} of the commented lines."""
    text = (PROJECT_ROOT / ".env.sample").read_text(encoding="utf-8")
    pairs: list[tuple[str, str]] = re.findall(rf"^#({ENV_PREFIX}\w+)=(.*)$", text, re.MULTILINE)
    assert len({name for name, _ in pairs}) == len(pairs), "a variable stands twice"
    return dict(pairs)


def settings_classes() -> list[type[Settings]]:
    """Every settings class of every stage."""
    for package in PACKAGES:
        for found in pkgutil.iter_modules([str(PROJECT_ROOT / package)]):
            if found.name == "settings":
                importlib.import_module(f"{package}.settings")
    return [Settings, *dict.fromkeys(_below(Settings))]


def _below(parent: type[Settings]) -> Iterator[type[Settings]]:
    for child in parent.__subclasses__():
        if child.__module__.split(".")[0] in PACKAGES:
            yield child
            yield from _below(child)


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)


def test_sample_names_exactly_the_settings_that_exist() -> None:
    """A new setting without its line, or a line without its setting, fails."""
    existing = {
        f"{ENV_PREFIX}{name.upper()}" for each in settings_classes() for name in each.model_fields
    }
    assert sample().keys() - READ_ELSEWHERE == existing


def test_sample_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every line of the sample taken as it is, no setting changes."""
    classes = settings_classes()
    defaults = [each().model_dump() for each in classes]
    for name, value in sample().items():
        if value:
            monkeypatch.setenv(name, value)
    changed = {
        name: (value, default[name])
        for each, default in zip(classes, defaults, strict=True)
        for name, value in each().model_dump().items()
        if value != default[name]
    }
    assert changed == {}, "(sample, real default)"


def test_empty_lines_are_settings_without_a_default() -> None:
    """A value left out in the sample means none."""
    defaults: dict[str, object] = {}
    for each in settings_classes():
        defaults |= {f"{ENV_PREFIX}{n.upper()}": f.default for n, f in each.model_fields.items()}
    empty = {name for name, value in sample().items() if not value}
    assert empty == {name for name, default in defaults.items() if default in (None, "")}
