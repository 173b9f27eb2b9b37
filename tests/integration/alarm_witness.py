"""Watches for an alarm in every place where it is told, and says after how many seconds it was."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.receiver import Receiver

LIMIT_S = 30.0


@dataclass
class AlarmWitness:
    """`sql` asks PostgreSQL, `status` runs `tidemark status --json`.

    Limits of time are multiplied by `patience`, which is 1 on a machine of one's own.
    """

    metrics_port: int
    receiver: Receiver
    sql: Callable[..., list[Any]]
    status: Callable[[], subprocess.CompletedProcess[str]]
    patience: float = 1

    def metrics(self) -> str:
        """What the watch exposes; empty while it does not answer."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        try:
            return httpx.get(url, trust_env=False).text
        except httpx.HTTPError:
            return ""

    def wait_told(self, began: float, *alarms: str) -> dict[str, str]:
        """Wait until all alarms are in metric, webhook, `events` and status; their texts by name.

        Fails where one of the first three took longer than 30 s from `began` (time.monotonic())
        on, or where the status that is then asked does not show it. Prints the seconds.
        """
        took: dict[str, dict[str, float]] = {alarm: {} for alarm in alarms}
        limit_s = LIMIT_S * self.patience
        while any(len(each) < 3 for each in took.values()):
            assert time.monotonic() - began < limit_s, f"{took}; posted: {self.receiver.got}"
            for alarm, places in took.items():
                for place, told in self._look(alarm).items():
                    if told:
                        places.setdefault(place, round(time.monotonic() - began, 1))
            time.sleep(0.1)
        print(took)  # noqa: T201 - figures for `pytest -s`
        status = self.status()
        assert status.returncode == 1, "an alarm is unhealthy"
        alarms_now = json.loads(status.stdout)["snapshot"]["postgres"]["alarms"]
        shown = {each["name"]: each["text"] for each in alarms_now}
        texts = {alarm: str(shown[alarm]) for alarm in alarms}
        for alarm, text in texts.items():
            assert self._posted(alarm) == self._event(alarm) == f"{alarm}: {text}"
        return texts

    def _look(self, alarm: str) -> dict[str, bool]:
        return {
            "metric": f'tidemark_alarm{{alarm="{alarm}"}} 1.0' in self.metrics(),
            "webhook": self._posted(alarm) is not None,
            "events": self._event(alarm) is not None,
        }

    def wait_quiet(self, *alarms: str, within_s: float) -> None:
        """Wait until none of the alarms is raised: what is caused next is then news."""
        deadline = time.monotonic() + within_s * self.patience
        while noisy := [
            a for a in alarms if f'tidemark_alarm{{alarm="{a}"}} 1.0' in self.metrics()
        ]:
            assert time.monotonic() < deadline, f"raised before anything happened: {noisy}"
            time.sleep(0.5)

    def wait_cleared(self, alarm: str, within_s: float) -> None:
        """Wait until the alarm is over, in metric and webhook."""
        deadline = time.monotonic() + within_s * self.patience
        while (
            f'tidemark_alarm{{alarm="{alarm}"}} 0.0' not in self.metrics()
            or self._newest(alarm).get("state") != "cleared"
        ):
            assert time.monotonic() < deadline, f"{alarm} is not over: {self._newest(alarm)}"
            time.sleep(0.5)

    def _newest(self, alarm: str) -> dict[str, Any]:
        told = [each for each in self.receiver.got if each["alarm"] == alarm]
        return told[-1] if told else {}

    def _posted(self, alarm: str) -> str | None:
        newest = self._newest(alarm)
        return str(newest["text"]) if newest.get("state") == "raised" else None

    def _event(self, alarm: str) -> str | None:
        rows = self.sql(
            "SELECT message, severity FROM events WHERE kind = 'alarm' AND venue = 'tidemark' "
            "AND message LIKE %s ORDER BY at DESC, id DESC LIMIT 1",
            f"{alarm}: %",
        )
        return str(rows[0][0]) if rows and rows[0][1] != "info" else None
