"""Which exchange is taken, without one being there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.binance.bans import BanBook
from ingest.binance.limits import utc_now
from ingest.exchange import Exchange, choose
from ingest.settings import IngestSettings

NOBODY = "http://127.0.0.1:1"  # a port that nobody listens on


def chosen(folder: Path, exchange: Any) -> Exchange:
    settings = IngestSettings(state_dir=folder, exchange=exchange, binance_hosts=(NOBODY,))
    return asyncio.run(choose(settings))


def test_binance_never_falls_back(tmp_path: Path) -> None:
    """Who asks for the real exchange waits for it."""
    assert chosen(tmp_path, "binance").venue == "binance"


def test_the_simulator_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    """Only its own address is known then, so nothing can go out."""
    exchange = chosen(tmp_path, "simulator")
    urls = ("http://127.0.0.1:18080",), ("ws://127.0.0.1:18080",)
    assert exchange == Exchange("simulator", *urls, archive_url="http://127.0.0.1:18080")


def test_the_real_exchange_has_the_real_archive(tmp_path: Path) -> None:
    """Unless another is named."""
    assert chosen(tmp_path, "binance").archive_url == "https://data.binance.vision"
    settings = IngestSettings(exchange="binance", archive_url="https://mirror.example/binance/")
    assert asyncio.run(choose(settings)).archive_url == "https://mirror.example/binance"


def test_auto_takes_the_simulator_where_no_host_answers_and_says_so_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names each host with its reason, and the remedy."""
    assert chosen(tmp_path, "auto").venue == "simulator"
    said = capsys.readouterr().out
    assert "BINANCE CANNOT BE REACHED" in said
    assert NOBODY in said
    assert "TIDEMARK_EXCHANGE=binance" in said


def test_a_ban_is_an_answer(tmp_path: Path) -> None:
    """A banned address does not ask again, and does not turn to the simulator."""
    BanBook(tmp_path / "run", "binance").record(418, utc_now() + timedelta(minutes=2))
    assert chosen(tmp_path, "auto").venue == "binance"
