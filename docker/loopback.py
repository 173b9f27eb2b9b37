"""Holds the network namespace that our processes share, and lets its owner look into it.

They listen on its loopback only, which no published port reaches. So this forwards from the
container's own address to the loopback, the same port; the compose file publishes it on the
machine's loopback. Runs by file, and imports nothing of ours.

    python loopback.py PORT…
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from functools import partial

LOOPBACK = "127.0.0.1"
CHUNK = 65536


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


async def _forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # nobody listens: the process is not there, or not yet
        answers, asked = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(_copy(reader, asked), _copy(answers, writer))
        asked.close()
    writer.close()


async def _serve(ports: list[int]) -> None:
    address = socket.gethostbyname(socket.gethostname())
    for port in ports:
        await asyncio.start_server(partial(_forward, port), address, port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve([int(port) for port in sys.argv[1:]]))
