"""A TCP proxy on loopback that can lose what passes: between a client and one service."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 65_536


class TcpProxy:
    """Forwards `port` to 127.0.0.1:`target` for the length of a block.

    `lose_replies`: what the service says is dropped; the connection stays.
    `refuse`: every connection is closed, those that come too.
    `latency_s`, `bytes_per_s` (0: no limit), `slice_bytes`: each direction of each connection is
    as slow as that, and cut into pieces of so many bytes. `reset` breaks every connection.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.lose_replies = False
        self.lost_bytes = 0
        self.latency_s = 0.0
        self.bytes_per_s = 0
        self.slice_bytes = CHUNK
        self.delayed_bytes = 0
        self.resets = 0
        self._refusing = False
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._cut()

    @property
    def refuse(self) -> bool:
        return self._refusing

    @refuse.setter
    def refuse(self, value: bool) -> None:
        self._refusing = value
        if value:
            self._cut()

    def reset(self) -> None:
        """Break every connection that there is, without a farewell."""
        for each in list(self._open):
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.resets += 1
        self._cut()

    def _cut(self) -> None:
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                client, _ = self._listener.accept()
                if self._refusing:
                    client.close()
                    continue
                service = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {client, service}
                for source, sink, replies in ((client, service, False), (service, client, True)):
                    threading.Thread(
                        target=self._pump, args=(source, sink, replies), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(self.slice_bytes):
                if replies and self.lose_replies:
                    self.lost_bytes += len(data)
                    continue
                self._delay(data)
                sink.sendall(data)
        self._close(source, sink)

    def _delay(self, data: bytes) -> None:
        """Wait as long as these bytes take; nothing behind them passes meanwhile."""
        if self.latency_s or self.bytes_per_s:
            self.delayed_bytes += len(data)
            time.sleep(self.latency_s + len(data) / (self.bytes_per_s or float("inf")))

    def _close(self, *ends: socket.socket) -> None:
        for each in ends:
            self._open.discard(each)
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
