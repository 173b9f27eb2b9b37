"""The connector's configuration: debezium/postgres-source.json with its variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from string import Template

from cdc.settings import CdcSettings
from cdc.times import MS_PER_DAY
from contracts.naming import PUBLICATION, SCHEMA, Role, slot_name, topic_prefix
from runtime.settings import PROJECT_ROOT

TEMPLATE = PROJECT_ROOT / "debezium" / "postgres-source.json"


def connector_config(
    settings: CdcSettings, tables: Iterable[str], placeholder: str, template: Path = TEMPLATE
) -> dict[str, str]:
    """Configuration for `PUT /connectors/<name>/config`; the password stays a reference."""
    variables = {
        "postgres_host": settings.connect_postgres_host or settings.postgres_host,
        "postgres_port": str(settings.connect_postgres_port or settings.postgres_port),
        "postgres_database": settings.postgres_database,
        "role": Role.CDC,
        "secrets_dir": str(_secrets_dir(settings)),
        "topic_prefix": topic_prefix(settings.generation),
        "slot": slot_name(settings.generation),
        "publication": PUBLICATION,
        "tables": ",".join(f"{SCHEMA}.{table}" for table in sorted(set(tables))),
        "placeholder": placeholder,
        "topic_partitions": str(settings.topic_partitions),
        "topic_retention_ms": str(settings.topic_retention_days * MS_PER_DAY),
    }
    # JSON first, then each value: a path with a quote in it cannot break out of its string.
    settings_of: dict[str, str] = json.loads(template.read_text(encoding="utf-8"))
    return {key: Template(value).substitute(variables) for key, value in settings_of.items()}


def _secrets_dir(settings: CdcSettings) -> Path:
    """The folder from which Connect may read, as it sees it; it holds its own password only."""
    return settings.connect_secrets_dir or settings.secret_path(Role.CDC).parent / "connect"
