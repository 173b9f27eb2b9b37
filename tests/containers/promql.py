"""Every PromQL expression of the dashboards and alert rules, and a Prometheus to ask."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from grafana import written
from grafana.targets import PROMETHEUS

Series = list[dict[str, Any]]
RANGE_S, STEP_S = 300, 15


@dataclass(frozen=True)
class Asked:
    """An expression, where it is written, and whether it is asked of a moment or of a range."""

    place: str
    expr: str
    instant: bool
    legend: str = ""

    @property
    def metrics(self) -> set[str]:
        return set(re.findall(r"tidemark_\w+", self.expr))

    @property
    def labels(self) -> set[str]:
        """By which its series are told apart."""
        return set(re.findall(r"{{(\w+)}}", self.legend))


def of_dashboards() -> list[Asked]:
    """From the files that Grafana reads, not from the code that writes them."""
    return [
        Asked(
            f"{path.stem} / {panel['title']}",
            target["expr"],
            bool(target.get("instant")),
            target["legendFormat"],
        )
        for path in sorted(written.FOLDER.glob("dashboards/*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel.get("targets", [])
        if target["datasource"]["type"] == PROMETHEUS
    ]


def rules() -> dict[str, dict[str, Any]]:
    """{uid: rule} of the alert rules that ask Prometheus."""
    text = (written.FOLDER / "provisioning/alerting/rules.yaml").read_text()
    return {
        rule["uid"]: rule
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if rule["data"][0]["model"]["datasource"]["type"] == PROMETHEUS
    }


def of_rules() -> list[Asked]:
    asked = ((rule["title"], rule["data"][0]["model"]) for rule in rules().values())
    return [Asked(f"rule / {title}", model["expr"], model["instant"]) for title, model in asked]


@dataclass(frozen=True)
class Prometheus:
    """Asked by its own API; what it calls an error fails the test."""

    url: str

    def get(self, path: str, **params: str | float) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, trust_env=False)
        body = answer.json()
        assert body["status"] == "success", f"{params}: {body}"
        assert not body.get("warnings"), f"{params}: {body['warnings']}"
        return body["data"]

    def ask(self, asked: Asked) -> Series:
        """As Grafana does: of now, or of the last minutes by steps."""
        if asked.instant:
            return self.now(asked.expr)
        end = time.time()
        data = self.get("query_range", query=asked.expr, start=end - RANGE_S, end=end, step=STEP_S)
        return list(data["result"])

    def now(self, expr: str) -> Series:
        return list(self.get("query", query=expr)["result"])

    def fires(self, rule: dict[str, Any]) -> bool:
        """What Grafana makes of a rule now: any series above its threshold, or none at all."""
        query, _, judged = (each["model"] for each in rule["data"])
        (limit,) = judged["conditions"][0]["evaluator"]["params"]
        if not (found := self.now(query["expr"])):
            return bool(rule["noDataState"] == "Alerting")
        return any(float(series["value"][1]) > limit for series in found)
