"""Readiness probes and verifiers against bytes that are known."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stack import probes, scram


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server on loopback that reads once, sends `answer` and closes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(("answer", "ready"), [(b"R\0\0\0", True), (b"E\0\0\0", False), (b"", 0)])
def test_postgres_is_ready_when_it_asks_for_a_password(answer: bytes, ready: bool) -> None:
    """An error (it starts up) or a closed connection is not ready."""
    with answering(answer) as port:
        assert probes.postgres("127.0.0.1", port) == bool(ready)


@pytest.mark.parametrize(("brokers", "ready"), [(1, True), (0, False)])
def test_kafka_is_ready_when_it_lists_itself(brokers: int, ready: bool) -> None:
    """A broker that is still fenced answers with an empty list."""
    with answering(struct.pack("!iii", 8, 1, brokers)) as port:
        assert probes.kafka("127.0.0.1", port) is ready


def test_cassandra_is_ready_when_it_says_supported() -> None:
    """Opcode 0x06; an ERROR frame is not ready."""
    with answering(bytes([0x84, 0, 0, 0, 0x06, 0, 0, 0, 0])) as port:
        assert probes.cassandra("127.0.0.1", port)
    with answering(bytes([0x84, 0, 0, 0, 0x00, 0, 0, 0, 0])) as port:
        assert not probes.cassandra("127.0.0.1", port)


def test_absent_service_is_not_ready() -> None:
    """No probe raises for what is down."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert not probes.postgres("127.0.0.1", port)
        assert not probes.kafka("127.0.0.1", port)
        assert not probes.cassandra("127.0.0.1", port)
        assert not probes.connect(f"http://127.0.0.1:{port}")


def test_verifier_is_the_published_one() -> None:
    """RFC 7677's own example (password pencil), as PostgreSQL stores it."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored_key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    server_key = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    assert scram.verifier("pencil", salt) == (
        f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${stored_key}:{server_key}"
    )
