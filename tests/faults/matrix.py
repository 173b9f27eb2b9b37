"""Every row of the fault matrix as data, and the decorator that binds a test to its row."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

DATA = Path(__file__).with_name("matrix.toml")
LIMIT_S = 300

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault: what is injected, what must hold, and how it is judged."""

    id: str
    fault: str
    injection: str
    invariant: str
    budget: str
    limit_s: int = LIMIT_S

    @property
    def test_prefix(self) -> str:
        """What the name of its test begins with: A1 → test_a01_."""
        return f"test_{self.id[0].lower()}{int(self.id[1:]):02}_"


def _read() -> dict[str, Row]:
    with DATA.open("rb") as file:
        return {name: Row(id=name, **values) for name, values in tomllib.load(file).items()}


ROWS: dict[str, Row] = _read()


def row(name: str) -> Callable[[Test], Test]:
    """Bind a test to its row; KeyError where there is none of that id."""
    found = ROWS[name]

    def bind(test: Test) -> Test:
        if not test.__name__.startswith(found.test_prefix):
            raise ValueError(f"{test.__name__} must begin with {found.test_prefix}")
        for mark in (pytest.mark.fault, pytest.mark.row(name)):
            test = mark(test)
        return test

    return bind


def chosen(text: str) -> list[str]:
    """Ids of a list like `A1,C4` or of letters like `C`, in order; all where it is empty."""
    if not text.strip():
        return list(ROWS)
    wanted = {part.upper() for part in re.split(r"[\s,]+", text.strip())}
    unknown = wanted - ROWS.keys() - {name[0] for name in ROWS}
    if unknown:
        raise ValueError(f"there is no row {', '.join(sorted(unknown))}; ids are A1…, B1…, C1…")
    return [name for name in ROWS if name in wanted or name[0] in wanted]
