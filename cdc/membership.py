"""Whether a consumer group knows its member, where nothing of the log is the member's.

A broker that was frozen is not in its own metadata for a moment. A librdkafka (2.10 on) that asks
just then forgets every broker and asks nobody again: it polls in peace, for ever. So another
client asks, and a member that its group does not know gives up; whoever made it begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cdc.errors import Adrift, Unreachable
from cdc.settings import CdcSettings
from cdc.topics import Topics

_JOIN_SESSIONS = 3  # timeouts of a session, within which a group takes a member in


class Membership:
    """Of one consumer in a group."""

    def __init__(
        self, settings: CdcSettings, group: str, member_id: Callable[[], str | None]
    ) -> None:
        """`member_id` tells by which id the consumer knows itself."""
        self._settings = settings
        self._group = group
        self._member_id = member_id
        self._patience_s = _JOIN_SESSIONS * settings.session_timeout_ms / 1000
        self._out_since: float | None = time.monotonic()  # None while partitions are ours

    def began(self) -> None:
        """Partitions are ours."""
        self._out_since = None

    def ended(self) -> None:
        """The group has dropped us."""
        self._out_since = time.monotonic()

    def check(self) -> None:
        """Raise Adrift where the group has not known us for long, although Kafka answers."""
        if self._out_since is None or time.monotonic() - self._out_since < self._patience_s:
            return
        known = self.members()
        if known is not None and self._member_id() not in known:
            raise Adrift(
                f"the group {self._group} has not known its member for "
                f"{self._patience_s:.0f} s, although Kafka answers: it begins anew"
            )
        self._out_since = time.monotonic()  # nobody could know us, or there is nothing for us

    def members(self) -> set[str] | None:
        """Whom the group has; None where Kafka does not answer."""
        try:
            with Topics(self._settings) as kafka:
                return kafka.members(self._group)
        except Unreachable:
            return None
