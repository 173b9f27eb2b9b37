"""Where a source beside the exchange is found: the real one with a key, or the simulated one.

A source follows the exchange: where that is simulated, so is the source, and nothing goes out. Each
simulated source has a venue of its own, for two of them in one venue would mix in `prices` what
they say of the same coin, and the real name must never stand at simulated rows.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import SecretStr

from ingest.source_settings import SourceSettings
from runtime.settings import SettingsError

Name = Literal["coingecko", "coincap"]

HOSTS: dict[Name, str] = {
    "coingecko": "https://api.coingecko.com",
    "coincap": "wss://wss.coincap.io",
}
"""Fixed: a key is sent nowhere else."""

SIMULATED = "simulator"  # the exchange's venue, and what the others' begin with
_NO_KEY = SecretStr("simulated")  # the simulator wants one, too; a real key never goes there


class Source(msgspec.Struct, frozen=True):
    """`venue` stands in every row; paths follow `url`; the key hides itself when shown."""

    venue: str
    url: str
    key: SecretStr


def name_of(venue: str) -> str:
    """The source that a venue stands for, simulated or not; of an exchange its own name."""
    return venue.removeprefix(f"{SIMULATED}-")


def find(settings: SourceSettings, name: Name, simulator_url: str | None) -> Source | None:
    """The source that the settings mean, None for none.

    `simulator_url`: of the simulated exchange, where that is used. SettingsError where a source is
    demanded (`on`) and its key is missing.
    """
    mode = getattr(settings, name)
    if mode == "off":
        return None
    if simulator_url is not None:
        scheme, rest = simulator_url.split("://", 1)
        secure = {"https": "wss", "http": "ws"}[scheme] if name == "coincap" else scheme
        return Source(f"{SIMULATED}-{name}", f"{secure}://{rest}/{name}", _NO_KEY)
    key = settings.key(name)
    if key is not None:
        return Source(name, HOSTS[name], key)
    path = settings.key_path(name)
    if mode == "on":
        raise SettingsError(
            f"TIDEMARK_{name.upper()}=on needs a key in the file {path}; "
            "auto leaves the source out where there is none"
        )
    return None
