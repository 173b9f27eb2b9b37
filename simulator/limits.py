"""Request weights and bans, by client address, as Binance counts them.

A window is a minute of the clock. Who exceeds the limit gets 429 until the window ends; who goes on
regardless is banned (418), each time for twice as long, from two minutes to three days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulator.errors import ApiError

_MINUTE_S = 60
_PATIENCE = 10  # requests during a 429 before a ban
_FIRST_BAN_S = 120
_LONGEST_BAN_S = 3 * 86_400


@dataclass(slots=True)
class _Account:
    """What one address did."""

    window: int = 0
    used: int = 0
    blocked_until_s: float = 0.0
    banned: bool = False
    refused: int = 0
    bans: int = 0


class LimitExceededError(ApiError):
    """429 or 418, with seconds to wait."""

    def __init__(self, status: int, message: str, retry_after_s: int) -> None:
        super().__init__(-1003, message, status)
        self.retry_after_s = retry_after_s


class Limits:
    """Weight used by each address in the current minute; `limit` 0 means: no limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._accounts: dict[str, _Account] = {}

    def charge(self, address: str, weight: int, now_s: float) -> int:
        """Count a request; the weight used so far, or LimitExceededError."""
        account = self._account(address, now_s)
        if now_s < account.blocked_until_s:
            self._refuse(account, now_s)
        account.used += weight
        if self.limit and account.used > self.limit:
            self.block(address, 429, _MINUTE_S - now_s % _MINUTE_S, now_s)
            raise self._refusal(account, now_s)
        return account.used

    def used(self, address: str, now_s: float) -> int:
        """Weight used in the current window."""
        return self._account(address, now_s).used

    def blocked(self, address: str, now_s: float) -> bool:
        """Whether the address should be silent now."""
        return now_s < self._account(address, now_s).blocked_until_s

    def block(self, address: str, status: int, seconds: float, now_s: float) -> None:
        """Refuse an address for a while, with 429 or 418."""
        account = self._account(address, now_s)
        account.blocked_until_s = now_s + seconds
        account.banned = status == 418
        account.refused = 0

    def refusal(self, address: str, now_s: float) -> LimitExceededError:
        """The answer that a blocked address gets."""
        return self._refusal(self._account(address, now_s), now_s)

    def reset(self) -> None:
        """Forget everything (tests)."""
        self._accounts.clear()

    def _account(self, address: str, now_s: float) -> _Account:
        account = self._accounts.setdefault(address, _Account())
        window = int(now_s // _MINUTE_S)
        if account.window != window:
            account.window, account.used = window, 0
        return account

    def _refuse(self, account: _Account, now_s: float) -> None:
        account.refused += 1
        if account.refused >= _PATIENCE:
            ban_s = min(_FIRST_BAN_S * 2**account.bans, _LONGEST_BAN_S)
            account.blocked_until_s = max(account.blocked_until_s, now_s + ban_s)
            account.banned, account.refused = True, 0
            account.bans += 1
        raise self._refusal(account, now_s)

    def _refusal(self, account: _Account, now_s: float) -> LimitExceededError:
        wait_s = max(1, math.ceil(account.blocked_until_s - now_s))
        if account.banned:
            until_ms = int(account.blocked_until_s * 1000)
            return LimitExceededError(
                418,
                f"Way too much request weight used; IP banned until {until_ms}. "
                "Please use WebSocket Streams for live updates to avoid bans.",
                wait_s,
            )
        return LimitExceededError(
            429,
            f"Too much request weight used; current limit is {self.limit or 6000} request weight "
            "per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
            wait_s,
        )
