"""The files of a plan's pieces, the next one on its way while the last one is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from ingest.backfill.plan import Piece
from ingest.binance.archive import Archive, Download
from ingest.errors import ArchiveRefused

_AHEAD: Final = 1  # files that are downloaded before they are needed


async def with_downloads(
    archive: Archive | None, pieces: Sequence[Piece]
) -> AsyncGenerator[tuple[Piece, Download | ArchiveRefused | None], None]:
    """Each piece with its file, if it has one, or with why that is refused.

    A file is closed when the next piece is asked for; close the generator where it is left early.
    Raises Unreachable. Without an archive no piece may have a file.
    """
    under_way: dict[int, asyncio.Task[Download | ArchiveRefused]] = {}
    try:
        for number, piece in enumerate(pieces):
            for near in range(number, min(number + 1 + _AHEAD, len(pieces))):
                if (file := pieces[near].file) and near not in under_way:
                    under_way[near] = asyncio.create_task(_download(archive, file.path))
            if number not in under_way:
                yield piece, None
                continue
            download = await under_way[number]
            try:
                yield piece, download
            finally:
                del under_way[number]
                _close(download)
    finally:
        await _abandon(list(under_way.values()))


async def _download(archive: Archive | None, path: str) -> Download | ArchiveRefused:
    if archive is None:
        raise AssertionError("a plan that was made without an archive has no files")
    try:
        return await archive.download(path)
    except ArchiveRefused as error:
        return error


async def _abandon(tasks: Sequence[asyncio.Task[Download | ArchiveRefused]]) -> None:
    """End downloads that nobody wants any more, and close those that are complete."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, BaseException):
            _close(ended)


def _close(download: Download | ArchiveRefused) -> None:
    if isinstance(download, Download):
        download.close()
