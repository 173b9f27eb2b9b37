"""What is left out while the watch sheds load, and the record of it. No I/O.

The level comes from table `load_shedding`. Polls of a stream that is shed are not made; rows of it
that were already fetched, and wait for PostgreSQL, are dropped. From the first of either on there
is an open row of `gaps` with cause `shed`, so that a crash loses nothing of the record: what the
database holds as open is taken up again at the next start.

- trades: the row begins at the first id that was left out. Afterwards the tape shows how far the
  hole reaches, and what can be asked for by its ids is read back; then the row is `repaired`. One
  that nobody has polled past names its first id only, and is not done once that one is read: it
  reaches as far as the next trade that is held, or, where the symbol is not watched any more, to
  nobody knows where, and is `unprovable`.
- depth and prices: times in ms. A book or a price of the past cannot be asked for, so the row
  becomes `unprovable` when polling goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from contracts.market import Gap, Trade
from contracts.shedding import NONE, shed
from ingest import metrics
from ingest.batch import Batch
from ingest.schedule import Poll
from ingest.tape import Tape

STREAM_OF: Final = {"depth": "depth", "trades": "trades", "ticker/price": "prices"}
"""Endpoint → stream, of what can be shed."""

EVERY_SYMBOL: Final = "*"  # `gaps.symbol` of a poll of all symbols
CAUSE: Final = "shed"
UNPOLLED: Final = "nobody polls the symbol any more, so nobody knows how far it reaches"


def obeyed(level: int, age_s: float, valid_s: float) -> int:
    """The level that counts: one that nobody has confirmed for `valid_s` does not.

    What is not asked for now is lost for ever, whereas a slot that is lost is healed by a new
    snapshot of what PostgreSQL holds. So where the watch is gone, ingest collects.
    """
    return level if age_s <= valid_s else NONE


def last_known_ids(newest: Mapping[str, int], gaps: Iterable[Gap]) -> dict[str, int]:
    """Symbol → last trade id before the next page, by the newest that the database holds.

    A symbol that was shed for so long that no trade of it is recent goes on where its gap begins.
    """
    known = dict(newest)
    for gap in gaps:
        if gap.stream == "trades" and gap.symbol not in newest:
            before = gap.first_missing - 1
            known[gap.symbol] = min(before, known.get(gap.symbol, before))
    return known


def is_only_begun(gap: Gap) -> bool:
    """Whether a row says where a gap begins, and not yet how far it reaches."""
    return gap.cause == CAUSE and gap.state == "open" and gap.first_missing == gap.last_missing


def reaching(gap: Gap, next_held: int, now: datetime) -> Gap:
    """The row of such a gap once a trade behind it is held: a find of its own (`gap_rows`)."""
    last = max(next_held - 1, gap.first_missing)
    return msgspec.structs.replace(gap, last_missing=last, detected_at=now, as_of=now)


class Shedding:
    """The level, and the gaps under way by (stream, symbol). Only `level` is set by a thread."""

    def __init__(self, venue: str) -> None:
        self.level = NONE
        self._venue = venue
        self._tape = Tape({})
        self._open: dict[tuple[str, str], Gap] = {}

    def resume(self, tape: Tape, gaps: Iterable[Gap]) -> None:
        """Take up the gaps that the database holds as open with our cause.

        Of a symbol's trades, the one under way is the one after which nothing was taken yet.
        """
        self._tape = tape
        for gap in gaps:
            if gap.stream != "trades" or gap.first_missing == (tape.last_id(gap.symbol) or 0) + 1:
                self._open[gap.stream, gap.symbol] = gap

    def sheds(self, poll: Poll) -> bool:
        """Whether the poll is not to be made."""
        return self.sheds_stream(STREAM_OF.get(poll.endpoint, ""))

    def sheds_stream(self, stream: str) -> bool:
        """Whether the stream is shed."""
        return stream in shed(self.level)

    def under_way(self, gap: Gap) -> bool:
        """Whether nobody can say yet how far that gap reaches."""
        known = self._open.get((gap.stream, gap.symbol))
        return known is not None and known.first_missing == gap.first_missing

    def forget(self, gap: Gap) -> None:
        """No poll is to come that ends that gap; the next one that is left out begins another."""
        if self.under_way(gap):
            del self._open[gap.stream, gap.symbol]

    def unpolled(self, gap: Gap, now: datetime) -> Gap:
        """The row that ends a gap of a symbol that is not watched any more."""
        self.forget(gap)
        last = gap.last_missing if gap.stream == "trades" else _ms(now)
        row = _lost(gap, last, now)
        return msgspec.structs.replace(row, detail=f"{row.detail}; {UNPOLLED}")

    def leave_out(self, poll: Poll, now: datetime) -> list[Gap]:
        """Note a poll that is not made; rows for `gaps` if it is the first one."""
        stream = STREAM_OF[poll.endpoint]
        metrics.SHED_POLLS.labels(stream).inc()
        if stream != "trades":
            return self._begin(stream, poll.symbol or EVERY_SYMBOL, _ms(now), now)
        last_id = self._tape.last_id(poll.symbol)
        if last_id is None:  # nothing of it was ever seen, so nothing can be named as missing
            return []
        return self._begin(stream, poll.symbol, last_id + 1, now)

    def strip(self, batch: Batch, now: datetime) -> Batch:
        """The batch without rows of what is shed, and with the gaps that this makes.

        Rows of another venue stay: whoever fetches them leaves them out, and says so, itself.
        """
        for stream in shed(self.level):
            rows = [row for row in getattr(batch, stream) if row.venue == self._venue]
            if not rows:
                continue
            others = [row for row in getattr(batch, stream) if row.venue != self._venue]
            metrics.SHED_ROWS.labels(stream).inc(len(rows))
            first: dict[str, int] = {}
            for row in rows:
                symbol = EVERY_SYMBOL if stream == "prices" else row.symbol
                place = row.trade_id if stream == "trades" else _ms(row.observed_at)
                first[symbol] = min(place, first.get(symbol, place))
            gaps = list(batch.gaps)
            for symbol, place in first.items():
                if stream == "trades":
                    self._tape.rewind(symbol, place - 1)
                gaps += self._begin(stream, symbol, place, now)
            batch = msgspec.structs.replace(batch, gaps=gaps, **{stream: others})
        return batch

    def polled_again(self, poll: Poll, now: datetime) -> list[Gap]:
        """The row that ends a gap of depth or prices; trades end by `trades_again`."""
        stream = STREAM_OF.get(poll.endpoint)
        gap = None
        if stream is not None and stream != "trades":
            gap = self._open.pop((stream, poll.symbol or EVERY_SYMBOL), None)
        return [] if gap is None else [_lost(gap, _ms(now), now)]

    def cause(self, symbol: str) -> str:
        """Why trades of a symbol are missing before its next page."""
        return CAUSE if ("trades", symbol) in self._open else "poll"

    def trades_again(
        self, symbol: str, fresh: Sequence[Trade], missing: Sequence[Gap], now: datetime
    ) -> list[Gap]:
        """The row that ends a gap of trades; call it before the tape takes `fresh`.

        `fresh`: what came after the gap, with what was read back of it; `missing`: rows of what was
        not. One of these that begins where the gap begins stands for it.
        """
        if not fresh:
            return []
        gap = self._open.pop(("trades", symbol), None)
        if gap is None or any(each.first_missing == gap.first_missing for each in missing):
            return []
        rest = [each.first_missing for each in missing if each.first_missing > gap.first_missing]
        last = min(rest, default=fresh[-1].trade_id + 1) - 1
        return [
            msgspec.structs.replace(
                gap,
                last_missing=max(last, gap.first_missing),
                state="repaired",
                detail=f"{gap.detail}; read back",
                as_of=now,
            )
        ]

    def _begin(self, stream: str, symbol: str, first: int, now: datetime) -> list[Gap]:
        """An open row, unless one is under way that begins no later.

        One that begins later has become a part of it: of trades it stays open until it is read
        back, which then costs nothing; of the others it is at its end.
        """
        known = self._open.get((stream, symbol))
        if known is not None and known.first_missing <= first:
            return []
        gap = Gap(
            venue=self._venue,
            symbol=symbol,
            stream=stream,
            first_missing=first,
            last_missing=first,
            state="open",
            cause=CAUSE,
            detail=f"left out from {now:%Y-%m-%d %H:%M:%S} UTC on",
            detected_at=now,
            as_of=now,
        )
        self._open[stream, symbol] = gap
        metrics.GAPS.labels(stream, "open").inc()
        if known is None or stream == "trades":
            return [gap]
        return [gap, _lost(known, known.first_missing, now)]


def _lost(gap: Gap, last: int, now: datetime) -> Gap:
    """The same, ended: what it says was never asked for."""
    metrics.GAPS.labels(gap.stream, "unprovable").inc()
    return msgspec.structs.replace(
        gap,
        last_missing=max(last, gap.first_missing),
        state="unprovable",
        detail=f"{gap.detail} until {now:%Y-%m-%d %H:%M:%S}",
        as_of=now,
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
