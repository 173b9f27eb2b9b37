"""What the client does with each kind of answer: ask again, elsewhere, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.market import Price, Rejected
from ingest import metrics
from ingest.binance import endpoints, messages
from ingest.binance.client import Client, Times
from ingest.binance.rows import Parsed
from ingest.errors import BadAnswer, BadRequest, Banned, IngestError, RegionRefused, Unreachable
from ingest.exchange import Exchange
from ingest.settings import IngestSettings

GOOD = httpx.Response(
    200,
    content=b'[{"symbol":"BTCUSDT","price":"1.5"}]',
    headers={"X-MBX-USED-WEIGHT-1M": "44"},
)
NO_GZIP = httpx.ByteStream(b"no gzip")
HOSTS = ("https://one", "https://two")

Reply = httpx.Response | Exception


class Wire:
    """The other end: answers from a list, and what was asked."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.host)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def read(body: bytes, times: Times) -> Parsed[Price]:
    return messages.prices(body, "binance", times.received)


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., tuple[Any, Wire, list[Rejected]]]:
    """Ask once for prices; gives the answer or error, the wire and the evidence."""

    def ask(*replies: Reply, **change: Any) -> tuple[Any, Wire, list[Rejected]]:
        settings = IngestSettings(state_dir=tmp_path, backoff_s=0.001, **change)
        wire = Wire(list(replies))
        evidence: list[Rejected] = []

        async def main() -> Any:
            transport = httpx.MockTransport(wire)
            exchange = Exchange("binance", HOSTS)
            async with Client(
                settings, exchange, quarantine=evidence.append, transport=transport
            ) as client:
                try:
                    answer = await client.fetch(endpoints.prices(), read)
                except IngestError as error:
                    return error
                assert client.budget.used == 44
                return answer

        return asyncio.run(main()), wire, evidence

    return ask


def refusal(status: int, code: int = 0, **headers: str) -> httpx.Response:
    body = json.dumps({"code": code, "msg": "no"}).encode()
    return httpx.Response(status, content=body, headers=headers)


Ask = Callable[..., tuple[Any, Wire, list[Rejected]]]


def test_a_good_answer_is_read_and_its_weight_believed(ask: Ask) -> None:
    """One request, one answer; the header's weight is checked in the fixture."""
    answer, wire, _ = ask(GOOD)
    assert answer.value.rows[0].symbol == "BTCUSDT"
    assert wire.asked == ["one"]


def test_the_exchanges_clock_is_followed(tmp_path: Path) -> None:
    """A clock of ours that is five seconds slow does not make a candle close late or early."""
    client = Client(IngestSettings(state_dir=tmp_path), Exchange("binance", HOSTS))
    ours = datetime.now(UTC)
    client.set_clock(server_time=ours + timedelta(seconds=5), received=ours)
    assert timedelta(seconds=5) <= client.now() - ours < timedelta(seconds=7)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("dropped"),
        refusal(500, -1001),
        refusal(400, -1007),
        httpx.Response(503, content=b"<html>Service Unavailable</html>"),
        httpx.Response(302, headers={"Location": "http://169.254.169.254/"}),
        refusal(451),
        httpx.Response(200, content=b"<html>maintenance</html>"),
        httpx.Response(200, content=b'[{"symbol":"BTCUS'),
        httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=NO_GZIP),
    ],
)
def test_trouble_is_asked_again_at_the_next_host(ask: Ask, trouble: Reply) -> None:
    """Every request is a GET, so asking again is harmless; a redirect is never followed."""
    answer, wire, _ = ask(trouble, GOOD)
    assert answer.value.rows[0].symbol == "BTCUSDT"
    assert wire.asked == ["one", "two"]


def test_a_body_that_cannot_be_read_leaves_its_evidence_each_time(ask: Ask) -> None:
    """Quarantine counts every broken body, also when the next try was good."""
    html = b"<html>maintenance</html>"
    _, _, evidence = ask(httpx.Response(200, content=html), GOOD)
    assert [one.raw for one in evidence] == [html]


def test_half_a_gzip_is_evidence_and_no_row(ask: Ask) -> None:
    """Unpacking it raises nothing: what came out is the beginning of the JSON."""
    names = [f"COIN{number}USDT" for number in range(500)]
    whole = json.dumps([{"symbol": name, "price": "1.5"} for name in names]).encode()
    packed = gzip.compress(whole)
    cut = httpx.ByteStream(packed[: len(packed) // 2])
    half = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=cut)
    error, _, evidence = ask(half, attempts=1)
    assert isinstance(error, BadAnswer)
    assert [whole.startswith(one.raw) for one in evidence] == [True]
    assert 0 < len(evidence[0].raw) < len(whole)


def test_patience_ends_after_so_many_tries(ask: Ask) -> None:
    """The last error goes up."""
    error, wire, _ = ask(*[httpx.ConnectError("refused")] * 3, attempts=3)
    assert isinstance(error, Unreachable)
    assert len(wire.asked) == 3


@pytest.mark.parametrize("status", [429, 418, 403])
def test_a_ban_ends_all_asking_at_once(ask: Ask, status: int) -> None:
    """No other host is tried, and the next request does not leave the house."""
    error, wire, _ = ask(refusal(status, -1003, **{"Retry-After": "30"}), GOOD)
    assert isinstance(error, Banned)
    assert error.status == status
    assert wire.asked == ["one"]
    error, wire, _ = ask(GOOD)
    assert isinstance(error, Banned)
    assert wire.asked == []


def test_the_longest_of_several_silences_is_the_one_that_is_told(tmp_path: Path) -> None:
    """Requests that were under way together are refused one by one, each with its own time."""
    settings = IngestSettings(state_dir=tmp_path)
    longest = datetime.now(UTC) + timedelta(seconds=90)

    async def main() -> None:
        async with Client(settings, Exchange("binance", HOSTS), quarantine=print) as client:
            for until in (longest, longest - timedelta(seconds=30)):
                client._silence(418, until)

    asyncio.run(main())
    assert metrics.BAN_UNTIL._value.get() == longest.timestamp()


def test_too_much_weight_is_a_ban_whatever_its_status(ask: Ask) -> None:
    """The code −1003 says it."""
    error, wire, _ = ask(refusal(400, -1003), GOOD)
    assert isinstance(error, Banned)
    assert wire.asked == ["one"]


def test_a_region_that_every_host_refuses_is_explained_and_left_alone(ask: Ask) -> None:
    """One try a host, then silence for a while instead of a storm."""
    error, wire, _ = ask(refusal(451), refusal(451), GOOD)
    assert isinstance(error, RegionRefused)
    assert "https://one, https://two" in str(error)
    assert wire.asked == ["one", "two"]
    error, wire, _ = ask(GOOD)
    assert isinstance(error, Banned)
    assert error.status == 451


@pytest.mark.parametrize(("status", "code"), [(400, -1121), (400, -1100), (404, 0)])
def test_a_request_that_is_refused_is_not_repeated(ask: Ask, status: int, code: int) -> None:
    """The same question gets the same answer."""
    error, wire, _ = ask(refusal(status, code), GOOD)
    assert isinstance(error, BadRequest)
    assert error.code == code
    assert wire.asked == ["one"]


def test_a_body_without_end_is_cut_off(ask: Ask) -> None:
    """Its first megabytes are enough to see that it is not ours."""
    endless = httpx.Response(200, content=b"[" + b" " * 3_000_000)
    error, _, _ = ask(endless, endless, attempts=2, body_limit_mb=1)
    assert isinstance(error, BadAnswer)
    assert "cut off" in str(error)
