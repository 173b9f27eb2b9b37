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
from tests.benchmarks.figures import STACK, Figure
from tests.benchmarks.kit import concluded, record_figures
from tests.conftest import fresh_environment

PARTS = {"start": start, "memory": memory, "backfill": backfill, "flow": flow}


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
        try:
            clone.make("clean")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--warm-downloads", action="store_true", help="use the caches of pip and Maven"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    arguments = parser.parse_args()
    with (
        concluded(STACK, write=arguments.write) as results,
        cloned(warm_downloads=arguments.warm_downloads) as clone,
    ):
        measures = ((name, part.measure(clone)) for name, part in PARTS.items())
        record_figures(STACK, results, measures)
    missed = [each for each in results["figures"] if not Figure(**each).reached]
    sys.exit(1 if missed and os.environ.get("TIDEMARK_BENCH_STRICT") else 0)


if __name__ == "__main__":
    main()
