"""Why the page cannot show what it should; each message is shown to the person as it stands.

PageError
├── Unreachable     nobody answers, or not in time: it comes back by itself
├── AccessDenied    the reader's password or grant is wrong
├── NoSchema        keyspace or table is not made yet
└── NothingYet      there are tables, and no row of what is asked for
"""

from __future__ import annotations


class PageError(Exception):
    """The base; `lost` says that the connection is of no more use: the next look opens another."""

    def __init__(self, text: str, *, lost: bool = False) -> None:
        super().__init__(text)
        self.lost = lost


class Unreachable(PageError):
    """Cassandra does not answer. Looked for again at each refresh."""


class AccessDenied(PageError):
    """Cassandra denies the reader."""


class NoSchema(PageError):
    """What is asked for was not made yet."""


class NothingYet(PageError):
    """No row has arrived of what a view cannot do without."""
