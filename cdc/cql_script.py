"""Numbered CQL files: their statements and checksums. Pure but for reading the files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cdc.errors import MigrationChanged

# Later than any write timestamp (cdc.position). Without it Cassandra takes the clock's time, which
# all of ours are beyond: it keeps the dropped column's cells and then fails to read the rows.
END_OF_TIME = 2**63 - 1

_ALTER = re.compile(
    r"ALTER TABLE (\w+) (ADD|DROP) (?:IF (?:NOT )?EXISTS )?(.*?)(?: USING TIMESTAMP (\d+))?",
    re.IGNORECASE,
)
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.cql")

# What may hold a semicolon without ending a statement, and the semicolon that does.
_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | //[^\n]* | /\*.*?\*/ )
    | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | \$\$.*?\$\$ )
    | (?P<end> ; )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Script:
    """One migration. `checksum` is the SHA-256 of the file's bytes."""

    number: int
    name: str
    checksum: str
    text: str

    def statements(self) -> list[str]:
        """The statements in order, without comments and semicolons."""
        return list(split(self.text))


def split(text: str) -> Iterator[str]:
    """Statements of a CQL text; semicolons in comments and strings do not count."""
    parts: list[str] = []
    at = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[at : token.start()])
        at = token.end()
        if token["quoted"]:
            parts.append(token["quoted"])
        elif token["comment"]:
            parts.append(" ")
        else:
            yield from _non_empty(parts)
            parts = []
    parts.append(text[at:])
    yield from _non_empty(parts)


def _non_empty(parts: list[str]) -> Iterator[str]:
    statement = "".join(parts).strip()
    if statement:
        yield statement


def read_scripts(folder: Path) -> list[Script]:
    """All `NNNN_name.cql` of a folder by number; MigrationChanged where names are unfit."""
    scripts: dict[int, Script] = {}
    for path in sorted(folder.glob("*.cql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationChanged(f"{path.name}: a migration is named 0001_what_it_does.cql")
        number = int(match[1])
        if number in scripts:
            raise MigrationChanged(
                f"{path.name} and {scripts[number].name} have the same number; renumber the newer"
            )
        raw = path.read_bytes()
        checksum = hashlib.sha256(raw).hexdigest()
        scripts[number] = Script(number, path.name, checksum, raw.decode())
    if not scripts:
        raise MigrationChanged(f"no .cql files in {folder}: the checkout is incomplete")
    ordered = [scripts[number] for number in sorted(scripts)]
    check_drops(ordered)
    return ordered


def check_drops(scripts: list[Script]) -> None:
    """Refuse files that would make a table unreadable, or a column whose values never show."""
    dropped = set()
    for script in scripts:
        for statement in script.statements():
            match = _ALTER.fullmatch(" ".join(statement.split()))
            if match is None:
                continue
            table, verb, columns, at = match.groups()
            names = {(table, each.split()[0]) for each in columns.strip("() ").split(",")}
            if verb.upper() == "DROP":
                if at != str(END_OF_TIME):
                    raise MigrationChanged(
                        f"{script.name}: write DROP {columns} USING TIMESTAMP {END_OF_TIME}, or "
                        f"the rows of {table} cannot be read any more"
                    )
                dropped |= names
            for _, column in sorted(names & dropped if verb.upper() == "ADD" else ()):
                raise MigrationChanged(
                    f"{script.name}: {table}.{column} was dropped before: its values would never "
                    "show; take another name"
                )


def pending(scripts: list[Script], applied: dict[int, tuple[str, str]]) -> list[Script]:
    """Scripts to apply; `applied` is {number: (name, checksum)}.

    MigrationChanged where an applied file changed, vanished, or a new one sorts before it.
    """
    known = {script.number: script for script in scripts}
    for number, (name, checksum) in sorted(applied.items()):
        script = known.get(number)
        if script is None:
            raise MigrationChanged(
                f"{name} is applied in Cassandra, but its file is gone: "
                "restore it, or check out the release that made this keyspace"
            )
        if script.checksum != checksum:
            raise MigrationChanged(
                f"{script.name} changed after it was applied: restore it "
                "(`git checkout`) and put the change into a new numbered file"
            )
    newest = max(applied, default=0)
    new = [script for script in scripts if script.number not in applied]
    for script in new:
        if script.number < newest:
            raise MigrationChanged(
                f"{script.name} is new but numbered before {applied[newest][0]}, which is "
                "applied: give it the next number"
            )
    return new
