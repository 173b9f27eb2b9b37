"""Rows of one gap from writers that do not know of each other: no id that is missing drops out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec
import pytest

from contracts.market import Gap
from ingest import archive_repair, judging, readback, shedding
from ingest.backfill.apply import filled
from ingest.gap_rows import may_replace
from ingest.rows import newest
from ingest.tape import missing
from tests.market_rows import NOON, gap

Rule = Callable[[Gap, Gap], bool]
SECOND = timedelta(seconds=1)


def row(last: int, at_s: int, *, found_s: int = 0, state: str = "open") -> Gap:
    """A row of the gap that begins with 10."""
    return gap(
        10,
        last_missing=last,
        state=state,
        detected_at=NOON + found_s * SECOND,
        as_of=NOON + at_s * SECOND,
    )


def the_later_clock_wins(held: Gap, arriving: Gap) -> bool:
    """The rule of before."""
    return arriving.as_of >= held.as_of


@pytest.mark.parametrize(
    ("held", "arriving", "stands"),
    [
        (row(20, 0), row(15, 1), "arriving"),  # a page of it is read
        (row(20, 0), row(20, 1, state="repaired"), "arriving"),
        (row(12, 2), row(20, 3, state="repaired"), "arriving"),  # the end, after its pages
        (row(12, 2), row(20, 0), "held"),  # written once more
        (row(20, 0), row(50, 1, found_s=1), "arriving"),  # a poll: it reaches further
        (row(50, 1, found_s=1), row(15, 2), "held"),  # who read the shorter one
        (row(50, 1, found_s=1), row(20, 2, state="repaired"), "held"),
        (row(50, 1, found_s=1), row(30, 2, state="repaired", found_s=1), "arriving"),
        (row(20, 5, state="repaired"), row(50, 1, found_s=1), "arriving"),  # found before, told now
        (row(20, 5), row(50, 1, found_s=1, state="repaired"), "held"),
        (row(50, 1, state="exchange-confirmed"), row(20, 2, found_s=2), "held"),
        (row(50, 1, state="repaired"), row(20, 2, found_s=2), "arriving"),  # lost since
        (row(50, 2), row(50, 1, found_s=1), "held"),
    ],
)
def test_which_row_of_a_gap_stands(held: Gap, arriving: Gap, stands: str) -> None:
    """One by one, and within a batch."""
    assert may_replace(held, arriving) == (stands == "arriving")
    assert newest("gaps", [held, arriving]) == [arriving if stands == "arriving" else held]


def test_the_last_page_does_not_end_the_row_of_another_find() -> None:
    """What the exchange lacks of it follows from the gap that was read."""
    whole = row(50, 0)
    lacking = readback.of_find(row(12, 9, found_s=9, state="exchange-confirmed"), whole)
    assert may_replace(whole, lacking)
    assert not may_replace(row(70, 5, found_s=5), lacking)


def test_what_a_backfill_finds_again_of_a_gap_follows_from_it() -> None:
    """It lacks less than the row of before says: that row is cut short, and only that one."""
    before, found = row(50, 0), row(12, 5, found_s=5, state="exchange-confirmed")
    assert not may_replace(before, found), "by itself nobody knows what became of the rest"
    assert may_replace(before, filled(before, found))
    assert not may_replace(row(70, 6, found_s=6), filled(before, found))


class History:
    """Trades that are stored or not, the rows of `gaps`, and who works on them with old knowledge.

    All trades up to `newest` were made. Who looks at a gap goes on with it whenever it likes.
    """

    def __init__(self, rule: Rule, draw: random.Random) -> None:
        self.rule, self.draw = rule, draw
        self.now, self.newest = NOON, 9
        self.stored: set[int] = set(range(10))
        self.rows: dict[int, Gap] = {}
        self.under_way: list[Iterator[None]] = []

    def tick(self) -> datetime:
        self.now += timedelta(seconds=self.draw.uniform(0.1, 60))
        return self.now

    def write(self, *rows: Gap) -> None:
        """A batch, whose rows have been made somewhat earlier."""
        for each in rows:
            held = self.rows.get(each.first_missing)
            if held is None or self.rule(held, each):
                self.rows[each.first_missing] = each

    def poll(self) -> None:
        """After a crash the tape ends where rows end: all that is missing behind that is found."""
        known = self.draw.choice([*self.stored])
        self.newest += self.draw.randint(1, 20)
        self.stored.add(self.newest)
        for hole in missing(self.stored, range(known + 1, self.newest)):
            now = self.tick()
            self.write(gap(hole.start, last_missing=hole.stop - 1, detected_at=now, as_of=now))

    def vanish(self) -> None:
        """A trade is lost, and found to be so.

        Not one that somebody may have just read back: the walk of the audit finds that, once more.
        """
        near = {
            number
            for each in self.rows.values()
            for number in range(each.first_missing, each.last_missing + 1)
        }
        if left := sorted(self.stored - near):
            gone = self.draw.choice(left)
            self.stored.discard(gone)
            now = self.tick()
            self.write(gap(gone, last_missing=gone, detected_at=now, as_of=now))

    def look(self) -> None:
        """Somebody begins to work on a gap as it is now."""
        found = [each for each in self.rows.values() if each.state == "open"]
        if found:
            work = self.draw.choice([self.read, self.audit, self.prove])
            self.under_way.append(work(self.draw.choice(found)))

    def work(self) -> None:
        """Somebody goes on, up to an hour after it looked."""
        if self.under_way:
            self.now += timedelta(minutes=self.draw.uniform(0, 10))
            chosen = self.draw.choice(self.under_way)
            if next(chosen, self) is self:
                self.under_way.remove(chosen)

    def read(self, seen: Gap) -> Iterator[None]:
        """Page by page from its end, as readback does."""
        left: Gap | None = seen
        while left is not None:
            size = self.draw.randint(1, 8)
            start = max(left.first_missing, left.last_missing + 1 - size)
            page = range(start, left.last_missing + 1)
            self.stored |= set(page)
            left = readback.before(left, page)
            now = self.tick()
            row = left or readback.ended(seen)
            yield
            self.write(msgspec.structs.replace(row, as_of=now))
            yield

    def audit(self, seen: Gap) -> Iterator[None]:
        """What is held of it, as the walk sees it."""
        ids = range(seen.first_missing, seen.last_missing + 1)
        held = [each for each in ids if each in self.stored]
        runs = [range(each, each + 1) for each in held]
        if not runs:
            return
        rows = judging.without(seen, self.draw.choice(runs), self.tick())
        yield
        self.write(*rows)

    def prove(self, seen: Gap) -> Iterator[None]:
        """Files or a backfill, all at once; a part of it may be lacking."""
        ids = range(seen.first_missing, seen.last_missing + 1)
        lacking = self.draw.choice([ids[:0], ids[:1], ids[-1:]])
        self.stored |= set(ids) - set(lacking)
        now = self.tick()
        rows = archive_repair.filled(seen, [lacking] if lacking else [])
        if self.draw.random() < 0.3 and not lacking:
            rows = [filled(seen, None)]
        yield
        self.write(*(msgspec.structs.replace(each, as_of=now) for each in rows))

    def nowhere(self) -> set[int]:
        """Ids that are neither stored nor named as missing."""
        named = {
            number
            for each in self.rows.values()
            if each.state != "repaired"
            for number in range(each.first_missing, each.last_missing + 1)
        }
        return set(range(self.newest + 1)) - self.stored - named


def histories(rule: Rule, count: int) -> set[int]:
    """Seeds of those histories in which an id comes to stand nowhere."""
    found = set()
    for seed in range(count):
        history = History(rule, random.Random(seed))
        for _ in range(120):
            getattr(
                history, history.draw.choice(["poll", "look", "look", "vanish", *["work"] * 6])
            )()
        while history.under_way:
            history.work()
        if history.nowhere():
            found.add(seed)
    return found


def test_no_id_comes_to_stand_nowhere() -> None:
    """Looks, polls, losses and repairs interleaved; the same histories find the old fault."""
    assert histories(may_replace, 400) == set()
    assert histories(the_later_clock_wins, 100)


def test_a_gap_that_was_only_begun_reaches_to_the_next_trade_that_is_held() -> None:
    """A find of its own, so that nobody who knew its first id only can end it."""
    begun = gap(10, last_missing=10, cause="shed")
    assert shedding.is_only_begun(begun)
    assert not shedding.is_only_begun(gap(10, last_missing=10))
    assert not shedding.is_only_begun(gap(10, last_missing=11, cause="shed"))
    reached = shedding.reaching(begun, 51, NOON + SECOND)
    assert (reached.first_missing, reached.last_missing, reached.state) == (10, 50, "open")
    assert may_replace(begun, reached)
    assert not may_replace(reached, readback.ended(begun))
