"""What Grafana reads: written as the code says, and by the rules that keep dashboards readable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

import cdc.sink.metrics  # noqa: F401 - its import registers the metrics, as those below do
import ingest.metrics  # noqa: F401 - see above
import watch.gauges  # noqa: F401 - see above
from grafana import alerting, cql, looks, written
from grafana.board import TAG
from grafana.metrics import CHARTS, RAISED
from grafana.targets import CASSANDRA, PROMETHEUS

FILES = written.files()
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(text) for path, text in FILES.items() if path.suffix == ".json"
}
YAML: dict[str, dict[str, Any]] = {
    path.as_posix(): yaml.safe_load(text) for path, text in FILES.items() if path.suffix == ".yaml"
}
PANELS = [
    pytest.param(panel, id=f"{name} / {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
UNITS = {
    *("ms", "µs", "bytes", "short", "rowsps", "percent", "percentunit", "dateTimeFromNow"),
    *("locale", "currencyUSD", "suffix:bp", "time:HH:mm:ss.SSS"),
}
PRICES = {"price", "last", "low", "high", "mean", "spread", "quantity"}

ORDER = ("venue", "quote", "symbol", "interval")

every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)
every_panel = pytest.mark.parametrize("panel", PANELS)


def strings(value: object) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def test_files_are_as_the_code_says() -> None:
    """`make dashboards` was run, nothing else lies beside its files, and it is repeatable."""
    there = {
        path.relative_to(written.FOLDER)
        for kind in ("dashboards/*", "provisioning/*/*")
        for path in written.FOLDER.glob(kind)
    }
    assert there == FILES.keys()
    for path, text in FILES.items():
        assert (written.FOLDER / path).read_text(encoding="utf-8") == text, (
            f"make dashboards: {path}"
        )
    assert written.files() == FILES


def test_writing_changes_only_what_differs(tmp_path: Path) -> None:
    """Twice is once; what is changed by hand comes back, what is no longer made goes."""
    assert len(written.write(tmp_path)) == len(FILES)
    assert written.write(tmp_path) == []
    edited, stray = tmp_path / "dashboards" / "market.json", tmp_path / "dashboards" / "old.json"
    edited.write_text("{}")
    stray.write_text("{}")
    assert set(written.write(tmp_path)) == {edited, stray}
    assert not stray.exists()
    assert edited.read_text(encoding="utf-8") == FILES[Path("dashboards/market.json")]


def test_every_statement_that_is_written_is_linted() -> None:
    """No CQL reaches a file past the linter."""
    linted = {placed.query.text for placed in written.queries()}
    texts = {each for part in (*DASHBOARDS.values(), *YAML.values()) for each in strings(part)}
    found = {text for text in texts if text.upper().startswith("SELECT")}
    assert found == linted


@every_dashboard
def test_a_dashboard_is_whole(name: str) -> None:
    """A stable uid, the tag that links them, not editable, and what it asks by variables."""
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"tidemark-{name}"
    assert dashboard["tags"] == [TAG]
    assert dashboard["editable"] is False
    assert dashboard["description"]
    assert dashboard["links"][0]["includeVars"]
    assert dashboard["links"][0]["keepTime"]
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    asked = set(re.findall(r"\$\{(\w+):sqlstring\}", "\n".join(strings(dashboard))))
    assert {*asked, "cassandra"} <= set(names)
    # a variable that others depend on stands before them
    assert [each for each in names if each in ORDER] == [each for each in ORDER if each in names]


@every_dashboard
def test_panels_do_not_overlap(name: str) -> None:
    """Each cell of the grid belongs to one panel, and none is wider than the grid."""
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        cells |= taken


@every_panel
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """Title, description, a source of the reader's choice, and a word for what is not there."""
    assert panel["title"]
    assert len(panel["description"]) > 20
    kind = panel["datasource"]["type"]
    name = {CASSANDRA: "cassandra", PROMETHEUS: "prometheus"}[kind]
    assert panel["datasource"]["uid"] == f"${{{name}}}"
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {f"${{{name}}}"}
    assert panel["fieldConfig"]["defaults"]["noValue"]


@every_panel
def test_a_panel_asks_as_the_plugin_wants(panel: dict[str, Any]) -> None:
    """Raw, with its type, and without an alias, which would name every column alike."""
    for target in panel["targets"]:
        if target["datasource"]["type"] == CASSANDRA:
            assert target["rawQuery"] is True
            assert target["queryType"] == "query"
            assert "alias" not in target
    if panel.get("timeFrom") is not None:  # Grafana ignores it for absolute ranges
        assert not any("$__timeFrom" in target["target"] for target in panel["targets"])


def settings(panel: dict[str, Any], field: str) -> dict[str, Any]:
    """Unit and decimals of a field, by the defaults and the field's own override."""
    found = dict(panel["fieldConfig"]["defaults"])
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": field}:
            found |= {each["id"]: each.get("value") for each in override["properties"]}
    return found


@every_panel
def test_prices_are_written_as_they_are(panel: dict[str, Any]) -> None:
    """0.00000012 and 67,123.45 both: one unit, with the decimals of the smallest tick."""
    for target in panel["targets"]:
        shown = set(re.findall(r"AS (\w+)", target.get("target", ""))) & PRICES
        for field in shown:
            found = settings(panel, field)
            assert found["unit"] == looks.PRICE, field
            assert found["decimals"] == looks.PRICE_DECIMALS, field


@every_panel
def test_units_are_grafanas(panel: dict[str, Any]) -> None:
    """A unit that Grafana does not know is shown as text behind each value."""
    used = {panel["fieldConfig"]["defaults"].get("unit")} - {None}
    for override in panel["fieldConfig"]["overrides"]:
        used |= {each["value"] for each in override["properties"] if each["id"] == "unit"}
    assert used <= UNITS


@every_panel
def test_overrides_and_transformations_name_columns_that_come(panel: dict[str, Any]) -> None:
    """A column that is renamed in CQL takes its settings along."""
    if panel["datasource"]["type"] != CASSANDRA:
        return
    written_down = "\n".join(strings([target["target"] for target in panel["targets"]]))
    made = set(strings([each.get("options") for each in panel.get("transformations", [])]))
    for override in panel["fieldConfig"]["overrides"]:
        field = override["matcher"]["options"]
        if override["matcher"]["id"] == "byName":
            assert re.search(rf"\b{field}\b", written_down) or field in made, field
    for step in panel.get("transformations", []):
        for field in _fields(step["options"]):
            assert re.search(rf"\b{field}\b", written_down) or field in made, field


def _fields(options: dict[str, Any]) -> Iterator[str]:
    yield from (each["fieldName"] for each in options.get("filters", []))
    yield from (each["field"] for each in options.get("sort", []))
    yield from options.get("excludeByName", {})
    if "window" in options:
        yield options["window"]["field"]


@every_panel
def test_tables_are_merged_by_their_symbol_alone(panel: dict[str, Any]) -> None:
    """Merged side by side are tables that share one column; one below the other, that share all."""
    steps = [step["id"] for step in panel.get("transformations", [])]
    if "merge" not in steps:
        return
    selected = [
        {each.name for each in cql.parse(target["target"]).columns} for target in panel["targets"]
    ]
    shared = set.intersection(*selected)
    assert shared == {"symbol"} or all(columns == shared for columns in selected)
    assert all(one & other == shared for one in selected for other in selected if one is not other)


def test_metrics_exist() -> None:
    """Every metric that is asked is one that a process shows."""
    shown = {
        name
        for family in prometheus_client.REGISTRY.collect()
        for name in (family.name, f"{family.name}_total")
    }
    charts = (metric for chart in CHARTS for metric in chart.asked)
    for metric in (*charts, *RAISED, alerting.WATCH_SILENT, alerting.RAISED):
        for name in re.findall(r"tidemark_\w+", metric.expr):
            assert name in shown, name


def test_no_secret_is_written() -> None:
    """Password and webhook are places of files, named by whoever starts Grafana."""
    sources = YAML["provisioning/datasources/tidemark.yaml"]["datasources"]
    assert sources[0]["secureJsonData"] == {"password": "${TIDEMARK_GRAFANA_PASSWORD}"}
    assert sources[0]["jsonData"]["user"] == "tidemark_reader"
    assert not any(source["editable"] for source in sources)
    (point,) = YAML["provisioning/alerting/contact-points.yaml"]["contactPoints"]
    assert point["receivers"][0]["settings"]["url"] == "${TIDEMARK_GRAFANA_WEBHOOK}"


def test_placeholders_are_told() -> None:
    """The head of each file names what has to be set, and nothing else."""
    told = set(re.findall(r"(?m)^#   (TIDEMARK_\w+)", written.HEADER))
    used = set(re.findall(r"\$\{(TIDEMARK_\w+)\}", "\n".join(strings(list(YAML.values())))))
    assert used == told


def rules() -> list[dict[str, Any]]:
    (group,) = YAML["provisioning/alerting/rules.yaml"]["groups"]
    return list(group["rules"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["uid"])
def test_a_rule_is_whole(rule: dict[str, Any]) -> None:
    """Query, reduction, threshold; Cassandra's query type stands in both of its places."""
    asked, reduced, judged = rule["data"]
    assert [each["refId"] for each in rule["data"]] == ["A", "B", "C"]
    assert rule["condition"] == "C"
    assert (reduced["model"]["expression"], judged["model"]["expression"]) == ("A", "B")
    assert asked["datasourceUid"] == asked["model"]["datasource"]["uid"]
    cassandra = asked["model"]["datasource"]["type"] == CASSANDRA
    if cassandra:
        assert asked["queryType"] == asked["model"]["queryType"] == "alert"
    assert rule["execErrState"] == ("Alerting" if cassandra else "OK")


def test_rules_of_a_life_sign_fire_without_one() -> None:
    """A process that is gone takes its metrics along: no data is what it looks like."""
    states = {rule["uid"]: rule["noDataState"] for rule in rules()}
    missed = {uid for uid, state in states.items() if state == "Alerting"}
    assert missed == {"tidemark-stands-still", "tidemark-watch-silent"}


def test_rules_ask_the_provisioned_sources() -> None:
    """A rule cannot take the reader's choice: it names a uid that is provisioned."""
    sources = YAML["provisioning/datasources/tidemark.yaml"]["datasources"]
    known = {source["uid"] for source in sources} | {"__expr__"}
    assert {each["datasourceUid"] for rule in rules() for each in rule["data"]} <= known
    points = YAML["provisioning/alerting/contact-points.yaml"]["contactPoints"]
    (policy,) = YAML["provisioning/alerting/policies.yaml"]["policies"]
    assert policy["receiver"] in {point["name"] for point in points}


def test_dashboards_and_rules_have_folders_of_their_own() -> None:
    """Rules find theirs by its title, dashboards by its uid: of one title Grafana makes two."""
    (provider,) = YAML["provisioning/dashboards/tidemark.yaml"]["providers"]
    (group,) = YAML["provisioning/alerting/rules.yaml"]["groups"]
    assert (provider["folder"], group["folder"]) == ("Tidemark", "Tidemark alerts")
