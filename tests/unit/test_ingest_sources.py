"""Which sources stand beside the exchange, and what is refused before anything starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import plan
from cli.ingest import failure
from ingest.errors import ScheduleTooHeavy
from ingest.settings import IngestSettings
from ingest.source import Source, find
from ingest.sources import check
from runtime.settings import SettingsError

KEY = "canary-77aa"
Make = Callable[..., IngestSettings]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(**change: Any) -> IngestSettings:
        return IngestSettings(state_dir=tmp_path, **change)

    return make


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder of secrets, with both keys."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("coingecko", "coincap"):
        (folder / f"{name}.key").write_text(f"{KEY}\n")
    return folder


def test_without_a_key_nothing_is_asked_of_anybody(make: Make) -> None:
    """The default: beside the real exchange both are left out."""
    assert check(make(), "binance") == (None, None)


@pytest.mark.usefixtures("keys")
def test_a_key_file_is_enough(make: Make) -> None:
    """Fixed hosts, TLS, the source's own venue; the key shows itself nowhere."""
    coingecko, coincap = check(make(), "binance")
    assert coingecko is not None
    assert coincap is not None
    assert (coingecko.venue, coingecko.url) == ("coingecko", "https://api.coingecko.com")
    assert (coincap.venue, coincap.url) == ("coincap", "wss://wss.coincap.io")
    assert coingecko.key.get_secret_value() == coincap.key.get_secret_value() == KEY
    assert KEY not in repr((coingecko, coincap))
    assert KEY not in repr(make())


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_beside_the_simulated_exchange_nothing_goes_out(make: Make, mode: str) -> None:
    """Simulated sources under venues of their own, and no real key for them."""
    settings = make(coingecko=mode, coincap=mode, simulator_url="http://127.0.0.1:18080")
    coingecko, coincap = check(settings, "simulator")
    assert coingecko is not None
    assert coincap is not None
    assert coingecko.url == "http://127.0.0.1:18080/coingecko"
    assert coincap.url == "ws://127.0.0.1:18080/coincap"
    assert {coingecko.venue, coincap.venue} == {"simulator-coingecko", "simulator-coincap"}
    assert KEY not in {coingecko.key.get_secret_value(), coincap.key.get_secret_value()}


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("venue", ["binance", "simulator"])
def test_off_is_off(make: Make, venue: str) -> None:
    """A key or a simulator does not change that, nor does an interval that is too short."""
    settings = make(coingecko="off", coincap="off", coingecko_every_s=1)
    assert check(settings, venue) == (None, None)


@pytest.mark.parametrize("name", ["coingecko", "coincap"])
def test_a_source_that_is_demanded_needs_its_key(make: Make, name: str) -> None:
    """The message names the file that is missing."""
    with pytest.raises(SettingsError, match=rf"TIDEMARK_{name.upper()}=on .*{name}\.key"):
        check(make(**{name: "on"}), "binance")


@pytest.mark.parametrize(
    "text", ["", "\n", "1234567", "two words", "one\ntwo", "tab\tbed", "kéy", "k" * 300]
)
def test_a_file_that_holds_no_key_is_refused_without_showing_it(
    make: Make, keys: Path, text: str
) -> None:
    """Also what could break out of a header."""
    (keys / "coingecko.key").write_text(text)
    with pytest.raises(SettingsError) as caught:
        check(make(), "binance")
    assert "must hold the key alone" in str(caught.value)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_an_interval_that_the_plan_cannot_carry_is_refused_as_misuse(make: Make) -> None:
    """Exit code 2, with the arithmetic, before anything has started."""
    with pytest.raises(ScheduleTooHeavy, match="needs 178560 calls a month") as caught:
        check(make(coingecko_every_s=15), "simulator")
    assert failure(caught.value).exit_code == 2
    check(make(coingecko_every_s=15, coingecko_calls_a_month=200_000), "simulator")


def test_up_refuses_it_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tidemark up` reads the same plan."""
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)
    monkeypatch.setenv("TIDEMARK_EXCHANGE", "simulator")
    assert plan.read().venue == "simulator"
    monkeypatch.setenv("TIDEMARK_COINGECKO_EVERY_S", "15")
    with pytest.raises(ScheduleTooHeavy, match="CoinGecko every 15 s"):
        plan.read()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("coingecko_coins", "bitcoin,bitcoin", "named twice: bitcoin"),
        ("coingecko_coins", "", "name 1 to 250 ids"),
        ("coingecko_coins", ",".join(f"c{n}" for n in range(251)), "name 1 to 250 ids"),
        ("coincap_assets", "bitcoin&apiKey=x", "is no id"),
        ("coincap_assets", "Bitcoin", "is no id"),
        ("coingecko_vs_currency", "usd&ids=x", "TIDEMARK_COINGECKO_VS_CURRENCY"),
        ("coingecko_every_s", 0, "TIDEMARK_COINGECKO_EVERY_S"),
        ("coingecko", "maybe", "TIDEMARK_COINGECKO"),
    ],
)
def test_a_wrong_setting_is_named(make: Make, name: str, value: Any, said: str) -> None:
    """Before anything is asked; no id can become another parameter of an address."""
    with pytest.raises(SettingsError, match=said):
        make(**{name: value})


def test_a_simulator_behind_tls_is_spoken_to_by_tls(make: Make) -> None:
    """The stream's scheme follows that of the simulator."""
    found = find(make(), "coincap", "https://localhost:1")
    assert isinstance(found, Source)
    assert found.url == "wss://localhost:1/coincap"
