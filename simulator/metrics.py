"""What the simulator counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

REQUESTS = Counter(
    "tidemark_simulator_requests_total",
    "Answered requests; status 0: dropped without an answer",
    ["path", "status"],
)
CONNECTIONS = Gauge("tidemark_simulator_stream_connections", "Open WebSocket connections")
EVENTS = Counter("tidemark_simulator_stream_events_total", "Events sent on streams")
FAULTS = Counter("tidemark_simulator_faults_total", "Requests on which a fault rule acted")
