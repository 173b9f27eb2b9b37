"""How `tidemark status` looks: a page of a terminal, colours only where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cdc.connector.client import ConnectorStatus
from cdc.readings import Count
from cdc.routes import SOURCES, routes_of
from cdc.verification.proof import Proof
from contracts.naming import slot_name
from contracts.shedding import shed
from stack.supervision import ServiceState
from watch.health import Finding
from watch.latency import STAGES
from watch.probes import Exchange, unapplied
from watch.snapshot import History, Snapshot, Truth, Unread

KILO = 1024
UNCONFIRMED_S = 60  # the watch confirms what is shed each few seconds


def render(seen: Snapshot, services: Sequence[ServiceState], wrong: Sequence[Finding]) -> Group:
    """The whole page."""
    parts: list[RenderableType] = [_title(seen, wrong)]
    if services:
        parts.append(_services(services))
    parts += [_way(seen), _stages(seen), _rows(seen), *_findings(wrong)]
    return Group(*(part for part in parts if part is not None))


def size(count: int | None) -> str:
    """Bytes in a unit that a person reads."""
    if count is None:
        return "unlimited"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < KILO:
            break
        value, unit = value / KILO, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """Seconds as 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if seconds < 10:
        return f"{seconds:.1f} s"
    if minutes < 2:
        return f"{seconds:.0f} s"
    if hours < 2:
        return f"{minutes:.0f} min"
    if days < 2:
        return f"{int(hours)} h {int(minutes) % 60} min"
    return f"{int(days)} d {int(hours) % 24} h"


def number(count: Count | None, *, bound: str) -> str:
    """Rows with thousands; `bound` stands before what is not exact."""
    if count is None:
        return "–"
    return f"{count.rows:,}" if count.exact else f"{bound} {count.rows:,}"


def _title(seen: Snapshot, wrong: Sequence[Finding]) -> Text:
    text = Text(f"Tidemark · {seen.at:%Y-%m-%d %H:%M:%S} UTC · generation {seen.generation} · ")
    if wrong:
        text.append(f"{len(wrong)} to look at", style="bold red")
    else:
        text.append("healthy", style="bold green")
    return text


def _table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for header in headers:
        table.add_column(header.lstrip(">"), justify="right" if header[0] == ">" else "left")
    return table


def _services(services: Sequence[ServiceState]) -> Table:
    table = _table("process", "state", ">pid", ">up")
    for service in services:
        state = Text(service.state, style="green" if service.running else "red")
        pid = "" if service.pid is None else str(service.pid)
        up = "" if service.uptime_s is None else duration(service.uptime_s)
        table.add_row(service.name, state, pid, up)
    return table


def _way(seen: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    for part, text in (
        ("exchange", _exchange(seen)),
        ("streams", _streams(seen)),
        ("slot", _slot(seen)),
        ("shedding", _shedding(seen)),
        ("connector", _connector(seen.connect)),
        ("sink's lag", _lag(seen)),
        ("set aside", _set_aside(seen)),
        ("ledger", _ledger(seen)),
        ("heartbeat", _heartbeat(seen.cassandra)),
        ("alarms", _alarms(seen.postgres)),
    ):
        table.add_row(Text(part, style="dim"), escape(text))
    return table


def _exchange(seen: Snapshot) -> str:
    if isinstance(seen.exchange, Unread):
        return f"? {seen.exchange.reason}"
    exchange: Exchange = seen.exchange
    said = [exchange.venue or "?"]
    if exchange.used_weight is not None and exchange.weight_limit:
        said.append(f"weight {exchange.used_weight:,.0f} of {exchange.weight_limit:,.0f} a minute")
    if exchange.banned(seen.at):
        said.append(f"BANNED ({exchange.ban_status}) until {exchange.banned_until:%H:%M:%S} UTC")
    else:
        said.append("no ban")
    if exchange.last_write is not None:
        said.append(f"last write {_age(seen, exchange.last_write)} ago")
    if exchange.spool_bytes:
        said.append(f"{size(int(exchange.spool_bytes))} wait for PostgreSQL")
    return " · ".join(said)


def _streams(seen: Snapshot) -> str:
    if isinstance(seen.exchange, Unread):
        return "?"
    streams = seen.exchange.streams
    if streams is None:
        return "off: all is polled (TIDEMARK_STREAMS)"
    said = [f"{streams.live} of {streams.wanted} live", f"{streams.books} books in step"]
    if streams.standing_in:
        polls = [f"{count} of {name}" for name, count in sorted(streams.standing_in.items())]
        said.append(f"POLLS STAND IN: {', '.join(polls)}")
    if streams.away_since is not None:
        said.append(f"away for {_age(seen, streams.away_since)}")
    return " · ".join(said)


def _slot(seen: Snapshot) -> str:
    if isinstance(seen.postgres, Unread):
        return f"? {seen.postgres.reason}"
    name, slot = slot_name(seen.generation), seen.postgres.slot
    if slot is None:
        return f"{name} does not exist"
    return " · ".join(
        (
            name,
            "active" if slot.active else "nobody reads it",
            slot.wal_status,
            f"behind {size(slot.behind or 0)}",
            f"retains {size(slot.retained or 0)}",
            f"safe for {size(slot.safe)}",
        )
    )


def _shedding(seen: Snapshot) -> str:
    if isinstance(seen.postgres, Unread):
        return f"? {seen.postgres.reason}"
    level = seen.postgres.shedding
    if not level.level:
        return "none"
    said = [f"{', '.join(shed(level.level))} since {level.since:%H:%M:%S} UTC", level.reason]
    if level.confirmed_at and (seen.at - level.confirmed_at).total_seconds() > UNCONFIRMED_S:
        said.append(f"not confirmed since {level.confirmed_at:%H:%M:%S} UTC: does the watch run?")
    return " · ".join(said)


def _connector(answer: ConnectorStatus | Unread | None) -> str:
    if isinstance(answer, Unread):
        return f"? {answer.reason}"
    if answer is None:
        return "none"
    tasks = (f"task {task.id} {task.state}" for task in answer.tasks)
    return " · ".join((f"{answer.name} {answer.state}", *tasks))


def _lag(seen: Snapshot) -> str:
    if isinstance(seen.kafka, Unread):
        return f"? {seen.kafka.reason}"
    uncommitted = f"{sum(seen.kafka.uncommitted.values()):,} not committed"
    if isinstance(seen.cassandra, Unread):
        return uncommitted
    behind = unapplied(seen.kafka, seen.cassandra.applied)
    most = sorted(behind.items(), key=lambda item: -item[1])[:4]
    named = ", ".join(f"{topic.rpartition('.')[2]} {count:,}" for topic, count in most if count)
    total = f"{sum(behind.values()):,} messages" + (f" ({named})" if named else "")
    return f"{total} · {uncommitted}"


def _set_aside(seen: Snapshot) -> str:
    letters = "?" if isinstance(seen.kafka, Unread) else f"{seen.kafka.dead_letters:,}"
    waiting = "?"
    if not isinstance(seen.cassandra, Unread):
        waiting = number(seen.cassandra.letters, bound="≥")
    rows = "?" if isinstance(seen.postgres, Unread) else f"{seen.postgres.quarantined:,}"
    return f"{letters} dead letters, {waiting} not redriven · {rows} rows to quarantine in 5 min"


def _ledger(seen: Snapshot) -> str:
    if isinstance(seen.postgres, Unread):
        return f"? {seen.postgres.reason}"
    ledger = seen.postgres.ledger
    said = ["no gap is open"]
    if ledger.oldest_gap is not None:
        said = [f"{ledger.open_gaps:,} gaps open, the oldest for {_age(seen, ledger.oldest_gap)}"]
    if ledger.oldest_minute is not None:
        kinds = (("differ", ledger.differing), ("lack trades", ledger.incomplete))
        wrong = ", ".join(f"{count:,} {what}" for what, count in kinds if count)
        said.append(f"minutes: {wrong}, the oldest of {ledger.oldest_minute:%Y-%m-%d %H:%M}")
    return " · ".join(said)


def _age(seen: Snapshot, since: datetime) -> str:
    return duration(max(0.0, (seen.at - since).total_seconds()))


def _heartbeat(answer: History | Unread) -> str:
    if isinstance(answer, Unread):
        return f"? {answer.reason}"
    ages = answer.heartbeats.ages_s.items()
    return " · ".join(f"{source} {duration(age)} old" for source, age in ages)


def _alarms(answer: Truth | Unread) -> str:
    if isinstance(answer, Unread):
        return f"? {answer.reason}"
    raised = (
        f"{alarm.name} since {alarm.since:%H:%M:%S} UTC: {alarm.text}" for alarm in answer.alarms
    )
    return "\n".join(raised) or "none"


def _stages(seen: Snapshot) -> Table | Text:
    if isinstance(seen.cassandra, Unread) or not seen.cassandra.heartbeats.stages:
        return Text("")
    table = _table("stage (last 5 min)", ">p50 ms", ">p99 ms", ">beats")
    took = seen.cassandra.heartbeats.stages
    for stage in STAGES:
        if found := took.get(stage.name):
            table.add_row(
                stage.name.replace("_", " "),
                f"{found.p50_ms:,.1f}",
                f"{found.p99_ms:,.1f}",
                f"{found.count}",
            )
    return table


def _rows(seen: Snapshot) -> Table | Text:
    truth = seen.postgres.rows if isinstance(seen.postgres, Truth) else {}
    history = seen.cassandra.rows if isinstance(seen.cassandra, History) else {}
    if not truth and not history:
        return Text("")
    proofs = seen.cassandra.proofs if isinstance(seen.cassandra, History) else {}
    table = _table("PostgreSQL", ">rows", "Cassandra", ">rows", "proved equal through")
    for source in SOURCES:
        for place, route in enumerate(routes_of(source.table)):
            first = place == 0
            table.add_row(
                source.table if first else "",
                number(truth.get(source.table), bound="≈") if first else "",
                route.table,
                number(history.get(route.table), bound="≥"),
                proved(proofs.get(route.table)),
            )
    return table


def proved(proof: Proof | None) -> str:
    """How far a table is verified, and what the last verification found."""
    if proof is None:
        return "–"
    through = "–" if proof.through is None else f"{proof.through:%Y-%m-%d %H:%M} UTC"
    return f"{through}, {proof.differences:,} differ" if proof.differences else through


def _findings(wrong: Sequence[Finding]) -> Iterator[Text]:
    for finding in wrong:
        text = Text("✗ ", style="red")
        text.append(f"{finding.part}: ", style="bold")
        text.append(finding.problem, style="default")
        text.append(f"\n  → {finding.remedy}", style="dim")
        yield text
