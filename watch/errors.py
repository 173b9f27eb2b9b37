"""What can go wrong while watching.

WatchError
├── StoreUnavailable   retryable: PostgreSQL cannot be reached or ended the session
├── StoreRefused       fatal for the check: a right or a function is missing; migrate
├── ProbeFailed        retryable: Kafka or a process of ours does not answer
└── WebhookRefused     retryable: the webhook did not take an alarm
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


class WebhookRefused(WatchError):
    """The webhook did not take an alarm. The message never holds its URL."""

    retryable = True
