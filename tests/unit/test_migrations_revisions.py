"""Revisions as texts: one line of them, and lists that agree with the tables of today."""

from __future__ import annotations

import re
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from cli.migrate import ALEMBIC_INI
from contracts.naming import PUBLICATION
from ingest import tables

SCRIPTS = ScriptDirectory.from_config(Config(ALEMBIC_INI))


def module(revision: str) -> object:
    script = SCRIPTS.get_revision(revision)
    assert script is not None
    return script.module


def later_than(revision: str, pattern: str) -> list[str]:
    """What a pattern's group finds in the texts of that revision and those after it."""
    return [
        found
        for each in SCRIPTS.walk_revisions(revision, "head")
        for found in re.findall(pattern, Path(each.path).read_text(encoding="utf-8"))
    ]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z_0-9]+", text))


def test_revisions_are_one_line() -> None:
    """One head, one base, each with a way back."""
    revisions = list(SCRIPTS.walk_revisions())
    numbers = [f"{number:04}" for number in range(len(revisions), 0, -1)]
    assert [each.revision for each in revisions] == numbers
    assert all(callable(each.module.downgrade) for each in revisions)


def test_publication_lists_the_published_tables() -> None:
    """A table that is declared as published is published, by revision 0003 or a later one."""
    sql = str(getattr(module("0003"), "PUBLICATION", ""))
    names = words(sql.partition("FOR TABLE")[2].partition("WITH")[0])
    for added in later_than("0003", rf"ALTER PUBLICATION {PUBLICATION} ADD TABLE ([^;]*);"):
        names |= words(added)
    assert names == {table.name for table in tables.PUBLISHED}
    assert f"CREATE PUBLICATION {PUBLICATION} " in sql


def test_partition_functions_know_the_partitioned_tables() -> None:
    """No table is left without partitions."""
    sql = str(getattr(module("0002"), "PARTITIONED_TABLES", ""))
    listed = re.findall(r"'([a-z_0-9]+)'", sql.partition("ARRAY[")[2].partition("]")[0])
    for added in later_than("0002", r'PARTITIONED_TABLES.replace\("{more}", "([^"]+)"\)'):
        listed += re.findall(r"'([a-z_0-9]+)'", added)
    assert set(listed) == set(tables.PARTITIONED_BY)


def test_grants_name_every_table() -> None:
    """Each table is somebody's to read: by revision 0004, or by the one that made it later."""
    grants = module("0004")
    named = words(f"{getattr(grants, 'PUBLISHED', '')} {getattr(grants, 'OURS', '')}")
    for granted in later_than("0004", r"GRANT [^;]*?\bSELECT\b[^;]*? ON ([^;]*?) TO "):
        named |= words(granted)
    assert set(tables.metadata.tables) <= named
