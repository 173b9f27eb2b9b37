"""Pipeline: how long a row takes, how far the history is proved, what is missing, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import streamlit as st

from page import buckets, choices, formats, health, markup
from page.feed import Feed
from page.figures.pipeline import STATES, arrivals, certificates, waterfall
from page.live import POLLED_S, Part, live
from page.markup import Cell, Tile
from page.reader import TABLES, Reader
from page.rows import Beat, Event, Gap, Minute, Proof
from page.views import panels

SOURCES = ("ingest", "debezium")  # what beats each second
OWN_VENUE = "tidemark"  # of events that the pipeline tells of itself
LATELY = timedelta(minutes=5)
SHOWN = timedelta(minutes=15)
PROVED = timedelta(hours=3)
DAY = timedelta(days=1)
ALARM_DAYS = timedelta(days=6)  # before yesterday
MAX_SYMBOLS = 12
MAX_ROWS = 10
OPEN, TRADES = "open", "trades"
SEVERE = {"critical": "down", "warning": "warn", "info": "muted"}


@dataclass(frozen=True)
class Pulse:
    """What changes each second."""

    newest: dict[str, datetime | None]
    beats: list[Beat]
    events: list[Event]


@dataclass(frozen=True)
class Proofs:
    """What changes by the minute."""

    proofs: list[Proof]
    gaps: list[Gap]
    minutes: list[Minute]
    events: list[Event]


def show(feed: Feed) -> None:
    """The whole view."""
    venue = choices.venue(feed, st.container(), quiet=True)
    live(feed, Part("pipeline/pulse", "", partial(_pulse, feed.name), _draw_pulse))
    if venue is None:
        return

    def proofs(reader: Reader, now: datetime) -> Proofs:
        return Proofs(
            proofs=reader.proofs(),
            gaps=reader.gaps(venue),
            minutes=reader.minutes(
                venue, choices.watched(feed, venue)[:MAX_SYMBOLS], now - PROVED, now
            ),
            events=[
                each for name in (OWN_VENUE, venue) for each in reader.events(name, now - DAY, now)
            ],
        )

    live(feed, Part("pipeline/proofs", venue, proofs, _draw_proofs, least_s=POLLED_S, quiet=True))


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8)
def _earlier(_reader: Reader, feed_name: str, start: datetime, end: datetime) -> list[Event]:
    """Events of days that are over: they are asked for once a minute."""
    del feed_name  # part of the key
    return _reader.events(OWN_VENUE, start, end)


def _pulse(feed_name: str, reader: Reader, now: datetime) -> Pulse:
    yesterday = buckets.day(now) - DAY
    return Pulse(
        newest={source: reader.newest_beat(source, now) for source in SOURCES},
        beats=reader.beats(SOURCES[0], now - SHOWN, now),
        events=[
            *reader.events(OWN_VENUE, yesterday, now),
            *_earlier(reader, feed_name, yesterday - ALARM_DAYS, yesterday - DAY),
        ],
    )


def _draw_pulse(seen: Pulse, now: datetime) -> None:
    ages = {source: formats.seconds_since(at, now) for source, at in seen.newest.items()}
    age = ages[SOURCES[0]]
    told = (
        "no heartbeat has arrived yet"
        if age is None
        else f"newest heartbeat {formats.age(age)} old"
    )
    st.html(markup.status(formats.freshness(age), told, aside=f"· {formats.clock(now)} UTC"))
    lately = [beat for beat in seen.beats if beat.beat_at >= now - LATELY]
    alarms = health.standing(seen.events)
    st.html(markup.tiles([*_age_tiles(ages), *_latency_tiles(lately), _alarm_tile(alarms)]))
    if alarms:
        st.html(_alarm_table(alarms, now))
    left, right = st.columns(2)
    with left:
        title = "Where the time goes"
        if stages := health.latencies(lately):
            note = "median of each stage, last 5 min"
            panels.chart("waterfall", title, note, waterfall(stages))
        else:
            panels.nothing(title, "no heartbeat within the last 5 minutes")
    with right:
        title = "From commit to visible"
        if took := health.arrivals(seen.beats):
            panels.chart("arrivals", title, "each heartbeat, last 15 min", arrivals(took))
        else:
            panels.nothing(title, "no heartbeat within the last 15 minutes")


def _age_tiles(ages: dict[str, float | None]) -> list[Tile]:
    tones = {"fresh": "up", "late": "warn", "stale": "down"}
    return [
        Tile(
            f"heartbeat of {source}",
            "none yet" if age is None else f"{formats.age(age)} old",
            tone=tones[formats.freshness(age)],
        )
        for source, age in ages.items()
    ]


def _latency_tiles(beats: Sequence[Beat]) -> list[Tile]:
    took = health.replication(beats)
    if took is None:
        return [Tile("commit → visible", formats.NOTHING)]
    note = f"{took.beats} beats in 5 min"
    return [
        Tile("commit → visible, median", formats.milliseconds(took.p50_ms), note),
        Tile("commit → visible, p99", formats.milliseconds(took.p99_ms), note),
    ]


def _alarm_tile(alarms: Sequence[health.Alarm]) -> Tile:
    if not alarms:
        return Tile("alarms", "none", "of the last week", "up")
    worst = "down" if any(each.severity == "critical" for each in alarms) else "warn"
    return Tile("alarms", str(len(alarms)), alarms[0].name, worst)


def _alarm_table(alarms: Sequence[health.Alarm], now: datetime) -> str:
    return markup.table(
        "Alarms that stand",
        ("alarm", "severity", ">since UTC", ">for", "what"),
        [
            [
                Cell(each.name, SEVERE.get(each.severity, "")),
                each.severity,
                formats.moment(each.since),
                formats.age(formats.seconds_since(each.since, now)),
                each.text,
            ]
            for each in alarms[:MAX_ROWS]
        ],
        note="docs/runbook.md has a chapter for each",
    )


def _draw_proofs(seen: Proofs, now: datetime) -> None:
    left, right = st.columns([2, 3])
    left.html(_verified(seen.proofs, now))
    with right:
        _certified(seen.minutes)
        st.html(_gaps(seen.gaps, now))
        st.html(_told(seen.events))


def _verified(proofs: Sequence[Proof], now: datetime) -> str:
    known = {proof.table: proof for proof in proofs}
    if not known:
        return markup.empty(
            "Verified through", "no pass has ended yet; the watch verifies by itself"
        )
    return markup.table(
        "Verified through",
        ("table", ">equal to PostgreSQL until", ">differ", ">looked"),
        [_proof(table, known.get(table), now) for table in TABLES],
        note="times UTC",
    )


def _proof(table: str, proof: Proof | None, now: datetime) -> list[Cell | str]:
    if proof is None:
        return [table, Cell("not yet", "muted"), "", ""]
    looked = formats.age(formats.seconds_since(proof.at, now))
    return [
        table,
        formats.moment(proof.through),
        Cell(formats.count(proof.differences), "down" if proof.differences else "muted"),
        f"{looked} ago" if proof.at else formats.NOTHING,
    ]


def _certified(minutes: Sequence[Minute]) -> None:
    states = Counter(each.state for each in minutes)
    told = " · ".join(
        f"{formats.count(states[state])} {state}" for state in STATES if states[state]
    )
    title = "Minutes whose trades make their candle, last 3 h"
    if minutes:
        panels.chart("certificates", title, told, certificates(minutes))
    else:
        panels.nothing(title, "no minute has been judged within the last 3 hours")


def _gaps(gaps: Sequence[Gap], now: datetime) -> str:
    states = Counter(gap.state for gap in gaps)
    told = ", ".join(f"{formats.count(number)} {state}" for state, number in sorted(states.items()))
    if not gaps:
        return markup.empty("Gaps", "none: nothing is missing and nothing was")
    first = sorted(gaps, key=lambda gap: (gap.state != OPEN, -gap.detected_at.timestamp()))
    return markup.table(
        "Gaps",
        ("symbol", "stream", "state", "cause", ">ids, or times UTC", ">found"),
        [
            [
                gap.symbol,
                gap.stream,
                Cell(gap.state, "warn" if gap.state == OPEN else "muted"),
                gap.cause,
                _span(gap),
                f"{formats.age(formats.seconds_since(gap.detected_at, now))} ago",
            ]
            for gap in first[:MAX_ROWS]
        ],
        note=told,
    )


def _span(gap: Gap) -> str:
    """Trade ids as they are, times of polls and candles as times."""
    if gap.stream != TRADES:
        return formats.stretch(gap.first_missing, gap.last_missing)
    return "–".join(str(each) for each in dict.fromkeys((gap.first_missing, gap.last_missing)))


def _told(events: Sequence[Event]) -> str:
    newest = sorted(events, key=lambda event: event.at, reverse=True)[:MAX_ROWS]
    if not newest:
        return markup.empty("Events", "none today and yesterday")
    return markup.table(
        "Events",
        ("time UTC", "kind", "symbol", "what"),
        [
            [
                formats.moment(event.at),
                Cell(event.kind, SEVERE.get(event.severity, "")),
                event.symbol,
                event.message,
            ]
            for event in newest
        ],
        note="today and yesterday, newest first",
    )
