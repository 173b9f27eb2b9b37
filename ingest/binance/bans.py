"""The silence that an exchange demands, remembered in a file.

A ban is of the address, not of a process: it holds for every process on this machine and after a
restart. Going on during a ban makes it longer, so a restarted ingester must know.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger(__name__)


class Silence(msgspec.Struct, frozen=True):
    """No request until `until`; `status` is the answer that demanded it."""

    status: int
    until: datetime


_silence = msgspec.json.Decoder(Silence)


class BanBook:
    """The one silence in force, if any. Reading costs a stat while nothing changes."""

    def __init__(self, folder: Path, venue: str) -> None:
        self._path = folder / f"ban-{venue}.json"
        self._seen: tuple[int, int] | None = None  # mtime and inode of the file last read
        self._silence: Silence | None = None

    def current(self, now: datetime) -> Silence | None:
        """The silence that holds at `now`."""
        self._refresh()
        if self._silence is not None and self._silence.until > now:
            return self._silence
        return None

    def record(self, status: int, until: datetime) -> None:
        """Remember a silence; one that ends later than this stays as it is."""
        self._refresh()
        if self._silence is not None and self._silence.until >= until:
            return
        self._silence = Silence(status, until)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode(self._silence))
            draft.replace(self._path)
        except OSError as error:  # this process still keeps silent
            log.warning("a ban cannot be remembered", path=str(self._path), reason=error.strerror)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except OSError:
            return
        seen = (status.st_mtime_ns, status.st_ino)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            read = _silence.decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            log.warning("the note of a ban cannot be read and is ignored", path=str(self._path))
            return
        if self._silence is None or read.until > self._silence.until:
            self._silence = read
