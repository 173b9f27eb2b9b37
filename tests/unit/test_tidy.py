"""The tree keeps its own rules: sizes, names, owners of libraries, links. No I/O but reading it."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA_FOLDERS = ("cassandra", "debezium", "docs")
HIDDEN_BUT_OURS = {".ci", ".github"}
MAX_MODULE_LINES = 300
MAX_TEST_MODULE_LINES = 450  # a test module is a list: long is not yet tangled
MAX_FUNCTION_LINES = 60

# One owner for each outside library (docs/architecture.md); tests may use any of them.
OWNERS = {
    "cassandra": ("cdc/", "page/history.py"),
    "confluent_kafka": ("cdc/sink/consumer.py", "cdc/dead_letters/"),
    "kafka": ("cdc/topics.py",),
    "sqlalchemy": ("ingest/", "migrations/"),
    "alembic": ("migrations/", "cli/migrate.py"),
    "psycopg2": ("ingest/session.py", "ingest/store.py", "cdc/source.py", "watch/store.py"),
    "aiohttp": ("simulator/",),
    "streamlit": ("page/",),
    "plotly": ("page/",),
    "grafana_foundation_sdk": ("grafana/",),
    "websockets": ("ingest/binance/stream.py", "ingest/coincap/wire.py"),
    "supervisor": ("stack/",),
}


def files() -> Iterator[Path]:
    """Every file of the project, relative to its root; no build products, no state."""
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [
            name
            for name in names
            if (not name.startswith(".") or name in HIDDEN_BUT_OURS)
            and not name.endswith(".egg-info")
            and name not in {"__pycache__", "build", "htmlcov", "target"}
        ]
        for leaf in leaves:
            # .git is a file where the tree is a worktree of another clone
            if not leaf.startswith(".coverage") and leaf not in {".env", ".git"}:
                yield (Path(folder) / leaf).relative_to(ROOT)


FILES = sorted(files())
MODULES = [path for path in FILES if path.suffix == ".py"]
MARKDOWN = [path for path in FILES if path.suffix == ".md"]


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def parsed(path: Path) -> ast.Module:
    return ast.parse(read(path), filename=str(path))


def texts() -> Iterator[tuple[Path, str]]:
    """Every file that is text, with its text."""
    for path in FILES:
        try:
            yield path, read(path)
        except UnicodeDecodeError:
            continue


def imported(path: Path) -> set[str]:
    """Top-level names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def is_test(path: Path) -> bool:
    return path.parts[0] == "tests"


def test_modules_stay_small() -> None:
    """A module has at most 300 lines, a test module 450."""
    lines = {path: read(path).count("\n") for path in MODULES}
    limit = {path: MAX_TEST_MODULE_LINES if is_test(path) else MAX_MODULE_LINES for path in MODULES}
    assert {str(path): n for path, n in lines.items() if n > limit[path]} == {}


def test_functions_stay_small() -> None:
    """A function has at most 60 lines, its docstring included."""
    long = {
        f"{path}:{node.lineno} {node.name}": length
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_every_module_says_what_it_is() -> None:
    """A module that holds anything starts with a docstring."""
    silent = [str(p) for p in MODULES if read(p).strip() and not ast.get_docstring(parsed(p))]
    assert silent == []


def test_data_folders_hold_no_python() -> None:
    """cassandra/, debezium/ and docs/ are data: a module there could shadow a library."""
    assert [str(p) for p in MODULES if p.parts[0] in DATA_FOLDERS] == []


def test_packages_are_packages_and_migrations_is_not() -> None:
    """Test folders are packages, migrations/ is none: alembic loads revisions by path."""
    folders = {path.parent for path in MODULES if is_test(path)}
    assert [str(f) for f in sorted(folders) if not (ROOT / f / "__init__.py").exists()] == []
    assert [str(p) for p in MODULES if p.parts[0] == "migrations" and p.stem == "__init__"] == []


def test_no_name_of_ours_hides_a_library() -> None:
    """No module bears a stdlib name, no top-level name or test folder that of a dependency."""
    theirs = {
        name
        for name, owners in packages_distributions().items()
        if any(owner.lower() != "tidemark" for owner in owners)
    }
    stdlib = [str(p) for p in MODULES if p.stem in sys.stdlib_module_names and p.stem != "__init__"]
    assert stdlib == []
    tops = {p.parts[0].removesuffix(".py") for p in MODULES}
    folders = {part for p in MODULES if is_test(p) for part in p.parts[1:-1]}
    assert sorted((tops | folders) & (theirs | sys.stdlib_module_names)) == []


def test_setuptools_lists_exactly_our_packages() -> None:
    """The explicit package list is the list of folders with an __init__.py, tests left out."""
    project = tomllib.loads(read(Path("pyproject.toml")))
    folders = {
        ".".join(path.parent.parts)
        for path in MODULES
        if path.name == "__init__.py" and not is_test(path)
    }
    assert set(project["tool"]["setuptools"]["packages"]) == folders


def test_checkers_know_every_package() -> None:
    """mypy, coverage, import-linter and ruff look at each top-level package."""
    tool = tomllib.loads(read(Path("pyproject.toml")))["tool"]
    ours = {name for name in tool["setuptools"]["packages"] if "." not in name}
    assert set(tool["mypy"]["packages"]) == ours | {"tests"}
    assert set(tool["coverage"]["run"]["source"]) == ours
    assert set(tool["importlinter"]["root_packages"]) == ours
    assert set(tool["ruff"]["lint"]["isort"]["known-first-party"]) == ours


def test_each_library_has_one_owner() -> None:
    """An outside library is imported only where docs/architecture.md says."""
    strays = [
        f"{path} imports {library}"
        for path in MODULES
        if not is_test(path)
        for library in sorted(imported(path) & OWNERS.keys())
        if not path.as_posix().startswith(OWNERS[library])
    ]
    assert strays == []


def test_revisions_are_frozen() -> None:
    """A revision imports nothing of ours, and revisions form one line without a fork."""
    ours = {name for p in MODULES if p.name == "__init__.py" for name in p.parts[:1]}
    revisions = [p for p in MODULES if p.parts[:2] == ("migrations", "versions")]
    assert [str(p) for p in revisions if imported(p) & ours] == []
    parents = [
        match[1] for p in revisions if (match := re.search(r"(?m)^down_revision.*= (.+)$", read(p)))
    ]
    assert len(set(parents)) == len(revisions)


def test_nothing_is_left_for_later() -> None:
    """No marker of unfinished work stands anywhere."""
    marker = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
    assert [str(path) for path, text in texts() if marker.search(text)] == []


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the machine's business, so no host of a registry stands here."""
    hosts = (
        "repo1." + "maven",
        "repo.maven" + ".apache",
        "pypi" + ".org",
        "python" + "hosted.org",
        "registry." + "npmjs",
        "registry-1." + "docker",
    )
    assert [str(path) for path, text in texts() if any(host in text for host in hosts)] == []


def test_no_path_of_a_machine_is_named() -> None:
    """Nothing depends on where somebody's clone or home folder lies."""
    place = re.compile(
        r"(?<![\w./}-])/(" + "|".join(("wo" + "rk", "ro" + "ot", "Us" + "ers")) + ")/"
    )
    assert [str(path) for path, text in texts() if place.search(text)] == []


def test_only_commands_print() -> None:
    """Processes log; only cli/ writes to the terminal."""
    loud = [
        f"{path}:{node.lineno}"
        for path in MODULES
        if path.parts[0] not in {"cli", "tests"}
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert loud == []


def test_unit_tests_never_sleep() -> None:
    """A unit test does no I/O and waits for nothing."""
    unit = [p for p in MODULES if p.parts[:2] == ("tests", "unit")]
    call = "time." + "sleep("
    assert [str(p) for p in unit if call in read(p)] == []


def test_every_exception_to_a_rule_has_its_reason() -> None:
    """`noqa` names its rule and says why."""
    comment = re.compile(r"#\s*noqa(?!: [A-Z0-9, ]+ - \S)")
    assert [str(p) for p in MODULES if p.name != "test_tidy.py" and comment.search(read(p))] == []


def test_every_decision_that_is_named_exists() -> None:
    """A number of an ADR, wherever it stands, leads to exactly one file."""
    numbers = [p.name[:4] for p in FILES if p.parts[:2] == ("docs", "decisions")]
    assert len(numbers) == len(set(numbers))
    named = re.compile(r"(?:decisions/|ADR )(\d{4})")
    lost = [
        f"{path}: {number}"
        for path, text in texts()
        for number in named.findall(text)
        if number not in numbers
    ]
    assert lost == []


def test_links_between_documents_lead_somewhere() -> None:
    """Each relative link of a Markdown file names a file that is there."""
    link = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
    broken = [
        f"{path}: {target}"
        for path in MARKDOWN
        for target in link.findall(read(path))
        if not (ROOT / path.parent / target).exists()
    ]
    assert broken == []


def test_documents_name_only_make_targets_that_exist() -> None:
    """`make x` in a document is a target of the Makefile."""
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*)(?:\s[a-z -]*)?:(?!=)", read(Path("Makefile"))))
    named = re.compile(r"`make ([a-z][a-z-]*)|^make ([a-z][a-z-]*)", re.MULTILINE)
    unknown = [
        f"{path}: make {one or other}"
        for path in MARKDOWN
        for one, other in named.findall(read(path))
        if (one or other) not in targets
    ]
    assert unknown == []
