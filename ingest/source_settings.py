"""Settings of the sources beside the exchange: CoinGecko and CoinCap.

Their keys are files among the secrets, never settings: `coingecko.key` and `coincap.key`. Where
they lie is said by TIDEMARK_SECRETS_DIR, so a key stands in no environment and no argument.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from ingest.fields import Names, Seconds, without_twins
from runtime.settings import PROJECT_ROOT, Settings, SettingsError

Mode = Literal["auto", "on", "off"]

COINS_A_CALL = 250
_DEFAULT_COINS = (
    *("bitcoin", "ethereum", "ripple", "binancecoin", "solana"),
    *("dogecoin", "tron", "cardano", "hyperliquid", "sui"),
)
_DEFAULT_ASSETS = (  # CoinCap has names of its own
    *("bitcoin", "ethereum", "xrp", "binance-coin", "solana"),
    *("dogecoin", "tron", "cardano", "hyperliquid", "sui"),
)
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_KEY = re.compile(r"[\x21-\x7e]{8,256}")  # one that is shorter would be found in prices


def is_id(text: str) -> bool:
    """Whether a text can be the id of a coin: it becomes part of a URL."""
    return _ID.fullmatch(text) is not None


class SourceSettings(Settings):
    """`auto`: where there is a key; on the simulated exchange always, simulated too."""

    coingecko: Mode = "auto"
    coingecko_coins: Names = Field(
        default=_DEFAULT_COINS, description="CoinGecko's ids; all of them in one call"
    )
    coingecko_vs_currency: str = Field(default="usd", pattern=r"^[a-z]{2,8}$")
    coingecko_every_s: Seconds = 300
    coingecko_calls_a_month: int = Field(
        default=10_000, ge=1, description="of the plan; the demo plan's is the default"
    )
    coingecko_calls_a_minute: int = Field(default=30, ge=1, description="of the plan")

    coincap: Mode = "auto"
    coincap_assets: Names = Field(default=_DEFAULT_ASSETS, description="CoinCap's ids")
    coincap_assets_file: Path | None = Field(
        default=None,
        description="more ids, one a line, read again while it runs; default: coincap-assets "
        "in the state folder",
    )

    @field_validator("coingecko_coins", "coincap_assets")
    @classmethod
    def _ids(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in names if not is_id(name)]
        if wrong:
            raise ValueError(f"{wrong[0][:60]!r} is no id, as e.g. bitcoin is")
        if not 1 <= len(names) <= COINS_A_CALL:
            raise ValueError(f"name 1 to {COINS_A_CALL} ids, e.g. bitcoin,ethereum")
        return without_twins(names)

    @field_validator("coincap_assets_file")
    @classmethod
    def _from_project_root_too(cls, path: Path | None) -> Path | None:
        return None if path is None else PROJECT_ROOT / path

    @property
    def assets_file(self) -> Path:
        """Where more assets are named."""
        return self.coincap_assets_file or self.state_dir / "coincap-assets"

    def key_path(self, source: str) -> Path:
        """Path of the file that holds the key of a source."""
        return (self.secrets_dir or self.state_dir / "secrets") / f"{source}.key"

    def key(self, source: str) -> SecretStr | None:
        """The source's key; None without a file. SettingsError where the file holds no key."""
        path = self.key_path(source)
        try:
            text = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"the key file {path} cannot be read ({type(error).__name__})"
            ) from None
        if not _KEY.fullmatch(text):
            raise SettingsError(
                f"the key file {path} must hold the key alone, in one line; "
                f"without that file {source} is left out"
            )
        return SecretStr(text)
