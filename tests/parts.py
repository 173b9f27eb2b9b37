"""`make test`: unit, model and integration tests in three processes side by side.

    python -m tests.parts [--coverage]

`stack` has the four services, which its tests share; `database` what needs PostgreSQL at most, and
the proofs of the copy, on a stack of their own; `ingest` what needs nothing, and the ingester
(`tests/conftest.py` says which test is whose). Most integration tests wait for something most of
the time. Each line of pytest is told as it comes, with whose it is, and what failed is told once
more at the end, for who sees only the last lines. Exit 1 where one fails, or too little is covered;
that is measured only when asked for, as it takes the tests and the processes that they start half
as much CPU again.

Three processes and dozens of services share two cores or fewer, so a test may fail for want of
time. At most UNSTEADY that failed are run once more, alone; who passes then is named as unsteady
in the last lines, and is to be mended all the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from runtime.settings import PROJECT_ROOT

COVERED = PROJECT_ROOT / ".tidemark" / "coverage"
FAILURES = ("E   ", "FAILED ", "ERROR ")  # how pytest says why and, in its summary, what
REPEATED = 20  # lines of each part
UNSTEADY = 3
TESTS_FAILED = 1  # pytest's exit code; others mean that it could not run them
PARTS = {
    "stack": ("tests/integration", "--part=stack"),
    "database": ("tests/integration", "--part=database"),
    "ingest": ("tests/unit", "tests/model", "tests/integration", "--part=ingest"),
}


class Part:
    """One of the processes."""

    def __init__(self, name: str, chosen: Sequence[str], width: int, *, measured: bool) -> None:
        self.code = TESTS_FAILED
        self.failed = COVERED / name / "failed"
        self.data = COVERED / name / "data"
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self.failed.unlink(missing_ok=True)
        self.last = ""
        self.failures: deque[str] = deque(maxlen=REPEATED)
        self._prefix = f"{name:{width}} │ "
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", *chosen, "--color=no"),
                f"--write-failed={self.failed}",
                *(("--cov", "--cov-report=", "--cov-fail-under=0") if measured else ()),
            ],
            cwd=PROJECT_ROOT,
            env=os.environ | {"COVERAGE_FILE": str(self.data), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._teller = threading.Thread(target=self._tell)
        self._teller.start()

    def _tell(self) -> None:
        for line in self._process.stdout or ():
            self.last = line.rstrip() or self.last
            if line.startswith(FAILURES):
                self.failures.append(line.rstrip())
            say(self._prefix + line.rstrip())

    def wait(self) -> bool:
        """Whether it ended well."""
        self.code = self._process.wait()
        self._teller.join()
        return self.code == 0

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--coverage", action="store_true", help="measure what is covered")
    measured = asked.parse_args().coverage
    if measured:
        shutil.rmtree(COVERED, ignore_errors=True)
    width = max(map(len, PARTS))
    parts = [Part(name, each, width, measured=measured) for name, each in PARTS.items()]
    try:
        each_well = [part.wait() for part in parts]
    except KeyboardInterrupt:
        for part in parts:
            part.interrupt()
        for part in parts:
            part.wait()
        sys.exit(130)
    well = all(each_well)
    if not well and (again := unsteady(parts)):
        say(f"what failed, once more and alone: {', '.join(again)}")
        alone = Part("alone", again, width, measured=measured)
        parts.append(alone)
        if well := alone.wait():
            alone.last += f"; UNSTEADY, failed beside the others: {', '.join(again)}"
    covered = not measured or report([part.data for part in parts])
    for part in parts:
        for failure in part.failures:
            say(failure)
        say(part.last)
    sys.exit(0 if well and covered else 1)


def unsteady(parts: Sequence[Part]) -> list[str]:
    """The tests that failed, where they are few enough to look at them alone; else none."""
    failed: list[str] = []
    for part in parts:
        if part.code == 0:
            continue
        named = part.failed.read_text("utf-8").splitlines() if part.failed.exists() else []
        if part.code != TESTS_FAILED or not named:
            return []  # what ended it was no test, so no test can answer for it
        failed += named
    return failed if len(failed) <= UNSTEADY else []


def report(files: Sequence[Path]) -> bool:
    """Show what both have covered together; False where it is too little."""
    coverage = (sys.executable, "-m", "coverage")
    environment = os.environ | {"COVERAGE_FILE": str(COVERED / "data")}
    found = [str(each) for each in files if each.exists()]
    for command in (("combine", "--keep", "--quiet", *found), ("report",)):
        done = subprocess.run([*coverage, *command], cwd=PROJECT_ROOT, env=environment, check=False)
        if done.returncode != 0:
            return False
    return True


if __name__ == "__main__":
    main()
