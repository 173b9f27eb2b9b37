"""What the client does with each kind of answer, and that its key is seen by nobody else."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from contracts.market import Rejected
from ingest.coingecko.calls import CallBook
from ingest.coingecko.client import KEY_HEADER, Client
from ingest.coingecko.quota import Spent
from ingest.errors import BadAnswer, BadRequest, Banned, IngestError, QuotaSpent, Unreachable
from ingest.settings import IngestSettings
from ingest.source import HOSTS, Source
from tests.recorded import recorded
from tests.unit.test_coingecko_messages import coin

GZIP = {"content-encoding": "gzip"}
KEY = "CG-canary-5f3a"
Reply = httpx.Response | Exception


def good() -> httpx.Response:
    return httpx.Response(200, content=json.dumps([coin(), coin(id="ethereum")]).encode())


class Wire:
    """The other end: answers from a list, and what was asked."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


Ask = Callable[..., tuple[Any, Wire, list[Rejected]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask once; gives the answer or the error, the wire and the evidence."""

    def ask(*replies: Reply, **change: Any) -> tuple[Any, Wire, list[Rejected]]:
        settings = IngestSettings(state_dir=tmp_path, backoff_s=0.001, **change)
        source = Source("coingecko", HOSTS["coingecko"], SecretStr(KEY))
        wire = Wire(list(replies))
        evidence: list[Rejected] = []

        async def main() -> Any:
            client = Client(
                settings,
                source,
                quarantine=evidence.append,
                transport=httpx.MockTransport(wire),
            )
            try:
                return await client.markets(("bitcoin", "ethereum"), "usd")
            except IngestError as error:
                return error
            finally:
                await client.close()

        return asyncio.run(main()), wire, evidence

    return ask


def test_all_coins_come_in_one_call_with_the_key_in_a_header(ask: Ask) -> None:
    """The address says which coins, and not the key."""
    answer, wire, _ = ask(good())
    assert [row.coin_id for row in answer.value.rows] == ["bitcoin", "ethereum"]
    (request,) = wire.asked
    assert request.url.host == "api.coingecko.com"
    assert request.url.scheme == "https"
    assert request.url.path == "/api/v3/coins/markets"
    assert dict(request.url.params) == {
        "vs_currency": "usd",
        "ids": "bitcoin,ethereum",
        "per_page": "2",
    }
    assert request.headers[KEY_HEADER] == KEY
    assert KEY not in str(request.url)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500),
        httpx.Response(503, content=b"<html>"),
        httpx.Response(200, content=b"<html>maintenance</html>"),
        httpx.Response(200, content=b""),
    ],
)
def test_trouble_that_passes_is_asked_again(ask: Ask, trouble: Reply) -> None:
    """One failure costs one more call."""
    answer, wire, _ = ask(trouble, good())
    assert len(answer.value.rows) == 2
    assert len(wire.asked) == 2


def test_it_gives_up_after_its_tries(ask: Ask) -> None:
    """And says what was wrong."""
    error, wire, _ = ask(*[httpx.Response(502)] * 3, attempts=3)
    assert isinstance(error, Unreachable)
    assert "502" in str(error)
    assert len(wire.asked) == 3


def test_a_month_without_spare_calls_is_not_spent_on_asking_again(ask: Ask, tmp_path: Path) -> None:
    """What the schedule needs until the month's end stays."""
    now = datetime.now(UTC)
    CallBook(tmp_path / "run", "coingecko").write(Spent(f"{now:%Y-%m}", 9_999, None))
    error, wire, _ = ask(httpx.Response(502))
    assert isinstance(error, Unreachable)
    assert len(wire.asked) == 1
    assert CallBook(tmp_path / "run", "coingecko").read().calls == 10_000


def test_a_month_that_is_spent_sends_nothing(ask: Ask, tmp_path: Path) -> None:
    """Not even one request."""
    spent = Spent(f"{datetime.now(UTC):%Y-%m}", 10_000, None)
    CallBook(tmp_path / "run", "coingecko").write(spent)
    error, wire, _ = ask()
    assert isinstance(error, QuotaSpent)
    assert wire.asked == []


@pytest.mark.parametrize(("headers", "wait_s"), [({"Retry-After": "119"}, 119), ({}, 60)])
def test_too_many_requests_is_obeyed_by_the_next_process_too(
    ask: Ask, headers: dict[str, str], wait_s: int
) -> None:
    """429 is never asked again at once, and a restart does not forget it."""
    before = datetime.now(UTC)
    error, wire, _ = ask(httpx.Response(429, headers=headers))
    assert isinstance(error, Banned)
    assert len(wire.asked) == 1
    assert timedelta(0) <= error.until - before - timedelta(seconds=wait_s) < timedelta(seconds=9)
    again, wire, _ = ask()
    assert isinstance(again, Banned)
    assert again.until == error.until
    assert wire.asked == []


def test_a_recorded_429_is_understood(ask: Ask) -> None:
    """The body and the header that CoinGecko really sent."""
    answers = json.loads(recorded("error_bodies.json").read_text())
    (said,) = [each for each in answers if each["name"] == "coingecko_429"]
    body, headers = said["body"].encode(), {"Retry-After": said["headers"]["Retry-After"]}
    error, wire, _ = ask(httpx.Response(said["status"], content=body, headers=headers))
    assert isinstance(error, Banned)
    assert 110 < (error.until - datetime.now(UTC)).total_seconds() <= 119
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"status": {"error_code": 10002, "error_message": "no"}}, "the key is not valid"),
        (400, {"error": "invalid vs_currency"}, "invalid vs_currency"),
        (422, {"error": "Missing parameter vs_currency"}, "Missing parameter"),
        (404, [], "Not Found"),
    ],
)
def test_a_refusal_is_not_asked_again(ask: Ask, status: int, body: Any, said: str) -> None:
    """The error holds what CoinGecko said."""
    error, wire, _ = ask(httpx.Response(status, content=json.dumps(body).encode()))
    assert isinstance(error, BadRequest)
    assert said in str(error)
    assert len(wire.asked) == 1


def test_a_redirect_is_not_followed(ask: Ask) -> None:
    """The key goes to no other host, as to a metadata address."""
    elsewhere = httpx.Response(302, headers={"Location": "http://169.254.169.254/latest"})
    error, wire, _ = ask(elsewhere, elsewhere, attempts=2)
    assert isinstance(error, Unreachable)
    assert "redirect" in str(error)
    assert {request.url.host for request in wire.asked} == {"api.coingecko.com"}


def test_a_body_without_end_is_cut(ask: Ask) -> None:
    """Also one that is small until it is decompressed counts as what it becomes."""
    long = b"[" + b" " * (100 << 20)
    for reply in (
        httpx.Response(200, content=long),
        httpx.Response(200, stream=httpx.ByteStream(gzip.compress(long)), headers=GZIP),
    ):
        error, _, _ = ask(reply, body_limit_mb=1, attempts=1)
        assert isinstance(error, BadAnswer)
        assert "more than 1048576 bytes; cut off" in str(error)


def test_the_key_is_nowhere_in_what_is_kept(
    ask: Ask, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """An answer that says our key back: not in errors, evidence, logs or files."""
    caplog.set_level(logging.DEBUG)
    hostile = [
        httpx.Response(400, content=json.dumps({"error": f"bad key {KEY}"}).encode()),
        httpx.Response(200, content=f"<html>{KEY}</html>".encode()),
        httpx.Response(200, content=json.dumps([coin(name=KEY, current_price=None)]).encode()),
    ]
    kept: list[str] = []
    for reply in hostile:
        result, _, evidence = ask(reply, attempts=1)
        rejected = [] if isinstance(result, IngestError) else result.value.rejected
        assert isinstance(result, BadRequest | BadAnswer) or rejected
        kept += [str(result), repr(result), *(repr(each) for each in [*evidence, *rejected])]
    kept += [path.read_text() for path in (tmp_path / "run").iterdir()]
    assert not any(KEY in text for text in [*kept, caplog.text])
    assert any("<key>" in text for text in kept)
