"""Prometheus metrics of a process, served on loopback."""

from __future__ import annotations

import structlog
from prometheus_client import start_http_server

log = structlog.get_logger(__name__)


def serve(port: int, host: str = "127.0.0.1") -> None:
    """Serve /metrics on host:port; port 0 means: no metrics. A taken port is said, never fatal."""
    if port == 0:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        log.warning("metrics are not served", port=port, reason=error.strerror)
