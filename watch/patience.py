"""An end to the wait for a server that says nothing, though its connection stays.

PostgreSQL's own `statement_timeout` ends no statement of a PostgreSQL that is frozen, and TCP finds
nothing wrong there: the kernel answers for it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol


class Connection(Protocol):
    """One over TCP."""

    def fileno(self) -> int:
        """Its file descriptor."""


@contextmanager
def hanging_up_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Break the connection if the block takes longer: whoever waits for an answer gets an error."""
    line = socket.socket(fileno=os.dup(connection.fileno()))
    timer = threading.Timer(seconds, _hang_up, (line,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):  # the block has ended after all
        line.shutdown(socket.SHUT_RDWR)
