"""`make bench`: the figures of docs/benchmarks.md, measured on a fresh clone.

    python -m tests.benchmarks [--warm-downloads] [--write]

One clone, one stack, in this order: cold start, warm start, memory at rest, backfill, flow.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.settings import PROJECT_ROOT
from tests.benchmarks import backfill, flow, memory, start
from tests.benchmarks.clone import Clone
from tests.benchmarks.document import DOCUMENT
from tests.benchmarks.figures import Figure, as_markdown, say
from tests.conftest import fresh_environment

MARK = "<!-- figures: written by `make bench` -->"


@contextmanager
def cloned(*, warm_downloads: bool) -> Iterator[Clone]:
    """A fresh clone of HEAD with its own ports; nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-bench-"))
    folder.chmod(0o755)
    clone = Clone(folder / "tidemark", fresh_environment(folder / "tidemark" / ".tidemark"))
    del clone.variables["TIDEMARK_ARTIFACTS_DIR"]
    if not warm_downloads:
        clone.variables["MAVEN_OPTS"] = f"-Dmaven.repo.local={folder / 'm2'}"
        clone.variables["PIP_NO_CACHE_DIR"] = "1"
    clone.variables["TIDEMARK_SIMULATOR_WEIGHT_LIMIT"] = "0"
    clone.variables["TIDEMARK_SIMULATOR_TRADES_PER_SECOND"] = str(flow.TRADES_PER_SECOND)
    try:
        subprocess.run(
            ["git", "clone", "--quiet", str(PROJECT_ROOT), str(clone.folder)], check=True
        )
        yield clone
    finally:
        clone.make("clean")
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--warm-downloads", action="store_true", help="use the caches of pip and Maven"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    with cloned(warm_downloads=arguments.warm_downloads) as clone:
        for part in (start, memory, backfill, flow):
            for figure in part.measure(clone):
                say(figure)
                figures.append(figure)
    if arguments.write:
        head = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
        DOCUMENT.write_text(f"{head}{MARK}\n\n{as_markdown(figures)}", encoding="utf-8")
    missed = [figure for figure in figures if not figure.reached]
    sys.exit(1 if missed and os.environ.get("TIDEMARK_BENCH_STRICT") else 0)


if __name__ == "__main__":
    main()
