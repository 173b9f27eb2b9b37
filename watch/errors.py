"""What can go wrong while watching.

WatchError
├── StoreUnavailable   retryable: PostgreSQL cannot be reached or ended the session
└── StoreRefused       fatal for the check: a right or a function is missing; migrate
"""

from __future__ import annotations


class WatchError(Exception):
    """Base of this stage's errors; the message says what to do next."""

    retryable = False


class StoreUnavailable(WatchError):
    """PostgreSQL cannot be reached now; the check tries again in its next round."""

    retryable = True


class StoreRefused(WatchError):
    """PostgreSQL answers, and refuses: rights or schema are not those of this version."""


class ProbeFailed(WatchError):
    """Kafka or a process of ours does not answer."""

    retryable = True
