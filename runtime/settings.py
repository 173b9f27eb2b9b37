"""The base of every stage's settings: frozen, typed, read from TIDEMARK_* and `.env`.

Order of precedence: arguments, environment, the `.env` file, the default in the class.
TIDEMARK_ENV_FILE names another file than `.env` (tests set it to nowhere).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
ENV_PREFIX = "TIDEMARK_"


class SettingsError(Exception):
    """Settings that contradict themselves or cannot be read; one line a mistake."""


class Settings(BaseSettings):
    """What every process knows: where the state folder and the secrets are."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="ignore", validate_default=True
    )

    state_dir: Path = Field(
        default=Path(".tidemark"),
        description="Data, logs, pid files and secrets of the local stack",
    )
    secrets_dir: Path | None = Field(
        default=None, description="Folder of `<role>.password` files; default <state_dir>/secrets"
    )

    def __init__(self, **values: Any) -> None:
        """Read the settings; raise SettingsError that names each wrong variable."""
        env_file = os.environ.get(f"{ENV_PREFIX}ENV_FILE", str(PROJECT_ROOT / ".env"))
        try:
            super().__init__(_env_file=env_file, **values)
        except ValidationError as error:
            raise SettingsError(_in_plain_words(error)) from error

    @field_validator("state_dir", "secrets_dir")
    @classmethod
    def _from_project_root(cls, path: Path | None) -> Path | None:
        return None if path is None else PROJECT_ROOT / path

    def secret_path(self, name: str) -> Path:
        """Path of the file that holds the password of role `name`."""
        return (self.secrets_dir or self.state_dir / "secrets") / f"{name}.password"

    def secret(self, name: str) -> str:
        """Password of role `name`; SettingsError with the remedy where it is missing."""
        path = self.secret_path(name)
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"the password file {path} cannot be read ({error.strerror}); "
                "`tidemark up` makes it, TIDEMARK_SECRETS_DIR names another folder"
            ) from error


def _in_plain_words(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = "_".join(str(part) for part in item["loc"]).upper()
        where = f"{ENV_PREFIX}{name}: " if name else ""
        lines.append(f"{where}{item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
