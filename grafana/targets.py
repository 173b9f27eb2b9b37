"""What the Cassandra plugin and Prometheus are asked, as the SDK's queries.

The SDK knows no Cassandra query; the form of one is that of the plugin's version 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard

from grafana.query import Query

CASSANDRA = "hadesarchitect-cassandra-datasource"
PROMETHEUS = "prometheus"


def source(kind: str) -> dashboard.DataSourceRef:
    """The data source of a kind that the dashboard's reader chose."""
    name = "cassandra" if kind == CASSANDRA else "prometheus"
    return dashboard.DataSourceRef(kind, f"${{{name}}}")


@dataclass(frozen=True)
class Metric:
    """A question to Prometheus; `legend` may name labels: `{{topic}}`."""

    expr: str
    legend: str
    instant: bool = False


class CassandraTarget(Dataquery, Builder[Dataquery]):
    """A query of the Cassandra plugin, raw, as each of ours is."""

    def __init__(self, query: Query, ref_id: str) -> None:
        self.query = query
        self.ref_id = ref_id

    def build(self) -> Dataquery:
        """Itself: it is built by its constructor."""
        return self

    def to_json(self) -> dict[str, object]:
        """As a panel holds it."""
        return {
            "refId": self.ref_id,
            "datasource": source(CASSANDRA),
            "queryType": "query",
            "rawQuery": True,
            "target": self.query.text,
        }


def prometheus_target(metric: Metric, ref_id: str) -> prometheus.Dataquery:
    """A metric's query over the range, or of its end alone."""
    target = prometheus.Dataquery().expr(metric.expr).legend_format(metric.legend).ref_id(ref_id)
    target.datasource(source(PROMETHEUS))
    return target.instant() if metric.instant else target.range()


class CassandraAnnotation(dashboard.AnnotationQuery, Builder[dashboard.AnnotationQuery]):
    """Events on every chart; Grafana takes the columns `time`, `text` and `tags`."""

    def __init__(self, name: str, query: Query, color: str) -> None:
        super().__init__(name=name, datasource=source(CASSANDRA), icon_color=color)
        self.query = query

    def build(self) -> dashboard.AnnotationQuery:
        """Itself: it is built by its constructor."""
        return self

    def to_json(self) -> dict[str, object]:
        """As a dashboard holds it: the target is the plugin's, not Grafana's own."""
        return super().to_json() | {"target": CassandraTarget(self.query, "annotation").to_json()}
