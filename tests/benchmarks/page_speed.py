"""How fast the page is, as a real browser sees it, beside a stack that runs.

    TIDEMARK_ENV_FILE=… python -m tests.benchmarks.page_speed [--visits 10] [--seconds 40] [--write]

Needs Debian's Chromium. Each view is visited again and again, with the browser's cache warm, then
watched while it refreshes; for each refresh a page process of its own. A script in the page notes

- `drawn`: from the beginning of the navigation until every figure and panel of the view is there;
- `busy`: of each part of the view that refreshes, from its question to the end of its answer;
- `ages`: what the view itself says of its newest price or trade, at each look that found a newer.

A trade that a look has just missed waits for the next one, and then for the answer. Where trades
are polled (`TIDEMARK_STREAMS=off`) it waits for the poll first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from runtime.settings import PROJECT_ROOT
from tests import browser
from tests.benchmarks.figures import PAGE, Figure
from tests.benchmarks.kit import concluded, record_figures
from tests.benchmarks.running import ended
from tests.benchmarks.turns import CannotTakePart
from tests.browser import Browser
from tests.conftest import free_ports
from tests.screenshots import DRAWN
from watch.latency import quantile

VIEWS = ("market", "symbol", "pipeline")
REFRESHES_S = (1.5, 0.2)  # as it is set, and as fast as it can be
FIRST_PAINT_S, REFRESH_MS, VISIBLE_S = 2.0, 300.0, {1.5: 2.0, 0.2: 1.0}
START_S, VISIT_S = 60.0, 120.0  # patience with a page process, and with a view
NOTES = f"""
(() => {{
  const notes = window.notes = {{drawn: null, busy: [], ages: []}};
  const SILENCE_MS = 120, ROUNDING_MS = 200, RUN_HAS_ENDED = 2;  // bytes, as no other message
  const asked = [];
  let answered = null, told = null, newest = 0;
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {{
    constructor(...given) {{
      super(...given);
      this.addEventListener("message", (message) => {{
        answered = performance.now();
        const length = message.data.byteLength ?? message.data.size;
        if (length === RUN_HAS_ENDED && asked.length) notes.busy.push(answered - asked.shift());
      }});
    }}
    send(data) {{
      asked.push(performance.now());
      super.send(data);
    }}
  }};
  const look = () => {{
    const now = performance.now();
    if (notes.drawn === null && ({DRAWN})) notes.drawn = now;
    // one run may answer several questions
    while (asked.length && answered > asked[0] && now - answered > SILENCE_MS) {{
      notes.busy.push(answered - asked.shift());
    }}
    const status = document.querySelector(".tm-status");
    if (status !== null && status.innerText !== told) {{
      told = status.innerText;
      const age = /newest \\w+ ([0-9.]+) s old/.exec(told);
      if (age) {{
        const moment = Date.now() - 1000 * Number(age[1]);
        if (moment > newest + ROUNDING_MS) notes.ages.push(Number(age[1]));
        newest = Math.max(newest, moment);
      }}
    }}
    setTimeout(look, 10);
  }};
  look();
}})();
"""


@contextmanager
def page(refresh_s: float, environment: Mapping[str, str]) -> Iterator[str]:
    """A page process with that refresh, beside the one of the stack; its address."""
    (port,) = free_ports(1)
    variables = {"TIDEMARK_PAGE_PORT": str(port), "TIDEMARK_PAGE_REFRESH_S": str(refresh_s)}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "page"],
        cwd=PROJECT_ROOT,
        env=dict(environment) | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/_stcore/health", process)
        yield url
    finally:
        ended(process)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the page has ended; does a stack run?"
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("the page does not answer")


def measures(
    visits: int, seconds: float, environment: Mapping[str, str]
) -> Iterator[tuple[str, Iterator[Figure]]]:
    """Of every view, at each refresh: first paint and refreshes; of Symbol also how old it is.

    `environment`: of a page process on the stack that is looked at.
    """
    for refresh_s in REFRESHES_S:
        for view in VIEWS if refresh_s == REFRESHES_S[0] else ("symbol",):
            name = f"page, {view}, refresh {refresh_s} s, {visits} visits and {seconds:.0f} s"
            yield name, _measured(view, refresh_s, visits, seconds, environment)


def _measured(
    view: str, refresh_s: float, visits: int, seconds: float, environment: Mapping[str, str]
) -> Iterator[Figure]:
    """A view, in a page process and a browser of its own."""
    if browser.installed() is None:
        raise CannotTakePart("chromium is not installed")
    with page(refresh_s, environment) as url, Browser.started() as opened:
        opened.before_each_page(NOTES)
        address = f"{url}/" if view == "market" else f"{url}/{view}"
        drawn = [_visit(opened, address) for _ in range(visits + 1)][1:]
        time.sleep(seconds)
        notes: dict[str, Any] = opened.value("window.notes")
    busy, ages = notes["busy"][1:], notes["ages"]
    if not busy:
        raise ValueError(f"{view} did not refresh in {seconds:.0f} s")
    if refresh_s == REFRESHES_S[0]:
        yield _paint(view, drawn)
        yield _refreshes(view, busy)
    if view == "symbol":
        if not ages:
            raise ValueError("symbol tells no age of its newest trade or price")
        yield _ages(refresh_s, ages, busy)


def _visit(opened: Browser, address: str) -> float:
    """Seconds until all of the view is drawn."""
    opened.open("about:blank")
    opened.open(address)
    opened.wait_for("window.notes && window.notes.drawn !== null", VISIT_S)
    return float(opened.value("window.notes.drawn")) / 1000


def _paint(view: str, drawn: list[float]) -> Figure:
    return Figure(
        name=f"page, {view}: first paint",
        value=quantile(sorted(drawn), 0.5),
        unit="s",
        goal=FIRST_PAINT_S,
        note=f"median of {len(drawn)} visits, the slowest {max(drawn):.2f} s",
    )


def _refreshes(view: str, busy: list[float]) -> Figure:
    return Figure(
        name=f"page, {view}: refresh",
        value=quantile(sorted(busy), 0.5),
        unit="ms",
        goal=REFRESH_MS,
        note=f"median of {len(busy)}; p99 {quantile(sorted(busy), 0.99):.0f} ms",
    )


def _ages(refresh_s: float, ages: list[float], busy: list[float]) -> Figure:
    """Of a trade that has just missed a look: it waits for the next one, and for its answer."""
    wait_s = refresh_s + quantile(sorted(busy), 0.5) / 1000
    return Figure(
        name=f"page, symbol: a new trade or price is shown, refresh {refresh_s} s",
        value=quantile(sorted(ages), 0.5) + wait_s,
        unit="s",
        goal=VISIBLE_S[refresh_s],
        note="from the exchange's time, of one that has just missed a look: median age of "
        f"{len(ages)} new ones, a refresh and the answer; p99 "
        f"{quantile(sorted(ages), 0.99) + wait_s:.1f} s",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=40.0, help="that a view is watched")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    with concluded(PAGE, write=options.write) as results:
        found = measures(options.visits, options.seconds, os.environ)
        record_figures(PAGE, results, found)


if __name__ == "__main__":
    main()
