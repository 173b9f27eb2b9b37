"""Tells a webhook of alarms: one JSON object a POST, at least once, in the order of the alarms.

    {"id": …, "alarm": "slot", "severity": "critical", "state": "raised", "text": "slot: …",
     "at": "2026-11-21T00:12:03.456+00:00", "generation": 1}

`text` is the same as in `events`; `state` is raised or cleared; what is sent again has the same
`id`. The URL stands in a file of its own, is read for each try, and is never logged: it may hold a
secret. What waits is kept in a file, so that a restart of the watch forgets nothing.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from pathlib import Path
from typing import Final

import httpx
import structlog

from watch import gauges
from watch.alarms import Transition
from watch.backlog import Backlog, Notice
from watch.errors import WebhookRefused

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 10.0
WAIT_FIRST_S: Final = 1.0
WAIT_LAST_S: Final = 60.0
END_WITHIN_S: Final = 2.0


def notice_of(transition: Transition, generation: int) -> Notice:
    """What the webhook is told of an alarm."""
    at = transition.at.isoformat(timespec="milliseconds")
    state = "cleared" if transition.severity == "info" else "raised"
    return {
        "id": f"{transition.alarm}-{state}-{at}",
        "alarm": transition.alarm,
        "severity": transition.severity,
        "state": state,
        "text": transition.message,
        "at": at,
        "generation": generation,
    }


def address(file: Path) -> httpx.URL | None:
    """The URL in the file, None where there is no file; WebhookRefused where it is unfit."""
    try:
        text = file.read_text(encoding="utf-8").strip()
        url = httpx.URL(text)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, httpx.InvalidURL) as error:
        raise WebhookRefused(f"{file} holds no readable URL ({type(error).__name__})") from None
    if not url.host or not (url.scheme == "https" or (url.scheme == "http" and _here(url))):
        raise WebhookRefused(f"the URL in {file} must be https://…, or http:// on this machine")
    return url


def _here(url: httpx.URL) -> bool:
    """Whether the URL's host is this machine."""
    try:
        return url.host == "localhost" or ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def post(url: httpx.URL, notice: Notice, timeout_s: float = TIMEOUT_S) -> None:
    """Send a notice; WebhookRefused says why it was not taken, and never names the URL."""
    try:
        with (
            httpx.Client(timeout=timeout_s, trust_env=not _here(url)) as http,
            http.stream("POST", url, json=notice) as answer,  # its body is nothing to us
        ):
            status, taken = answer.status_code, answer.is_success
    except httpx.HTTPError as error:
        raise WebhookRefused(f"the webhook does not answer ({type(error).__name__})") from None
    if not taken:
        raise WebhookRefused(f"the webhook answers {status}")


class Webhook:
    """Delivers notices from a thread of its own, each until it is taken, ever more slowly."""

    def __init__(self, file: Path, backlog: Backlog) -> None:
        self._file = file
        self._backlog = backlog
        self._more = threading.Event()
        self._ended = threading.Event()
        self._failing: tuple[float, str] | None = None  # since when, and why
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def tell(self, generation: int, transition: Transition) -> None:
        """Take an alarm on, if there is a webhook; returns at once and raises nothing."""
        if _is_there(self._file):
            self._backlog.append(notice_of(transition, generation))
            self._more.set()

    def complaint(self, patience_s: float) -> str | None:
        """What is wrong, once nothing has been taken for that long."""
        failing = self._failing
        if failing is None or time.monotonic() - failing[0] < patience_s:
            return None
        count = len(self._backlog)
        return f"{failing[1]}; {count} alarm{'s wait' if count > 1 else ' waits'} for it"

    def close(self) -> None:
        """Deliver what waits, as long as it is taken, and end; the next watch delivers the rest."""
        self._ended.set()
        self._more.set()
        self._thread.join(END_WITHIN_S)

    def _run(self) -> None:
        wait_s = WAIT_FIRST_S
        while True:
            self._more.clear()
            notice = self._backlog.first()
            gauges.WEBHOOK_WAITING.set(len(self._backlog))
            if notice is None:
                self._failing = None
                if self._ended.is_set():
                    return
                self._more.wait()
            elif self._deliver(notice):
                wait_s = WAIT_FIRST_S
            elif self._ended.is_set():
                return
            else:
                self._ended.wait(wait_s)
                wait_s = min(2 * wait_s, WAIT_LAST_S)

    def _deliver(self, notice: Notice) -> bool:
        """Whether the notice is done with: taken, or there is no webhook any more."""
        try:
            url = address(self._file)
            if url is not None:
                post(url, notice)
        except WebhookRefused as error:
            self._fail(str(error))
            return False
        except Exception as error:  # noqa: BLE001 - the thread lives on; the text may hold the URL
            self._fail(type(error).__name__)
            return False
        self._failing = None
        self._backlog.remove(notice)
        return True

    def _fail(self, reason: str) -> None:
        gauges.WEBHOOK_FAILURES.inc()
        if self._failing is None:
            log.warning("an alarm waits for the webhook", reason=reason)
        since = time.monotonic() if self._failing is None else self._failing[0]
        self._failing = since, reason


def _is_there(file: Path) -> bool:
    """Whether there is a webhook; a file that cannot be looked at is one that must be mended."""
    try:
        return file.exists()
    except OSError:
        return True
