"""What the rows showed: one JSON file a commit, written after every case, so that a run resumes.

`docs/faults.json` holds the cases that `docs/faults.md` shows, so that a matrix which takes hours
can also go on in another clone.

The commit is the last one that changed what a stack runs; uncommitted changes to it add a mark of
their own, so that nobody takes a row's result for that of other code. Beside it a case keeps the
last commit of the tests: mending one row's test does not take the others' results away.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from runtime.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / ".tidemark" / "faults"
RECORD = PROJECT_ROOT / "docs" / "faults.json"
RUNS = (
    *("ingest", "migrations", "cdc", "debezium", "cassandra", "watch"),
    *("cli", "contracts", "runtime", "simulator", "stack", "requirements.txt"),
)

PASSED, FAILED, NOT_INJECTABLE = "passed", "failed", "not-injectable"


@dataclass(kw_only=True)
class Case:
    """One run of one row's test. A parametrized row has several cases, `of` in all."""

    row: str
    case: str
    status: str
    seconds: float
    seed: int
    commit: str
    at: str
    tests: str = ""
    of: int = 1
    reason: str = ""
    recovery_s: float | None = None
    missing: int | None = None
    extra: int | None = None
    different: int | None = None
    resurrected: int | None = None
    rows: int | None = None
    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def code_commit(*paths: str) -> str:
    """12 digits of the newest commit of `paths`, `+` and 6 of the changes not committed."""
    head = _git("log", "-1", "--format=%H", "--", *paths).strip()[:12]
    changes = _git("diff", "HEAD", "--", *paths)
    if not changes:
        return head
    return f"{head}+{hashlib.sha256(changes.encode()).hexdigest()[:6]}"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Results:
    """The cases of one commit: those of the record, and over them those of this folder's file."""

    def __init__(self, commit: str, folder: Path = FOLDER, record: Path = RECORD) -> None:
        self.commit = commit
        self._path = folder / f"{commit}.json"
        recorded = {name: case for name, case in _load(record).items() if case.commit == commit}
        self.cases: dict[str, Case] = recorded | _load(self._path)

    def passed(self, case: str) -> bool:
        known = self.cases.get(case)
        return known is not None and known.status == PASSED

    def add(self, case: Case) -> None:
        """Keep a case's newest result; other runs may write the same file between two of ours."""
        self.cases |= _load(self._path) | {case.case: case}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(_text(self.cases), encoding="utf-8")
        fresh.replace(self._path)


def newest(folder: Path = FOLDER, record: Path = RECORD) -> dict[str, Case]:
    """Of each row all cases of the commit at which it ran last."""
    files = [record, *folder.glob("*.json")]
    known = {(each.commit, each.case): each for each in sorted(_all(files), key=lambda c: c.at)}
    last = {case.row: case.commit for case in known.values()}
    return {case.case: case for case in known.values() if case.commit == last[case.row]}


def record(cases: Mapping[str, Case], path: Path = RECORD) -> None:
    """Write the cases that the document shows."""
    path.write_text(_text(cases) + "\n", encoding="utf-8")


def _all(files: Iterable[Path]) -> list[Case]:
    return [case for path in files for case in _load(path).values()]


def _text(cases: Mapping[str, Case]) -> str:
    plain = {name: asdict(each) for name, each in sorted(cases.items())}
    return json.dumps(plain, indent=1, ensure_ascii=False)


def _load(path: Path) -> dict[str, Case]:
    if not path.exists():
        return {}
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {name: Case(**values) for name, values in plain.items()}
