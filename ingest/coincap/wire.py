"""One connection to CoinCap: thin. Its address holds the key, so nothing here shows the address.

TLS is verified, no redirect is followed, frames have a limit, the library's own log is off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ingest.binance.limits import utc_now
from ingest.errors import BadRequest, Unreachable
from ingest.settings import is_loopback
from ingest.source import Source

PATH = "/prices"
_FRAME_LIMIT_BYTES = 1024 * 1024
_SILENT = logging.getLogger("tidemark.coincap.wire")
_SILENT.disabled = True  # at level DEBUG it would write the address down


class _Connect(connect):
    """`connect` that goes where it was sent and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Every redirect is an error: the key must not follow it."""
        return exc


async def listen(
    source: Source,
    assets: tuple[str, ...],
    timeout_s: float,
    hear: Callable[[bytes, datetime], None],
) -> None:
    """Hear every frame with the time it came, until the line ends.

    Always raises: Unreachable, or BadRequest where CoinCap refuses the key or the request.
    """
    key = source.key.get_secret_value()
    query = urlencode({"assets": ",".join(assets), "apiKey": key}, safe=",")
    try:
        async with _Connect(
            f"{source.url}{PATH}?{query}",
            proxy=None if is_loopback(source.url) else True,
            open_timeout=timeout_s,
            close_timeout=1,
            max_size=_FRAME_LIMIT_BYTES,
            user_agent_header="tidemark",
            logger=_SILENT,
        ) as socket:
            async for frame in socket:
                text = frame.encode() if isinstance(frame, str) else frame
                hear(text.replace(key.encode(), b"<key>"), utc_now())
    except InvalidStatus as error:
        status = error.response.status_code
        if 400 <= status < 500 and status != 429:
            raise BadRequest("coincap", status, 0, "is the key valid?") from None
        raise Unreachable(source.url, f"status {status}") from None
    except ConnectionClosed as error:
        code = error.rcvd.code if error.rcvd else "without a word"
        raise Unreachable(source.url, f"the line ended ({code})") from None
    except (WebSocketException, OSError, TimeoutError, ValueError) as error:
        # from None, and no text of theirs: it may hold the address
        raise Unreachable(source.url, type(error).__name__) from None
    raise Unreachable(source.url, "the line ended")
