"""Grafana's provisioning files but the alerts': data sources, the folder of dashboards, plugins."""

from __future__ import annotations

from typing import Any

from grafana.alerting import UID
from grafana.targets import CASSANDRA, PROMETHEUS

READER = "tidemark_reader"
FOLDER = "Tidemark"


def data_sources() -> dict[str, Any]:
    """Cassandra, read as the role that may only read, and Prometheus; neither can be edited."""
    cassandra = {
        "name": "Tidemark cassandra",
        "uid": UID[CASSANDRA],
        "type": CASSANDRA,
        "access": "proxy",
        "url": "${TIDEMARK_GRAFANA_CASSANDRA}",
        "isDefault": True,
        "editable": False,
        "jsonData": {
            "keyspace": "${TIDEMARK_CASSANDRA_KEYSPACE}",
            "consistency": "ONE",
            "user": READER,
            "timeout": 10,
        },
        "secureJsonData": {"password": "${TIDEMARK_GRAFANA_PASSWORD}"},
    }
    prometheus = {
        "name": "Tidemark prometheus",
        "uid": UID[PROMETHEUS],
        "type": PROMETHEUS,
        "access": "proxy",
        "url": "${TIDEMARK_GRAFANA_PROMETHEUS}",
        "editable": False,
        "jsonData": {"timeInterval": "5s", "httpMethod": "POST"},
    }
    return {"apiVersion": 1, "prune": True, "datasources": [cassandra, prometheus]}


def dashboards() -> dict[str, Any]:
    """The folder of dashboards: files only, nothing is saved in the browser."""
    provider = {
        "name": "tidemark",
        "orgId": 1,
        "folder": FOLDER,
        "folderUid": "tidemark",
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "options": {"path": "${TIDEMARK_GRAFANA_DASHBOARDS}"},
    }
    return {"apiVersion": 1, "providers": [provider]}


def plugins() -> dict[str, Any]:
    """Only apps are provisioned; the data source's plugin is installed before Grafana starts."""
    return {"apiVersion": 1, "apps": []}
