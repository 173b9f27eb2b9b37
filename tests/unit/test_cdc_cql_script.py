"""CQL files: cut into statements, checked against what is applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.cql_script import Script, pending, read_scripts, split
from cdc.errors import MigrationChanged

A, B, C = (Script(n, f"000{n}_x.cql", f"sum{n}", "") for n in (1, 2, 3))


def test_semicolons_in_comments_and_strings_end_nothing() -> None:
    """Line and block comments, quoted names, doubled quotes, dollar strings."""
    text = """
    -- a; comment; with 'a quote
    CREATE TABLE t (a text, // another; one
        "b;c" int);
    /* INSERT; */ INSERT INTO t (a) VALUES ('x;''y -- no comment');
    CREATE FUNCTION f() AS $$ return 1; // it's code $$;
    ;
    SELECT 1
    """
    assert [" ".join(each.split()) for each in split(text)] == [
        'CREATE TABLE t (a text, "b;c" int)',
        "INSERT INTO t (a) VALUES ('x;''y -- no comment')",
        "CREATE FUNCTION f() AS $$ return 1; // it's code $$",
        "SELECT 1",
    ]


def test_what_is_applied_is_not_applied_again() -> None:
    """In the order of their numbers."""
    assert pending([A, B, C], {1: (A.name, A.checksum)}) == [B, C]
    assert pending([A], {1: (A.name, A.checksum)}) == []


@pytest.mark.parametrize(
    ("scripts", "applied", "message"),
    [
        ([A], {1: (A.name, "other")}, "changed after it was applied"),
        ([A], {1: (A.name, A.checksum), 2: (B.name, B.checksum)}, "its file is gone"),
        ([A, B, C], {1: (A.name, A.checksum), 3: (C.name, C.checksum)}, "numbered before"),
    ],
)
def test_a_history_that_does_not_fit_is_refused(
    scripts: list[Script], applied: dict[int, tuple[str, str]], message: str
) -> None:
    """Each with what to do."""
    with pytest.raises(MigrationChanged, match=message):
        pending(scripts, applied)


def test_file_names_are_numbered_once(tmp_path: Path) -> None:
    """Two files of one number, or a name without one, are mistakes."""
    with pytest.raises(MigrationChanged, match="the checkout is incomplete"):
        read_scripts(tmp_path)
    (tmp_path / "0001_one.cql").write_text("SELECT 1;")
    (script,) = read_scripts(tmp_path)
    assert (script.number, script.statements()) == (1, ["SELECT 1"])
    (tmp_path / "0001_two.cql").write_text("SELECT 2;")
    with pytest.raises(MigrationChanged, match="same number"):
        read_scripts(tmp_path)
    (tmp_path / "0001_two.cql").rename(tmp_path / "two.cql")
    with pytest.raises(MigrationChanged, match="is named"):
        read_scripts(tmp_path)


DROP = "ALTER TABLE t DROP IF EXISTS c"
LATE = "USING TIMESTAMP 9223372036854775807"


def test_a_column_is_dropped_at_the_end_of_time(tmp_path: Path) -> None:
    """At the clock's time, as Cassandra does by itself, its rows could not be read any more."""
    (tmp_path / "0001_drop.cql").write_text(f"{DROP};")
    with pytest.raises(MigrationChanged, match=r"0001_drop.*DROP c USING TIMESTAMP 92233"):
        read_scripts(tmp_path)
    (tmp_path / "0001_drop.cql").write_text(f"{DROP}\n    {LATE.lower()};")
    assert len(read_scripts(tmp_path)) == 1
    (tmp_path / "0002_drop.cql").write_text("ALTER TABLE t DROP (d, e);")
    with pytest.raises(MigrationChanged, match="0002_drop"):
        read_scripts(tmp_path)


def test_the_name_of_a_dropped_column_is_not_used_again(tmp_path: Path) -> None:
    """Whatever is written to it counts as dropped; another table may have the name."""
    (tmp_path / "0001_drop.cql").write_text(f"{DROP} {LATE};")
    (tmp_path / "0002_other.cql").write_text("ALTER TABLE u ADD c int;")
    assert len(read_scripts(tmp_path)) == 2
    (tmp_path / "0003_again.cql").write_text("ALTER TABLE t ADD (b int, c int);")
    with pytest.raises(MigrationChanged, match=r"0003_again.*t\.c"):
        read_scripts(tmp_path)
