"""A command of ours as a process of its own, at the lowest priority, that answers in JSON.

So no check waits for what takes minutes, and nothing that must be quick is disturbed. It ends with
the watch, however that ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final

LOWEST_PRIORITY: Final = 19


@dataclass
class Errand:
    """One run of a command, of a `kind` that its owner knows."""

    kind: str
    process: subprocess.Popen[bytes]
    answer: IO[bytes]
    complaint: IO[bytes]

    @classmethod
    def start(cls, kind: str, *command: str) -> Errand:
        """Run `tidemark <command> --json --with-parent`."""
        answer = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        complaint = tempfile.TemporaryFile()  # noqa: SIM115 - as well
        arguments = (sys.executable, "-m", "cli.main", *command, "--json", "--with-parent")
        process = subprocess.Popen(arguments, stdout=answer, stderr=complaint)
        os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
        return cls(kind, process, answer, complaint)

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def result(self) -> tuple[dict[str, Any] | None, str]:
        """Once it is over: (its report, its last word); None where it could not make one."""
        with self.answer, self.complaint:
            return _report_of(self.answer), _last_line(self.complaint)


def _report_of(answer: IO[bytes]) -> dict[str, Any] | None:
    answer.seek(0)
    try:
        report: dict[str, Any] = json.loads(answer.read())
    except ValueError:
        return None  # it was ended, or said on stderr why it could not
    return report


def _last_line(complaint: IO[bytes]) -> str:
    complaint.seek(0)
    lines = complaint.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("Error: ") if lines else "it ended without a word"
