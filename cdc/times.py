"""Times as Debezium writes them (ISO 8601) to µs since the epoch, and the buckets they fall into.

Pure arithmetic on the proleptic Gregorian calendar: `datetime` ends at the years 1 and 9999,
PostgreSQL does not ('infinity' arrives as +292278994-08-17T07:12:55.807Z).
"""

from __future__ import annotations

import re

from cdc.errors import Undecodable
from cdc.mapping import Bucket

MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000

_ISO = re.compile(
    r"([+-]?\d{4,9})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?"
    r"(?:Z|([+-])(\d{2}):?(\d{2})(?::(\d{2}))?)",
    re.ASCII,
)

# Candle interval → bucket of the klines table. A month is '1M', a minute '1m'.
_BUCKET_OF_INTERVAL = {
    "1s": Bucket.DAY,
    **dict.fromkeys(("1m", "3m", "5m", "15m"), Bucket.MONTH),
    **dict.fromkeys(("30m", "1h", "2h", "4h"), Bucket.YEAR),
    **dict.fromkeys(("6h", "8h", "12h", "1d", "3d", "1w", "1M"), Bucket.DECADE),
}


def micros(iso: str) -> int:
    """Return µs since the epoch; Undecodable where the text is no time. Below µs is cut off."""
    match = _ISO.fullmatch(iso)
    if match is None:
        raise Undecodable(f"{iso[:40]!r} is not an ISO time with an offset")
    year, month, day, hour, minute, second, fraction, sign, *offset = match.groups()
    if not ("01" <= month <= "12" and "01" <= day <= "31" and hour < "24" and minute < "60"):
        raise Undecodable(f"{iso[:40]!r} is not a time that a calendar has")
    seconds = (
        days_from_civil(int(year), int(month), int(day)) * 86_400
        + int(hour) * 3600
        + int(minute) * 60
        + int(second or 0)
    )
    if sign:
        east = int(offset[0]) * 3600 + int(offset[1]) * 60 + int(offset[2] or 0)
        seconds += east if sign == "-" else -east
    return seconds * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the proleptic Gregorian calendar, any year.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def year_and_month(days: int) -> tuple[int, int]:
    """The year and month of a day since 1970-01-01: the inverse of days_from_civil."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year_of_era + (month <= 2), month


def bucket_of_interval(interval: str) -> Bucket:
    """The bucket of a candle interval; Undecodable where it is none of the exchange's."""
    try:
        return _BUCKET_OF_INTERVAL[interval]
    except KeyError:
        raise Undecodable(f"{interval[:20]!r} is not a candle interval") from None


def bucket_start(bucket: Bucket, ms: int) -> int:
    """Return the start, in ms since the epoch, of the bucket that holds `ms`.

    Equal to Cassandra's floor(timestamp, 1h | 1d | 1mo | 1y | 10y), and goes on before 1970,
    where Cassandra's refuses.
    """
    if bucket is Bucket.HOUR:
        return ms - ms % MS_PER_HOUR
    if bucket is Bucket.DAY:
        return ms - ms % MS_PER_DAY
    year, month = year_and_month(ms // MS_PER_DAY)
    if bucket is Bucket.MONTH:
        return days_from_civil(year, month, 1) * MS_PER_DAY
    if bucket is Bucket.YEAR:
        return days_from_civil(year, 1, 1) * MS_PER_DAY
    if bucket is Bucket.DECADE:
        return days_from_civil(year - year % 10, 1, 1) * MS_PER_DAY
    raise ValueError(f"{bucket} depends on the candle's interval: see bucket_of_interval")
