"""No text of the data becomes HTML, whatever it holds."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from page import markup, theme
from page.markup import Cell, Tile
from page.settings import PageSettings

HOSTILE = "<img src=x onerror=alert(1)>\"'&</td></div><script>"
TAGS = {"div", "span", "b", "table", "thead", "tbody", "tr", "th", "td", "a", "img"}
ATTRIBUTES = {"class", "href", "target", "src", "alt"}


class Read(HTMLParser):
    """What a browser would make of it: tags, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def everything(text: str) -> str:
    """Each kind of markup with the text in every place that takes one."""
    link = markup.symbol_link(text, text)
    return "".join(
        [
            # a header's first > is ours: it says on which side the column stands
            markup.table(
                text, (">" + text, ">" + text), [(text, Cell(text, "up", link))], note=text
            ),
            markup.empty(text, text),
            markup.tiles([Tile(text, text, text, "down", link, (1.0, 2.0, 1.5))]),
            markup.status("late", text, aside=text),
            markup.notice(text, bad=True),
            markup.title(text, text),
        ]
    )


@pytest.mark.parametrize("text", [HOSTILE, "javascript:alert(1)", "</style><script>"])
def test_hostile_text_stays_text(text: str) -> None:
    """A symbol is a name from outside; so is an alarm's message."""
    read = Read(everything(text))
    assert set(read.tags) <= TAGS
    assert {name for name, _ in read.attributes} <= ATTRIBUTES
    assert text in read.text
    sources = [value for name, value in read.attributes if name == "src"]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)


@given(st.text(min_size=1, max_size=40))
def test_any_text_makes_the_same_tags(text: str) -> None:
    """Nothing that a text holds adds a tag or an attribute, or takes one away."""
    plain, read = Read(everything("x")), Read(everything(text))
    assert read.tags == plain.tags
    assert [name for name, _ in read.attributes] == [name for name, _ in plain.attributes]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "a&venue=b", "1/2?x#y", "币安人生USDT"])
def test_link_to_a_symbol_names_that_symbol(symbol: str) -> None:
    """What the address is read back as, by the rules of addresses."""
    query = parse_qs(urlsplit(markup.symbol_link("binance", symbol)).query)
    assert query == {"venue": ["binance"], "symbol": [symbol]}


def test_empty_table_says_so() -> None:
    """Headers above nothing would look like a fault of the page."""
    assert "no data yet" in Read(markup.table("Tape", ("a", "b"), [])).text


def test_streamlit_is_silent_and_on_loopback() -> None:
    """No telemetry, no watcher, no magic, and only names of loopback are answered."""
    options = theme.options(PageSettings())
    assert options["server.address"] == "127.0.0.1"
    assert options["browser.gatherUsageStats"] is False
    assert options["server.fileWatcherType"] == "none"
    assert options["server.headless"] is True
    assert options["runner.magicEnabled"] is False
    hosts = options["server.allowedHosts"]
    assert isinstance(hosts, list)
    assert set(hosts) == {"127.0.0.1", "localhost"}


def test_every_option_is_one_that_streamlit_has() -> None:
    """A misspelt option would silently change nothing."""
    from streamlit import config  # noqa: PLC0415 - heavy, and needed here only

    assert set(theme.options(PageSettings())) <= set(config._config_options_template)
