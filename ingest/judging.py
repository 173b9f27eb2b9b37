"""Whether minutes are conserved, by what the database holds: certificates, and holes for `gaps`.

Asks nobody outside. A minute is

- `certified`: its trades make its candle;
- `incomplete`: they do not, and an open gap says that some are missing;
- `differs`: they do not, and nothing is known to be missing (`ingest.investigation` asks then);
- `unprovable`: nobody can say, for the exchange itself has lost trades of it.

Without a certificate: not judged yet, or not collected. A minute is judged wrong only once trades
of it can no longer be on their way; the one in which collecting began is not judged at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from contracts.market import Certificate, Event, Gap
from ingest import metrics
from ingest.batch import Batch
from ingest.binance.limits import utc_now
from ingest.conservation import differences
from ingest.ledger import MINUTE, Around, Ledger, Minute
from ingest.repair import trade_gap

SETTLED: Final = timedelta(seconds=60)  # after a minute's end, trades of it may be on their way
PATIENCE: Final = timedelta(minutes=10)  # where no trade after it came yet
CAUSE: Final = "lost"  # of a hole in what the database holds: nobody noticed it when it came about
DETAIL_LIMIT: Final = 400  # characters, as the table says
_NEVER: Final = 2**63 - 1


class Judge:
    """Writes certificates and gaps into the ledger. For one thread."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._began: dict[str, tuple[datetime, datetime]] = {}  # symbol → (minute, looked at)

    def judge(self, minutes: Sequence[Minute]) -> None:
        """Certify each minute that has a candle, or say why not."""
        found = [row for minute in minutes if (row := self._verdict(minute)) is not None]
        known = {(each.symbol, each.open_time): each.known for each in minutes}
        news = [row for row in found if is_news(row, known[row.symbol, row.open_time])]
        self.tell(news)

    def tell(
        self, certificates: Sequence[Certificate], gaps: Sequence[Gap] = (),
        events: Sequence[Event] = (),
    ) -> None:  # fmt: skip
        """Write them, and count."""
        for row in certificates:
            metrics.CERTIFICATES.labels(row.state).inc()
        if certificates or gaps or events:
            batch = Batch(certificates=list(certificates), gaps=list(gaps), events=list(events))
            self.ledger.write(batch)

    def record_holes(self, symbol: str, since: datetime, until: datetime) -> None:
        """Open gaps for ids that are missing around the trades of a range and stand in no row."""
        holes = self.ledger.holes(symbol, since, until)
        if not holes:
            return
        first, last = holes[0].start, holes[-1].stop - 1
        known = self.ledger.gaps_among(symbol, "trades", first, last)
        detail = "not in the database"
        rows = [
            trade_gap(self.ledger.venue, symbol, rest, "open", CAUSE, detail)
            for hole in holes
            for rest in unrecorded(hole, known)
        ]
        if rows:
            self.ledger.write(Batch(gaps=rows))

    def record_filled(self, symbol: str, since: datetime, until: datetime, held: range) -> None:
        """End the gaps of ids that are all held by now, whoever brought them, as far as they are.

        A backfill from archives does; what is still missing of a gap keeps its state. By number
        all may be there while one is twice and another missing, so the holes are asked for.
        """
        known = self.ledger.gaps_among(symbol, "trades", held.start, held.stop - 1)
        if known and any(hole.start in held for hole in self.ledger.holes(symbol, since, until)):
            return
        rows = [row for gap in known for row in without(gap, held, utc_now())]
        if rows:
            self.ledger.write(Batch(gaps=rows))

    def gaps_of(self, minute: Minute, around: Around) -> list[Gap]:
        """What is known to be missing of a minute, between the trades that are held beside it."""
        first = 0 if around.before is None else around.before + 1
        last = _NEVER if around.after is None else around.after - 1
        return self.ledger.gaps_among(minute.symbol, "trades", first, last)

    def around(self, minute: Minute) -> Around:
        """The trades beside a minute."""
        return self.ledger.around(minute.symbol, minute.open_time, minute.open_time + MINUTE)

    def _verdict(self, minute: Minute) -> Certificate | None:
        """The certificate that is due; None where it is too early, or nothing was collected."""
        if minute.candle is None:
            return None
        found = differences(minute.candle, minute.made)
        if not found:
            return certificate(minute, "certified")
        now = utc_now()
        if not self._is_collected(minute, now):
            return None
        around = self.around(minute)
        if around.before is None:
            self._began[minute.symbol] = minute.open_time, now
            return None
        if is_early(minute, around, now):
            return None
        row = certificate(minute, "incomplete", "; ".join(found))
        if is_news(row, minute.known):  # else its holes were recorded when it was judged first
            self.record_holes(minute.symbol, minute.open_time, minute.open_time + MINUTE)
        missing = any(gap.state == "open" for gap in self.gaps_of(minute, around))
        return row if missing else certificate(minute, "differs", row.detail)

    def _is_collected(self, minute: Minute, now: datetime) -> bool:
        """False where nothing was held before a later minute, when that was looked at lately."""
        began, looked = self._began.get(minute.symbol, (minute.open_time, now - 2 * PATIENCE))
        return minute.open_time > began or now - looked > PATIENCE


def is_early(minute: Minute, around: Around, now: datetime) -> bool:
    """Whether trades of the minute may still be on their way."""
    age = now - (minute.open_time + MINUTE)
    return age < (PATIENCE if around.after is None else SETTLED)


def certificate(minute: Minute, state: str, detail: str = "") -> Certificate:
    """The row for a minute with a candle."""
    if minute.candle is None:
        raise ValueError(f"{minute.symbol} {minute.open_time}: no candle, nothing to certify")
    return Certificate(
        venue=minute.venue,
        symbol=minute.symbol,
        open_time=minute.open_time,
        state=state,
        trade_count=minute.made.trade_count,
        first_trade_id=minute.made.first_trade_id,
        last_trade_id=minute.made.last_trade_id,
        detail=detail if len(detail) <= DETAIL_LIMIT else f"{detail[: DETAIL_LIMIT - 1]}…",
        as_of=minute.candle.as_of,
    )


def is_news(row: Certificate, known: Certificate | None) -> bool:
    """Whether a verdict says more than the one that is known.

    That a minute differs is none where that was looked into already, with the same in hand.
    """
    if known is None or row.as_of > known.as_of:
        return True
    if _evidence(row) != _evidence(known):
        return True
    looked_into = row.state == "differs" and known.state in {"differs", "unprovable"}
    return row.state != known.state and not looked_into


def unrecorded(hole: range, gaps: Iterable[Gap]) -> list[range]:
    """The parts of a hole that stand in no gap."""
    found: list[range] = []
    start = hole.start
    for gap in sorted(gaps, key=lambda each: each.first_missing):
        if gap.first_missing >= hole.stop:
            break
        if gap.first_missing > start:
            found.append(range(start, gap.first_missing))
        start = max(start, gap.last_missing + 1)
    if start < hole.stop:
        found.append(range(start, hole.stop))
    return found


def without(gap: Gap, held: range, now: datetime) -> list[Gap]:
    """The rows that a gap becomes once these ids are held: what is left of it, and the rest."""
    inside = range(max(gap.first_missing, held.start), min(gap.last_missing + 1, held.stop))
    pieces = [
        (gap.first_missing, inside.start - 1, gap.state, gap.detail),
        (inside.start, inside.stop - 1, "repaired", f"{gap.detail}; filled".removeprefix("; ")),
        (inside.stop, gap.last_missing, gap.state, gap.detail),
    ]
    return [
        msgspec.structs.replace(
            gap, first_missing=first, last_missing=last, state=state, detail=detail, as_of=now
        )
        for first, last, state, detail in pieces
        if first <= last
    ]


def held_ids(minutes: Sequence[Minute]) -> range:
    """The ids of all trades of contiguous minutes; empty where there is none."""
    held = [each.made for each in minutes if each.made.trade_count]
    if not held:
        return range(0)
    return range(
        min(each.first_trade_id for each in held), max(each.last_trade_id for each in held) + 1
    )


def is_contiguous(minutes: Sequence[Minute]) -> bool:
    """Whether no id is missing or twice between the trades of these minutes."""
    return sum(each.made.trade_count for each in minutes) == len(held_ids(minutes))


def _evidence(row: Certificate) -> tuple[int, int, int]:
    return row.trade_count, row.first_trade_id, row.last_trade_id
