"""Answers that are no market data: what stands before the exchange, or the exchange in trouble."""

from __future__ import annotations

import json
from dataclasses import dataclass

from simulator.errors import ScriptError


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: HTTP status, media type, body."""

    status: int
    media_type: str
    body: str


_HTML = "text/html"
_JSON = "application/json"


def _html(title: str, text: str) -> str:
    return (
        f"<!DOCTYPE html>\r\n<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body>\r\n<center><h1>{title}</h1></center>\r\n<p>{text}</p>\r\n</body>\r\n</html>\r\n"
    )


def _error(code: int, message: str) -> str:
    return json.dumps({"code": code, "msg": message}, separators=(",", ":"))


_PAGES = {
    "firewall": Page(403, _HTML, _html("403 ERROR", "Request blocked.")),
    "restricted": Page(
        451,
        _JSON,
        # the exchange indents this one body
        json.dumps(
            {
                "code": 0,
                "msg": "Service unavailable from a restricted location according to "
                "'b. Eligibility' in https://www.binance.com/en/terms. Please contact customer "
                "service if you believe you received this message in error.",
            },
            indent=2,
        ),
    ),
    "not_found": Page(404, _HTML, _html("404 Not Found", "No such path.")),
    "disconnected": Page(
        500,
        _JSON,
        _error(-1001, "Internal error; unable to process your request. Please try again."),
    ),
    "unknown": Page(
        500, _JSON, _error(-1000, "An unknown error occurred while processing the request.")
    ),
    "gateway": Page(502, _HTML, _html("502 Bad Gateway", "nginx")),
    "overloaded": Page(
        503, _HTML, _html("503 ERROR", "This distribution exceeded the limit on requests.")
    ),
    "busy": Page(
        503,
        _JSON,
        _error(
            -1008,
            "Server is currently overloaded with other requests. "
            "Please try again in a few minutes.",
        ),
    ),
    "timeout": Page(
        504,
        _JSON,
        _error(
            -1007,
            "Timeout waiting for response from backend server. Send status unknown; "
            "execution status unknown.",
        ),
    ),
    "clock": Page(
        400, _JSON, _error(-1021, "Timestamp for this request is outside of the recvWindow.")
    ),
    "maintenance": Page(200, _HTML, _html("System maintenance", "We will be back soon.")),
    "empty": Page(200, _JSON, ""),
}
NAMES = tuple(_PAGES)


def page(name: str, status: int | None = None) -> Page:
    """The page of that name; ScriptError where there is none."""
    found = _PAGES.get(name)
    if found is None:
        raise ScriptError(f"there is no page {name!r}; the pages are {', '.join(NAMES)}")
    return Page(status or found.status, found.media_type, found.body)
