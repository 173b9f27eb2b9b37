"""Debian's Chromium, headless, over its DevTools protocol: open a page, wait, read, take a picture.

with Browser.started() as browser:
    browser.open("http://127.0.0.1:18501/")
    browser.wait_for("document.querySelector('.tm-tile') !== null", 20)
    browser.picture(Path("page.png"))
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser")
START_S = 30.0
LOOK_S = 0.1


def installed() -> str | None:
    """Path of the program; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Browser:
    """One tab of a browser that runs."""

    _wire: ClientConnection
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    @classmethod
    @contextmanager
    def started(cls, *, width: int = 1440, height: int = 1000) -> Iterator[Browser]:
        """A browser of its own, with a profile of its own, for the length of a block."""
        program = installed()
        assert program is not None, "chromium is not installed"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            process = subprocess.Popen(
                [
                    *(program, "--headless=new", "--no-sandbox", "--disable-gpu"),
                    *("--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"),
                    *("--remote-debugging-port=0", f"--user-data-dir={profile}"),
                    *(f"--window-size={width},{height}", "about:blank"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                address = _tab(Path(profile), process)
                with connect(address, max_size=None, compression=None) as wire:
                    yield cls(wire)
            finally:
                process.terminate()
                process.wait(20)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._wire.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self._wire.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def before_each_page(self, script: str) -> None:
        """Have a script run in every page that is opened from now on, before its own."""
        self._call("Page.enable")  # or it is kept and never run
        self._call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def text(self) -> str:
        """What a person reads."""
        return str(self.value("document.body.innerText"))

    def wait_for(self, expression: str, within_s: float) -> None:
        """Wait until the expression is true; AssertionError with the page's text."""
        deadline = time.monotonic() + within_s
        while not self.value(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"never true: {expression}\n{self.text()}")
            time.sleep(LOOK_S)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the window, made as high as the page where it is to be whole."""
        if whole:
            inside = "document.querySelector('.stMainBlockContainer').getBoundingClientRect()"
            height = int(self.value(f"{inside}.height") or 0) + 8
            width = int(self.value("window.innerWidth"))
            self._call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=max(600, height),
                deviceScaleFactor=1,
                mobile=False,
            )
            time.sleep(1.5)  # figures grow with the window
        taken = self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(taken["data"]))


def _tab(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """WebSocket address of the first tab."""
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_S
    while not told.exists() or not told.read_text().strip():
        assert process.poll() is None, "chromium has ended"
        assert time.monotonic() < deadline, "chromium does not start"
        time.sleep(LOOK_S)
    port = told.read_text().split()[0]
    while True:
        tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        pages = [tab for tab in tabs if tab["type"] == "page"]
        if pages:
            return str(pages[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < deadline, "chromium has no tab"
        time.sleep(LOOK_S)
