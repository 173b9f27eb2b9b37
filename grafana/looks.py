"""How values look: units, decimals, colours, and what stands where there is no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting

GREEN, RED, AMBER, BLUE, GREY = "#26a69a", "#ef5350", "#ffb300", "#5794f2", "#8e8e8e"

PRICE = "locale"
PRICE_DECIMALS = 8
"""The only unit that writes both 0.00000012 and 100,000 as they are: it groups thousands, cuts at
most so many decimals and adds none. The default writes 1.2e-7 and, with decimals of its own choice,
drops the cents of 67,123.45. Eight decimals are the exchange's smallest tick."""

PERCENT, MONEY, AMOUNT, AGE = "percent", "currencyUSD", "short", "dateTimeFromNow"
NEVER = -(10**15)  # the year 1, in ms, is far above it

EMPTY = "nothing in this range"
NARROWEST = 60  # pixels of a column; by Grafana's 150 the last ones of five are out of sight


def thresholds(*steps: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Colours from each value on; the first has None."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value, color) for value, color in steps])
    )


SIGN = ((None, RED), (0.0, GREEN))


def unit(name: str, decimals: int | None = None) -> list[Setting]:
    """A field's unit, and its decimals where Grafana shall not choose them."""
    settings = [Setting("unit", name)]
    return settings if decimals is None else [*settings, Setting("decimals", decimals)]


def price() -> list[Setting]:
    """A price or a quantity, whatever its size."""
    return unit(PRICE, PRICE_DECIMALS)


def named(text: str, *more: Setting) -> list[Setting]:
    """A field under another name."""
    return [Setting("displayName", text), *more]


def color(value: str) -> Setting:
    """A field in one colour."""
    return Setting("color", {"mode": "fixed", "fixedColor": value})


def signed() -> list[Setting]:
    """Per cent, with a sign's colour as the cell's text."""
    return [
        *unit(PERCENT, 2),
        Setting("thresholds", thresholds(*SIGN).build()),
        Setting("custom.cellOptions", {"type": "color-text"}),
    ]


def age() -> list[Setting]:
    """A moment, as its distance from now; one that never was, as such."""
    never: dashboard.ValueMapping = dashboard.RangeMap(
        options=dashboard.DashboardRangeMapOptions(
            from_val=NEVER, to=0, result=dashboard.ValueMappingResult(text="never", color=RED)
        )
    )
    return [*unit(AGE), Setting("mappings", [never])]


def stale_after(*, amber_ms: int, red_ms: int) -> list[Setting]:
    """The text of a cell that is an age in ms: green, then amber, then red."""
    ages = thresholds((None, GREEN), (amber_ms, AMBER), (red_ms, RED)).build()
    return [Setting("thresholds", ages), Setting("custom.cellOptions", {"type": "color-text"})]


def wide(pixels: int) -> Setting:
    """A column of this width. The others share what is left evenly, whatever they hold."""
    return Setting("custom.width", pixels)


def words(meanings: Mapping[str, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Values as other texts in colours of their own: {value: (text, colour)}."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=shade, index=place)
        for place, (value, (text, shade)) in enumerate(meanings.items())
    }
    return [dashboard.ValueMap(options=options)]


def side_of_taker() -> list[Setting]:
    """Who took, by whether the buyer was the maker: one who was, was sold to."""
    meanings = words({"true": ("sell", RED), "false": ("buy", GREEN)})
    return [Setting("mappings", meanings), Setting("custom.cellOptions", {"type": "color-text"})]


def marks(name: str, shade: str, size: int = 9) -> list[Setting]:
    """Points on top of a chart instead of a line."""
    drawn = (Setting("custom.drawStyle", "points"), Setting("custom.pointSize", size))
    return named(name, *drawn, color(shade))


def lines(name: str, decimals: int | None = None) -> timeseries.Panel:
    """Lines over time; a pause in the data is a gap in the line, not a bridge."""
    panel = (
        timeseries.Panel()
        .unit(name)
        .no_value(EMPTY)
        .line_width(1)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .insert_nulls(120_000)
        .legend(legend_below().calcs(["lastNotNull"]))
    )
    return panel if decimals is None else panel.decimals(decimals)


def legend_below() -> VizLegendOptions:
    """The names of the lines, side by side under them."""
    return _legend(common.LegendDisplayMode.LIST, common.LegendPlacement.BOTTOM)


def legend_beside() -> VizLegendOptions:
    """A table at the right: the name and the newest value of each line."""
    made = _legend(common.LegendDisplayMode.TABLE, common.LegendPlacement.RIGHT)
    return made.calcs(["lastNotNull"])


def _legend(mode: common.LegendDisplayMode, placement: common.LegendPlacement) -> VizLegendOptions:
    return VizLegendOptions().show_legend(True).display_mode(mode).placement(placement)


def rows(fields: Mapping[str, Sequence[Setting]], *, empty: str = EMPTY) -> table.Panel:
    """A table with settings of its columns."""
    panel = table.Panel().no_value(empty).cell_height(common.TableCellHeight.SM).show_header(True)
    panel.override_by_regexp("/.*/", [Setting("custom.minWidth", NARROWEST)])
    for name, settings in fields.items():
        panel.override_by_name(name, list(settings))
    return panel


def number(
    name: str, *steps: tuple[float | None, str], fields: str = "", calc: str = "lastNotNull"
) -> stat.Panel:
    """One large number a series, its newest; `fields` is a regular expression of columns."""
    reduce = ReduceDataOptions().calcs([calc]).values(False)
    return (
        stat.Panel()
        .unit(name)
        .thresholds(thresholds(*(steps or ((None, BLUE),))))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(reduce.fields(fields) if fields else reduce)
    )


def symbol_link() -> Setting:
    """From a symbol's name to its own dashboard, at the same time and venue."""
    link = {
        "title": "${__value.text} on its own dashboard",
        "url": "/d/tidemark-symbol?${venue:queryparam}&var-symbol=${__value.text}"
        "&${__url_time_range}",
    }
    return Setting("links", [link])
