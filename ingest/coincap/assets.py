"""Which assets are wanted: those of the settings, and those of a file that is read again."""

from __future__ import annotations

from pathlib import Path

import structlog

from ingest.source_settings import COINS_A_CALL, is_id

log = structlog.get_logger(__name__)

_LONGEST_BYTES = 65_536


def named(text: str) -> tuple[list[str], list[str]]:
    """(ids, lines that are none) of a file: one id a line, # begins a comment."""
    words = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [word for word in words if is_id(word)], [w for w in words if w and not is_id(w)]


class Assets:
    """The list, as it is now."""

    def __init__(self, always: tuple[str, ...], file: Path) -> None:
        """`always`: of the settings. `file` need not exist."""
        self._always = always
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._more: list[str] = []

    def now(self) -> tuple[str, ...]:
        """The assets in order, each once; costs a stat while the file stays as it is."""
        try:
            status = self._file.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen, self._more = None, []
        if seen is not None and seen != self._seen:
            self._read()
        self._seen = seen
        return tuple(dict.fromkeys([*self._always, *self._more]))[:COINS_A_CALL]

    def _read(self) -> None:
        try:
            with self._file.open("rb") as file:
                text = file.read(_LONGEST_BYTES).decode("utf-8", "replace")
        except OSError as error:
            log.warning("assets cannot be read", path=str(self._file), reason=error.strerror)
            return
        self._more, wrong = named(text)
        if wrong:
            log.warning("no ids of assets", path=str(self._file), lines=[w[:60] for w in wrong[:5]])
