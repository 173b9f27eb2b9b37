"""The files that Grafana reads, as text: what `make dashboards` writes and a test compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from grafana import alerting, market, pipeline, provisioning, symbol
from grafana.board import Board
from grafana.query import Placed
from runtime.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "grafana"
BOARDS = (market.build, symbol.build, pipeline.build)
PROVISIONED: Mapping[str, Callable[[], dict[str, Any]]] = {
    "datasources/tidemark.yaml": provisioning.data_sources,
    "dashboards/tidemark.yaml": provisioning.dashboards,
    "plugins/tidemark.yaml": provisioning.plugins,
    "alerting/rules.yaml": alerting.rules,
    "alerting/contact-points.yaml": alerting.contact_points,
    "alerting/policies.yaml": alerting.policies,
}
HEADER = """\
# Written by `make dashboards`; change grafana/*.py instead.
#
# Whoever starts Grafana sets what stands in ${…}:
#   TIDEMARK_GRAFANA_CASSANDRA    contact points, host:port;host:port
#   TIDEMARK_CASSANDRA_KEYSPACE   the keyspace
#   TIDEMARK_GRAFANA_PASSWORD     $__file{…/tidemark_reader.password}: where the password is, never
#                                 the password; Grafana reads the file
#   TIDEMARK_GRAFANA_PROMETHEUS   its URL, whether it runs or not
#   TIDEMARK_GRAFANA_WEBHOOK      $__file{…/webhook.url}; without that file http://127.0.0.1:9,
#                                 where nobody answers
#   TIDEMARK_GRAFANA_DASHBOARDS   the path of grafana/dashboards
"""


def boards() -> tuple[Board, ...]:
    """The dashboards, built anew."""
    return tuple(build() for build in BOARDS)


def queries() -> tuple[Placed, ...]:
    """Every query that Cassandra can be asked by what is written here, with its place."""
    asked = tuple(placed for board in boards() for placed in board.queries)
    return (*asked, *alerting.QUERIES)


def files() -> dict[Path, str]:
    """{path below grafana/: text} of everything that is written."""
    texts = {
        Path("dashboards") / f"{board.uid.removeprefix('tidemark-')}.json": board.json()
        for board in boards()
    }
    for name, make in PROVISIONED.items():
        body = yaml.safe_dump(make(), sort_keys=False, allow_unicode=True, width=100)
        texts[Path("provisioning") / name] = HEADER + body
    return texts


def write(folder: Path = FOLDER) -> list[Path]:
    """Write the files that differ and remove what is no longer made; returns both."""
    made = {folder / path: text for path, text in files().items()}
    there = {
        path
        for kind in ("dashboards/*.json", "provisioning/*/*.yaml")
        for path in folder.glob(kind)
    }
    changed = []
    for path in sorted(there - made.keys()):
        path.unlink()
        changed.append(path)
    for path, text in made.items():
        if path not in there or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
