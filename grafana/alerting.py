"""Alert rules, the contact point and the policy, in the form of Grafana's provisioning files.

The watch raises its own alarms and posts them to its own webhook. These rules are for what it
cannot say: that it is silent itself, and that Cassandra stands still for a reader.
"""

from __future__ import annotations

from typing import Any

from grafana.freshness import HEARTBEAT_AGE_ALERT
from grafana.pipeline import VERIFIED_TABLES
from grafana.query import Placed, Query, cql, texts
from grafana.targets import CASSANDRA, PROMETHEUS, CassandraTarget, Metric

FOLDER = "Tidemark alerts"  # of a name of its own: by one name Grafana makes two folders
RECEIVER = "tidemark-webhook"
UID = {CASSANDRA: "tidemark-cassandra", PROMETHEUS: "tidemark-prometheus"}
HALF_A_MINUTE, TEN_MINUTES_S = "30s", 600

DIFFERENCES = Query(
    cql(
        "SELECT table_name, at, differences FROM verified_through",
        f"WHERE table_name IN ({texts(VERIFIED_TABLES)})",
    ),
    series="table_name",
    role="alert",
    nulls=frozenset({"differences"}),  # a table without a pass has none yet
)
WATCH_SILENT = Metric("time() - max(tidemark_check_last_success_timestamp_seconds)", "seconds")
RAISED = Metric("max by (alarm) (tidemark_alarm)", "{{alarm}}")

QUERIES = (
    Placed("Alert / Cassandra stands still / A", HEARTBEAT_AGE_ALERT),
    Placed("Alert / Cassandra differs from PostgreSQL / A", DIFFERENCES),
)


def rules() -> dict[str, Any]:
    """The file of rules. Without Prometheus its rules are silent, those of Cassandra are not."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "tidemark",
                "folder": FOLDER,
                "interval": HALF_A_MINUTE,
                "rules": [
                    _rule(
                        "tidemark-stands-still",
                        "Cassandra stands still",
                        HEARTBEAT_AGE_ALERT,
                        60_000,
                        severity="critical",
                        says="No heartbeat of {{ $labels.source }} has become visible in Cassandra "
                        "for a minute, or Cassandra does not answer. See `tidemark status`.",
                    ),
                    _rule(
                        "tidemark-differs",
                        "Cassandra differs from PostgreSQL",
                        DIFFERENCES,
                        0,
                        severity="critical",
                        says="The last verification of {{ $labels.table_name }} found rows that "
                        "differ. See `tidemark verify`.",
                    ),
                    _rule(
                        "tidemark-watch-silent",
                        "The watch is silent",
                        WATCH_SILENT,
                        120,
                        severity="warning",
                        says="No check of the watch has ended well for two minutes. "
                        "See `tidemark logs watch`.",
                    ),
                    _rule(
                        "tidemark-alarm",
                        "An alarm of the watch",
                        RAISED,
                        0,
                        severity="warning",
                        says="{{ $labels.alarm }}: docs/runbook.md has a chapter of that name.",
                    ),
                ],
            }
        ],
    }


def _rule(
    uid: str, title: str, asked: Query | Metric, above: float, *, severity: str, says: str
) -> dict[str, Any]:
    """A rule: the least value of each series is above a limit, for a minute.

    An error of Cassandra is an alarm; Prometheus need not run. Where it runs and has no data, the
    watch is gone: its last time goes with its process, and nothing is left to compare.
    """
    return {
        "uid": uid,
        "title": title,
        "condition": "C",
        "for": "1m",
        "noDataState": "Alerting" if asked in (HEARTBEAT_AGE_ALERT, WATCH_SILENT) else "OK",
        "execErrState": "Alerting" if isinstance(asked, Query) else "OK",
        "labels": {"severity": severity},
        "annotations": {"summary": says},
        "data": [
            _cassandra(asked) if isinstance(asked, Query) else _prometheus(asked),
            _expression("B", {"type": "reduce", "expression": "A", "reducer": "min"}),
            _expression(
                "C", {"type": "threshold", "expression": "B", "conditions": [_above(above)]}
            ),
        ],
    }


def _cassandra(query: Query) -> dict[str, Any]:
    """The query type stands in both places: the plugin reads the outer one, Grafana the inner."""
    model = CassandraTarget(query, "A").to_json()
    source = {"type": CASSANDRA, "uid": UID[CASSANDRA]}
    return {
        "refId": "A",
        "queryType": "alert",
        "relativeTimeRange": {"from": TEN_MINUTES_S, "to": 0},
        "datasourceUid": UID[CASSANDRA],
        "model": {**model, "queryType": "alert", "datasource": source},
    }


def _prometheus(metric: Metric) -> dict[str, Any]:
    source = {"type": PROMETHEUS, "uid": UID[PROMETHEUS]}
    return {
        "refId": "A",
        "relativeTimeRange": {"from": TEN_MINUTES_S, "to": 0},
        "datasourceUid": UID[PROMETHEUS],
        "model": {"refId": "A", "datasource": source, "expr": metric.expr, "instant": True},
    }


def _expression(ref_id: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "datasourceUid": "__expr__",
        "model": {"refId": ref_id, "datasource": {"type": "__expr__", "uid": "__expr__"}, **model},
    }


def _above(limit: float) -> dict[str, Any]:
    return {"evaluator": {"type": "gt", "params": [limit]}}


def contact_points() -> dict[str, Any]:
    """Where alerts go: a webhook whose URL is in a file."""
    receiver = {
        "uid": RECEIVER,
        "type": "webhook",
        "settings": {"url": "${TIDEMARK_GRAFANA_WEBHOOK}", "httpMethod": "POST"},
    }
    return {
        "apiVersion": 1,
        "contactPoints": [{"orgId": 1, "name": RECEIVER, "receivers": [receiver]}],
    }


def policies() -> dict[str, Any]:
    """Every alert goes there, what belongs together in one message."""
    policy = {
        "orgId": 1,
        "receiver": RECEIVER,
        "group_by": ["grafana_folder", "alertname"],
        "group_wait": "10s",
        "group_interval": "1m",
        "repeat_interval": "4h",
    }
    return {"apiVersion": 1, "policies": [policy]}
