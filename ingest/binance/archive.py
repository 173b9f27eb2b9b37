"""The exchange's public archive over HTTP: which files there are, and their checked content.

A file is kept on disk without a name, so that a killed process leaves nothing behind, and is read
only once its SHA-256 is the one that stands beside it. Requests cost no weight.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import IO, Self, TypeVar

import httpx
import structlog
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from contracts.market import Kline, Trade
from ingest import metrics
from ingest.binance import archive_rows
from ingest.binance.archive_rows import LayoutUnknownError
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.errors import ArchiveRefused, Unreachable
from ingest.settings import IngestSettings, is_loopback

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

_AT_ONCE = 8
_PART = 1 << 16
_CHECKSUM = re.compile(r"\s*([0-9a-fA-F]{64})\b")
_LONGEST_LINE = 4096
_LONGEST_NOTE = 4096  # bytes of a CHECKSUM file
_STALL_S = 60.0  # without a byte of a file
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # the last: encrypted


class ChecksumDiffersError(Exception):
    """The bytes are not those that the archive promises: perhaps they were cut on the way."""


class Download:
    """A checked file of the archive.

    `checksum`: its SHA-256 in hex; `published`: when the archive says it was put there.
    """

    def __init__(self, path: str, content: IO[bytes], checksum: str, published: datetime) -> None:
        self.path = path
        self.checksum = checksum
        self.published = published
        self._content = content

    def close(self) -> None:
        """Give the disk's room back."""
        self._content.close()

    async def klines(self, venue: str, symbol: str, interval: str) -> AsyncIterator[Parsed[Kline]]:
        """Its candles, some thousand at a time. ArchiveRefused where it cannot be read."""
        rows = archive_rows.klines(self._lines(), venue, symbol, interval, self.published)
        async for parsed in self._read(rows):
            yield parsed

    async def trades(self, venue: str, symbol: str) -> AsyncIterator[Parsed[Trade]]:
        """Its trades, some thousand at a time. ArchiveRefused where it cannot be read."""
        async for parsed in self._read(archive_rows.trades(self._lines(), venue, symbol)):
            yield parsed

    async def _read(self, rows: Iterator[Value]) -> AsyncIterator[Value]:
        """In another thread: the loop has other things to do."""
        try:
            while (parsed := await asyncio.to_thread(next, rows, None)) is not None:
                yield parsed
        except (*_UNREADABLE, LayoutUnknownError) as error:
            raise ArchiveRefused(self.path, f"it cannot be read ({error})") from error

    def _lines(self) -> Iterator[bytes]:
        with zipfile.ZipFile(self._content) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise zipfile.BadZipFile(f"{len(members)} files in it where one is due")
            with archive.open(members[0]) as lines:
                while line := lines.readline(_LONGEST_LINE):
                    yield line


class Archive:
    """Asynchronous requests to one archive; use as an async context manager."""

    def __init__(
        self,
        settings: IngestSettings,
        url: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._url = url
        self._folder = settings.run_dir
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(_STALL_S, connect=settings.connect_timeout_s, pool=None),
            transport=transport,
            follow_redirects=False,
            trust_env=not is_loopback(url),
            headers={"user-agent": "tidemark", "accept-encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is none. Unreachable where nobody answers."""
        return await self._retried(self._length, path)

    async def checksum(self, path: str) -> str | None:
        """SHA-256 in hex of a file as it is published now; None where the archive has none."""
        return await self._retried(self._promised, path)

    async def download(self, path: str) -> Download:
        """A file, checked.

        ArchiveRefused where it is gone, or not what its checksum says in `settings.attempts` tries.
        """
        try:
            return await self._retried(self._fetched, path)
        except ChecksumDiffersError as error:
            tries = self._settings.attempts
            raise ArchiveRefused(path, f"{error}, {tries} times in a row") from error
        except OSError as error:
            reason = f"it cannot be kept in {self._folder}: {error.strerror or error}"
            raise ArchiveRefused(path, reason) from error

    async def _length(self, path: str) -> int | None:
        async with self._asked("HEAD", path) as response:
            if response is None:
                return None
            stated = response.headers.get("content-length", "")
            return int(stated) if stated.isascii() and stated.isdigit() else 0

    async def _promised(self, path: str) -> str | None:
        async with self._asked("GET", f"{path}.CHECKSUM") as response:
            if response is None:
                return None
            note = (await response.aread())[:_LONGEST_NOTE]
        found = _CHECKSUM.match(note.decode("utf-8", "replace"))
        if found is None:
            raise ArchiveRefused(f"{path}.CHECKSUM", f"no SHA-256 but {note[:60]!r}")
        return found[1].lower()

    async def _fetched(self, path: str) -> Download:
        promised = await self._promised(path)
        if promised is None:
            raise ArchiveRefused(path, "it is not published any more, or has no checksum")
        self._folder.mkdir(parents=True, exist_ok=True)
        content = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - the Download closes it
        try:
            found, published = await self._written(path, content)
        except BaseException:
            content.close()
            raise
        if found != promised:
            length = content.tell()
            content.close()
            raise ChecksumDiffersError(
                f"its {length} bytes have the SHA-256 {found[:12]}…, promised is {promised[:12]}…"
            )
        return Download(path, content, promised, published)

    async def _written(self, path: str, content: IO[bytes]) -> tuple[str, datetime]:
        """Write a file's bytes; their SHA-256, and when they were published."""
        digest = hashlib.sha256()
        async with self._asked("GET", path) as response:
            if response is None:
                raise ArchiveRefused(path, "it has a checksum, and is not there")
            async for part in response.aiter_bytes(_PART):
                digest.update(part)
                content.write(part)
            return digest.hexdigest(), _published(response)

    @asynccontextmanager
    async def _asked(self, method: str, path: str) -> AsyncIterator[httpx.Response | None]:
        """An answer of status 200; None for 404; Unreachable for all else."""
        status = "none"
        try:
            async with (
                self._turn,
                self._http.stream(method, f"{self._url}/{path}") as response,
            ):
                status = str(response.status_code)
                if response.status_code not in {200, 404}:
                    raise Unreachable(self._url, f"{path}: status {status}")
                yield response if response.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(self._url, f"{path}: {reason}") from error
        finally:
            metrics.REQUESTS.labels("archive", status).inc()

    async def _retried(self, ask: Callable[[str], Awaitable[Value]], path: str) -> Value:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((Unreachable, ChecksumDiffersError)),
            stop=stop_after_attempt(self._settings.attempts),
            wait=wait_exponential_jitter(
                multiplier=self._settings.backoff_s, max=30, jitter=self._settings.backoff_s
            ),
            reraise=True,
        )
        return await retrying(ask, path)


def _published(response: httpx.Response) -> datetime:
    """When a file was put there; now, where the archive does not say: it was told just now."""
    try:
        return min(parsedate_to_datetime(response.headers.get("last-modified", "")), utc_now())
    except (ValueError, TypeError):
        return utc_now()
