"""How many calls were made this month, remembered in a file.

The plan counts them all, whichever process made them. So does a process that is restarted.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from ingest.coingecko.quota import Spent

log = structlog.get_logger(__name__)

_spent = msgspec.json.Decoder(Spent)


class CallBook:
    """The file of a venue."""

    def __init__(self, folder: Path, venue: str) -> None:
        self._path = folder / f"calls-{venue}.json"

    def read(self) -> Spent:
        """What was spent; nothing where nobody noted it."""
        try:
            return _spent.decode(self._path.read_bytes())
        except FileNotFoundError:
            return Spent()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            log.warning("the count of calls cannot be read: it begins anew", path=str(self._path))
            return Spent()

    def write(self, spent: Spent) -> None:
        """Remember; where that fails, this process still knows."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode(spent))
            draft.replace(self._path)
        except OSError as error:
            log.warning("calls cannot be remembered", path=str(self._path), reason=error.strerror)
