"""What waits for the webhook: in memory, and in a file that outlives the watch."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

WAITING_AT_MOST: Final = 1000  # notices; the oldest go first

Notice = dict[str, str | int]  # as it is posted


class Backlog:
    """Notices that wait, oldest first, in memory and in a file. Safe to use from any thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._notices: deque[Notice] = deque(self._read(), maxlen=WAITING_AT_MOST)

    def __len__(self) -> int:
        return len(self._notices)

    def append(self, notice: Notice) -> None:
        with self._lock:
            self._notices.append(notice)
            self._write()

    def first(self) -> Notice | None:
        with self._lock:
            return self._notices[0] if self._notices else None

    def remove(self, notice: Notice) -> None:
        """Take a notice out, unless it has been crowded out."""
        with self._lock:
            if notice in self._notices:
                self._notices.remove(notice)
            self._write()

    def _read(self) -> list[Notice]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            log.warning("alarms that waited for the webhook are lost", reason=type(error).__name__)
            return []
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _write(self) -> None:
        """Replace the file as a whole; without a disk the notices wait in memory alone."""
        new = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w", encoding="utf-8") as out:
                json.dump(list(self._notices), out)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self._file)
        except OSError as error:
            log.warning("alarms for the webhook are kept in memory alone", reason=error.strerror)
