"""Files of the archive: only what its checksum promises is ever read."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from contracts.market import Trade
from ingest.binance.archive import Archive
from ingest.errors import ArchiveRefused, Unreachable
from ingest.settings import IngestSettings

PATH = "data/spot/daily/trades/BNBUSDT/BNBUSDT-trades-2020-03-08.zip"
LINES = b"51175358,17.8,5.69,101.282,1583709433583,True,True\n" * 25_000
PUBLISHED = "Thu, 13 Apr 2023 10:23:53 GMT"

Handler = Callable[[httpx.Request], httpx.Response]


def zipped(*members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, lines in enumerate(members):
            archive.writestr(f"{number}.csv", lines)
    return buffer.getvalue()


def note(content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  BNBUSDT-trades-2020-03-08.zip\n".encode()


def serving(*answers: bytes | int) -> Handler:
    """Answers in order, CHECKSUM files and zip files alike; a number is a status."""
    replies = list(answers)

    def handle(_: httpx.Request) -> httpx.Response:
        reply = replies.pop(0)
        if isinstance(reply, int):
            return httpx.Response(reply)
        return httpx.Response(200, content=reply, headers={"last-modified": PUBLISHED})

    return handle


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IngestSettings:
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")
    return IngestSettings(state_dir=tmp_path, attempts=3, backoff_s=0.001)


def load(settings: IngestSettings, handler: Handler) -> tuple[list[Trade], str, datetime]:
    """All trades of the file, its checksum, and when it was published."""

    async def main() -> tuple[list[Trade], str, datetime]:
        transport = httpx.MockTransport(handler)
        async with Archive(settings, "https://archive", transport=transport) as archive:
            download = await archive.download(PATH)
            rows = [r async for p in download.trades("binance", "BNBUSDT") for r in p.rows]
            download.close()
            return rows, download.checksum, download.published

    return asyncio.run(main())


def test_checked_file_is_read_whole(settings: IngestSettings) -> None:
    """More than one block; it bears the time of its publication, and leaves nothing on disk."""
    content = zipped(LINES)
    rows, checksum, published = load(settings, serving(note(content), content))
    assert len(rows) == 25_000
    assert checksum == hashlib.sha256(content).hexdigest()
    assert published == datetime(2023, 4, 13, 10, 23, 53, tzinfo=UTC)
    assert list(settings.run_dir.iterdir()) == []


def test_truncated_file_is_asked_for_again(settings: IngestSettings) -> None:
    """The second try, with the checksum of now, is the good one."""
    content = zipped(LINES)
    answers = (note(content), content[:-100], note(content), content)
    assert len(load(settings, serving(*answers))[0]) == 25_000


def test_wrong_checksum_is_refused_after_the_last_try(settings: IngestSettings) -> None:
    """The error names the file, and what to do; nothing stays on disk."""
    content = zipped(LINES)
    with pytest.raises(ArchiveRefused, match=r"SHA-256.* 3 times in a row.*--source rest") as told:
        load(settings, serving(*(note(b"another"), content) * 3))
    assert PATH in str(told.value)
    assert list(settings.run_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no zip at all", "cannot be read"),
        (zipped(LINES, LINES), "2 files in it where one is due"),
        (zipped(b"price,time\n1,2\n"), "no column for id"),
        (zipped(LINES)[:40] + b"\0" * 200 + zipped(LINES)[240:], "cannot be read"),
    ],
    ids=["no zip", "two members", "unknown columns", "damaged inside"],
)
def test_file_that_cannot_be_read_is_refused(
    settings: IngestSettings, content: bytes, reason: str
) -> None:
    """Its checksum may be right: then it was published like that."""
    with pytest.raises(ArchiveRefused, match=reason):
        load(settings, serving(note(content), content))


def test_checksum_file_that_holds_none_is_refused(settings: IngestSettings) -> None:
    """HTML of a maintenance, say."""
    with pytest.raises(ArchiveRefused, match="no SHA-256"):
        load(settings, serving(b"<html>maintenance</html>"))


def test_file_that_is_gone_is_refused(settings: IngestSettings) -> None:
    """Between plan and apply."""
    with pytest.raises(ArchiveRefused, match="not published any more"):
        load(settings, serving(404))


@pytest.mark.parametrize("status", [302, 403, 500])
def test_archive_in_trouble_is_asked_again_then_given_up(
    settings: IngestSettings, status: int
) -> None:
    """A redirect is not followed."""
    with pytest.raises(Unreachable, match=f"status {status}"):
        load(settings, serving(*[status] * 3))


def test_size_and_checksum_of_what_is_not_there_are_none(settings: IngestSettings) -> None:
    """404 is an answer, and is not asked again."""

    async def main() -> tuple[int | None, str | None]:
        transport = httpx.MockTransport(serving(404, 404))
        async with Archive(settings, "https://archive", transport=transport) as archive:
            return await archive.size(PATH), await archive.checksum(PATH)

    assert asyncio.run(main()) == (None, None)


def test_full_disk_is_told_with_the_folder(
    settings: IngestSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a traceback."""
    content = zipped(LINES)

    def full(**_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(ArchiveRefused, match="No space left on device") as told:
        load(settings, serving(note(content), content))
    assert str(settings.run_dir) in str(told.value)
