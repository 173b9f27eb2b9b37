"""`tidemark simulate`: run the simulated exchange."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import click

from runtime import logs, metrics
from simulator.errors import SimulatorError
from simulator.server import run
from simulator.settings import SimulatorSettings


@click.command(short_help="Run the simulated exchange")
@click.option("--port", type=click.IntRange(0, 65535), help="Port on 127.0.0.1; 0: any free one.")
@click.option("--seed", type=int, help="Another seed is another market.")
@click.option("--weight-limit", type=click.IntRange(0), help="Weight a minute; 0 lifts the limit.")
@click.option("--trades-per-second", type=float, help="Of the ten watched pairs together.")
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file of fault rules (their form: simulator/faults.py).",
)
@click.option("--now", help="The market's time at start, ISO 8601; it goes on from there.")
def simulate(
    port: int | None,
    seed: int | None,
    weight_limit: int | None,
    trades_per_second: float | None,
    faults: Path | None,
    now: str | None,
) -> None:
    """Serve Binance spot's REST API and streams, simulated, on loopback until stopped.

    Try it: `tidemark simulate --port 18080`, then
    `curl 'http://127.0.0.1:18080/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3'`.
    Faults, request log and health: /_simulator/faults, /_simulator/log, /_simulator/health.
    """
    chosen: dict[str, Any] = {
        "simulator_url": None if port is None else f"http://127.0.0.1:{port}",
        "simulator_seed": seed,
        "simulator_weight_limit": weight_limit,
        "simulator_trades_per_second": trades_per_second,
        "simulator_faults": faults,
        "simulator_now": now,
    }
    settings = SimulatorSettings(
        **{key: value for key, value in chosen.items() if value is not None}
    )
    logs.configure("simulator")
    metrics.serve(settings.simulator_metrics_port)
    try:
        asyncio.run(_until_stopped(settings))
    except SimulatorError as error:
        raise click.ClickException(str(error)) from error


async def _until_stopped(settings: SimulatorSettings) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await run(settings, ended)
