"""The webhook against a real HTTP receiver: what it gets, and what a bad one does to the watch."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from cli.alarms import alarms as commands
from tests.integration.receiver import Receiver
from tests.integration.sinking import wait_until
from watch.alarms import Alarm, Alarms, Transition
from watch.announcer import Announcer
from watch.backlog import WAITING_AT_MOST, Backlog
from watch.errors import WebhookRefused
from watch.settings import WatchSettings
from watch.store import Store
from watch.webhook import Webhook, address

pytestmark = pytest.mark.integration

START = datetime(2026, 11, 21, 0, 12, 3, 456_000, tzinfo=UTC)
SECRET = "T0KEN-nobody-may-read"


class Watch:
    """The part of a watch that speaks to the webhook, with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.url_file = folder / "webhook.url"
        self.backlog = Backlog(folder / "watch" / "waiting.json")
        self.webhook = Webhook(self.url_file, self.backlog)

    def raise_(self, *names: str) -> None:
        for name in names:
            self.tell(Transition(alarm=name, severity="critical", text=f"{name} is bad", at=START))

    def tell(self, transition: Transition) -> None:
        self.webhook.tell(7, transition)


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    watch = Watch(folder)
    try:
        yield watch
    finally:
        watch.webhook.close()


def point(folder: Path, port: int) -> None:
    (folder / "webhook.url").write_text(f"http://127.0.0.1:{port}/{SECRET}\n")


def alarms(receiver: Receiver) -> list[str]:
    return [each["alarm"] for each in receiver.got]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_alarm_is_posted_as_it_is_raised_and_as_it_is_cleared(tmp_path: Path) -> None:
    """Through the watch's own announcer; PostgreSQL is away meanwhile."""
    with closing(Receiver()) as receiver, watching(tmp_path) as watch:
        point(tmp_path, receiver.port)
        patience = (Alarm(name="slot", severity="critical", clear_after_s=0),)
        store = Store(WatchSettings(state_dir=tmp_path, postgres_port=9))
        announcer = Announcer(Alarms(patience), store, watch.tell)
        announcer.look("slot", "slot tidemark_g7 is lost", START)
        announcer.look("slot", None, START + timedelta(seconds=42))
        wait_until(lambda: len(receiver.got) == 2, 10)
    raised, cleared = receiver.got
    assert raised == {
        "id": "slot-raised-2026-11-21T00:12:03.456+00:00",
        "alarm": "slot",
        "severity": "critical",
        "state": "raised",
        "text": "slot: slot tidemark_g7 is lost",
        "at": "2026-11-21T00:12:03.456+00:00",
        "generation": 7,
    }
    assert (cleared["state"], cleared["severity"]) == ("cleared", "info")
    assert cleared["text"] == "slot: over after 42 s"


def test_a_receiver_that_is_away_gets_all_in_order_when_it_is_back(tmp_path: Path) -> None:
    """Meanwhile the watch can say that nothing is taken, and how much waits."""
    port = free_port()
    point(tmp_path, port)
    with watching(tmp_path) as watch:
        watch.raise_("a", "b", "c")
        wait_until(lambda: watch.webhook.complaint(0) is not None, 10)
        said = watch.webhook.complaint(0)
        assert said == "the webhook does not answer (ConnectError); 3 alarms wait for it"
        assert watch.webhook.complaint(60) is None
        with closing(Receiver(port)) as receiver:
            wait_until(lambda: len(receiver.got) == 3, 20)
            wait_until(lambda: len(watch.backlog) == 0, 5)
        assert alarms(receiver) == ["a", "b", "c"]
        assert watch.webhook.complaint(0) is None


def test_what_is_not_taken_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    """An error and a redirect are no success."""
    with closing(Receiver(answers=(500, 302))) as receiver, watching(tmp_path) as watch:
        point(tmp_path, receiver.port)
        watch.raise_("a")
        wait_until(lambda: len(receiver.got) == 3 and len(watch.backlog) == 0, 20)
    assert len({each["id"] for each in receiver.got}) == 1


def test_what_is_told_last_is_delivered_before_the_watch_ends(tmp_path: Path) -> None:
    """Nobody knows when the next one starts."""
    with closing(Receiver()) as receiver:
        point(tmp_path, receiver.port)
        with watching(tmp_path) as watch:
            watch.raise_("a", "b", "c")
        assert alarms(receiver) == ["a", "b", "c"]


def test_what_waits_outlives_the_watch(tmp_path: Path) -> None:
    """A restart sends it; what was taken is not sent again."""
    port = free_port()
    point(tmp_path, port)
    with watching(tmp_path) as watch:
        watch.raise_("a", "b")
        wait_until(lambda: watch.webhook.complaint(0) is not None, 10)
    with closing(Receiver(port)) as receiver:
        with watching(tmp_path) as watch:
            wait_until(lambda: len(watch.backlog) == 0, 10)
            watch.raise_("c")
            wait_until(lambda: len(watch.backlog) == 0, 10)
        with watching(tmp_path):
            time.sleep(0.3)
        assert alarms(receiver) == ["a", "b", "c"]


def test_a_receiver_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    """A check that tells of an alarm goes on at once, and the watch ends in time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as hangs:
        point(tmp_path, hangs.getsockname()[1])
        watch = Watch(tmp_path)
        began = time.monotonic()
        watch.raise_(*(f"alarm{number}" for number in range(20)))
        assert time.monotonic() - began < 2
        began = time.monotonic()
        watch.webhook.close()
        assert time.monotonic() - began < 3
        assert len(watch.backlog) == 20


def test_too_many_crowd_out_the_oldest(tmp_path: Path) -> None:
    """Memory and file stay bounded while a receiver is away for ever."""
    file = tmp_path / "waiting.json"
    file.write_text(json.dumps([{"id": number} for number in range(WAITING_AT_MOST)]))
    backlog = Backlog(file)
    for number in range(5):
        backlog.append({"id": WAITING_AT_MOST + number})
    again = Backlog(file)
    assert (len(again), again.first()) == (WAITING_AT_MOST, {"id": 5})


def test_a_backlog_that_cannot_be_read_is_said_and_begun_anew(tmp_path: Path) -> None:
    """A watch with half a file still watches."""
    file = tmp_path / "waiting.json"
    file.write_text('[{"id": 1')
    with capture_logs() as lines:
        assert len(Backlog(file)) == 0
    assert "are lost" in lines[0]["event"]


@pytest.mark.parametrize(
    "url",
    [
        f"http://example.org/{SECRET}",
        f"ftp://127.0.0.1/{SECRET}",
        f"https:///{SECRET}",
        SECRET,
        f"http://127.0.0.1:port/{SECRET}",
        "",
    ],
)
def test_an_unfit_url_is_refused_without_being_told(tmp_path: Path, url: str) -> None:
    """Only https, or http on this machine; the message names the file alone."""
    file = tmp_path / "webhook.url"
    file.write_text(url)
    with pytest.raises(WebhookRefused) as refused:
        address(file)
    assert str(file) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_the_url_is_never_logged(tmp_path: Path) -> None:
    """Not when nobody answers, nor when the answer is an error."""
    with (
        capture_logs() as lines,
        closing(Receiver(answers=(404,))) as receiver,
        watching(tmp_path) as watch,
    ):
        point(tmp_path, free_port())
        watch.raise_("a")
        wait_until(lambda: watch.webhook.complaint(0) is not None, 10)
        point(tmp_path, receiver.port)  # mended while the watch runs
        wait_until(lambda: len(watch.backlog) == 0, 20)
    assert lines
    assert SECRET not in repr(lines)


def test_without_a_file_there_is_no_webhook(tmp_path: Path) -> None:
    """Nothing waits; and what waited when the file was removed is dropped."""
    with watching(tmp_path) as watch:
        watch.raise_("a")
        assert len(watch.backlog) == 0
        point(tmp_path, free_port())
        watch.raise_("b")
        wait_until(lambda: watch.webhook.complaint(0) is not None, 10)
        watch.url_file.unlink()
        wait_until(lambda: len(watch.backlog) == 0, 10)


def test_the_command_tries_the_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0 where it is taken; else 1, and a line that says why."""
    file = tmp_path / "webhook.url"
    monkeypatch.setenv("TIDEMARK_ENV_FILE", os.devnull)
    monkeypatch.setenv("TIDEMARK_WATCH_WEBHOOK_FILE", str(file))
    command = CliRunner()
    missing = command.invoke(commands, ["test"])
    assert (missing.exit_code, str(file) in missing.output) == (1, True)
    with closing(Receiver(answers=(204, 403))) as receiver:
        point(tmp_path, receiver.port)
        taken, refused = command.invoke(commands, ["test"]), command.invoke(commands, ["test"])
    assert (taken.exit_code, alarms(receiver)) == (0, ["test", "test"])
    assert (refused.exit_code, "answers 403" in refused.output) == (1, True)
    assert SECRET not in taken.output + refused.output
