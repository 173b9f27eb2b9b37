"""A dashboard that remembers every query it asks, so that none escapes the linter."""

from __future__ import annotations

import json
from string import ascii_uppercase

from grafana_foundation_sdk.builders import (
    bargauge,
    candlestick,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from grafana.query import Placed, Query
from grafana.targets import (
    CASSANDRA,
    PROMETHEUS,
    CassandraAnnotation,
    CassandraTarget,
    Metric,
    prometheus_target,
    source,
)

TAG = "tidemark"
REFRESH = ["5s", "10s", "30s", "1m", "5m"]


PanelBuilder = (
    bargauge.Panel
    | candlestick.Panel
    | stat.Panel
    | statetimeline.Panel
    | table.Panel
    | timeseries.Panel
)


class Board:
    """One dashboard under construction: `row`, `panel`, `variable`, `annotation`, then `json`."""

    def __init__(self, uid: str, title: str, description: str, *, since: str, refresh: str) -> None:
        self.uid = uid
        self.title = title
        self.queries: list[Placed] = []
        self._panels = 0
        self._built = (
            builders.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags([TAG])
            .readonly()
            .timezone("browser")
            .time(since, "now")
            .refresh(refresh)
            .timepicker(builders.TimePicker().refresh_intervals(REFRESH))
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .link(
                builders.DashboardLink("Tidemark")
                .type(dashboard.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .include_vars(True)
                .keep_time(True)
                .tooltip("the other dashboards, at the same time")
            )
        )

    def sources(self, *kinds: str) -> None:
        """Let the reader choose the data source of each kind; the provisioned one stands first."""
        for kind in kinds:
            name = "cassandra" if kind == CASSANDRA else "prometheus"
            self._built.with_variable(
                builders.DatasourceVariable(name)
                .label(name.capitalize())
                .type(kind)
                .current(dashboard.VariableOption(True, f"Tidemark {name}", f"tidemark-{name}"))
                .hide(dashboard.VariableHide.HIDE_VARIABLE)
            )

    def variable(self, name: str, query: Query, *, label: str, current: str = "") -> None:
        """A variable whose options are the answer of a query."""
        self.queries.append(Placed(f"{self.title} / ${name}", query))
        made = (
            builders.QueryVariable(name)
            .label(label)
            .datasource(source(CASSANDRA))
            .query({"query": query.text})
            .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        )
        if current:
            made.current(dashboard.VariableOption(True, current, current))
        self._built.with_variable(made)

    def annotation(self, name: str, query: Query, color: str) -> None:
        """Events that every chart of the dashboard marks."""
        self.queries.append(Placed(f"{self.title} / annotation {name}", query))
        self._built.annotation(CassandraAnnotation(name, query, color))

    def row(self, title: str) -> None:
        """What follows stands below this heading."""
        self._built.with_row(builders.Row(title))

    def panel(
        self,
        panel: PanelBuilder,
        title: str,
        description: str,
        *asked: Query | Metric,
        size: tuple[int, int],
    ) -> None:
        """A panel of (width of 24, height), which asks one data source."""
        self._panels += 1
        panel.id(self._panels).title(title).description(description).span(size[0]).height(size[1])
        for letter, each in zip(ascii_uppercase, asked, strict=False):
            if isinstance(each, Query):
                self.queries.append(Placed(f"{self.title} / {title} / {letter}", each))
                panel.datasource(source(CASSANDRA)).with_target(CassandraTarget(each, letter))
            else:
                panel.datasource(source(PROMETHEUS)).with_target(prometheus_target(each, letter))
        self._built.with_panel(panel)

    def json(self) -> str:
        """The file that Grafana reads."""
        encoded = json.dumps(
            self._built.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False
        )
        return encoded + "\n"
