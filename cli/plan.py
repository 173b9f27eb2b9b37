"""What `tidemark up` is about to run: every setting of ours read and checked before a start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest import capacity, sources
from ingest.binance.limits import DEFAULT_WEIGHT_LIMIT
from ingest.exchange import choose
from ingest.selection import Selection
from ingest.settings import IngestSettings
from page.settings import PageSettings
from simulator.settings import SimulatorSettings
from watch.settings import WatchSettings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Of our processes; as it stands here, none of them. `page_url` is empty where none is served.

    `ports` are needed, `metrics_ports` only wished for; both by name, as the doctor says them.
    """

    venue: str = ""
    page_url: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    metrics_ports: Mapping[str, int] = field(default_factory=dict)


def read() -> Plan:
    """The plan that the settings make; in mode `auto` this asks Binance's hosts, once.

    Raises SettingsError that names each wrong variable, or ScheduleTooHeavy with the arithmetic.
    """
    ingest, watch = IngestSettings(), WatchSettings()  # the watch's are the sink's and some more
    page = PageSettings()
    venue = asyncio.run(choose(ingest)).venue
    ports: dict[str, int] = {"page": page.page_port} if page.page_port else {}
    metrics_ports = {
        "ingest metrics": ingest.ingest_metrics_port,
        "sink metrics": watch.sink_metrics_port,
        "watch metrics": watch.watch_metrics_port,
    }
    weight_limit = DEFAULT_WEIGHT_LIMIT
    if venue == "simulator":
        simulator = SimulatorSettings()
        ports["simulator"] = simulator.port
        metrics_ports["simulator metrics"] = simulator.simulator_metrics_port
        weight_limit = simulator.simulator_weight_limit
    if weight_limit:  # the simulator's may be lifted
        wanted = Selection(ingest.symbols, ingest.symbols_top)
        capacity.check(ingest, wanted.foreseen(), weight_limit)
    sources.check(ingest, venue)
    served = {name: port for name, port in metrics_ports.items() if port}
    return Plan(
        venue=venue,
        page_url=page.page_url if page.page_port else "",
        ports=ports,
        metrics_ports=served,
    )
