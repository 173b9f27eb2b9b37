"""Is it ready? Each service is asked in its own protocol, without a client library.

A probe answers True or False within its time limit; it never raises for a service that is down.
"""

from __future__ import annotations

import socket
import struct

import httpx

TIMEOUT_S = 3.0


def postgres(host: str, port: int) -> bool:
    """Startup message (protocol 3.0); a request to authenticate means: connections are taken."""
    body = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
    answer = _ask(host, port, struct.pack("!I", len(body) + 4) + body, 1)
    return answer == b"R"  # E: starting up or shutting down


def kafka(host: str, port: int) -> bool:
    """Metadata request v1 for no topic; ready when the broker lists itself."""
    client = b"tidemark-probe"
    header = struct.pack("!hhih", 3, 1, 1, len(client)) + client
    body = header + struct.pack("!i", 0)
    answer = _ask(host, port, struct.pack("!i", len(body)) + body, 12)
    if len(answer) < 12:
        return False
    _size, correlation, brokers = struct.unpack("!iii", answer)
    return bool(correlation == 1 and brokers > 0)


def cassandra(host: str, port: int) -> bool:
    """OPTIONS frame of native protocol v4; SUPPORTED means: clients are served."""
    answer = _ask(host, port, bytes([0x04, 0, 0, 0, 0x05, 0, 0, 0, 0]), 9)
    return len(answer) == 9 and answer[4] == 0x06


def connect(url: str) -> bool:
    """GET /connectors answers only once the worker has joined its group."""
    return _answers(f"{url.rstrip('/')}/connectors")


def grafana(url: str) -> bool:
    """GET /api/health fails while its database cannot be read."""
    return _answers(f"{url}/api/health")


def _answers(url: str) -> bool:
    try:
        # trust_env: a proxy of the environment must not stand before loopback
        with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as http:
            return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _ask(host: str, port: int, request: bytes, size: int) -> bytes:
    """Send `request`, read up to `size` bytes; fewer when the other side ends or is late."""
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(request)
            while len(answer) < size and (part := connection.recv(size - len(answer))):
                answer += part
    except OSError:
        pass
    return answer
