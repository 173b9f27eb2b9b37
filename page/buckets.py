"""The partitions that a span of time lies in, computed in UTC. Pure.

Bucket columns hold the timestamp that starts the bucket, as the `.cql` files say.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def hour(moment: datetime) -> datetime:
    """Start of the moment's hour."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day(moment: datetime) -> datetime:
    """Start of the moment's day."""
    return hour(moment).replace(hour=0)


def month(moment: datetime) -> datetime:
    """Start of the moment's month."""
    return day(moment).replace(day=1)


def days(start: datetime, end: datetime) -> list[datetime]:
    """Every day that holds a moment of [start, end], oldest first."""
    first = day(start)
    return [first + timedelta(days=n) for n in range((day(end) - first).days + 1)]


def months(start: datetime, end: datetime) -> list[datetime]:
    """Every month that holds a moment of [start, end], oldest first."""
    return sorted({month(each) for each in days(start, end)})
