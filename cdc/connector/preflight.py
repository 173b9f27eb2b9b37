"""May replication start? Refuses what would silently lose rows or shadow them for ever.

Debezium itself does not notice an advanced slot, and Cassandra does not notice a cluster whose
positions start low again: writes succeed and never show. So each start compares PostgreSQL, the
connector's stored offsets and what `cdc_state` remembers, and refuses with the remedy in a line.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cdc import keyspace, state
from cdc.connector.client import ConnectClient, StoredOffsets
from cdc.errors import PreflightRefused
from cdc.fence import as_lsn
from cdc.routes import CAPTURED, SOURCES
from cdc.settings import CdcSettings
from cdc.source import Publication, Server, Slot, SourceDatabase
from cdc.state import Generation
from contracts.naming import PUBLICATION, Role, slot_name, topic_prefix

FULL = "f"  # pg_class.relreplident
ADVANCED = "slot_advanced"  # the finding whose traces vanish once the connector reads on


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that is compared. `identities`: replica identity by table and partition."""

    generation: int
    database: str
    server: Server
    slot: Slot | None
    publication: Publication | None
    identities: Mapping[str, str]
    offsets: StoredOffsets | None
    remembered: Mapping[int, Generation]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason to refuse: its short name, and what to do, in a line.

    `trouble`: the message's first half, without what to do.
    """

    code: str
    message: str
    trouble: str = ""


def gather(
    settings: CdcSettings, source: SourceDatabase, connect: ConnectClient, session: Any
) -> Facts:
    """Read the facts; the slot before the offsets, which are always ahead of it."""
    slot = source.slot(slot_name(settings.generation))
    return Facts(
        generation=settings.generation,
        database=settings.postgres_database,
        slot=slot,
        offsets=connect.offsets(),
        server=source.server(),
        publication=source.publication(PUBLICATION),
        identities=source.replica_identities(each.table for each in SOURCES if each.full_identity),
        remembered=state.recall(session),
    )


def findings(facts: Facts) -> list[Finding]:
    """Every reason not to begin anew, the gravest first; empty where nothing is wrong."""
    return [*reasons_to_stop(facts), *complaints(facts)]


def reasons_to_stop(facts: Facts) -> list[Finding]:
    """Why nothing may go on, the gravest first; empty where what has begun may."""
    return [*of_generation(facts), *of_server(facts)]


def of_generation(facts: Facts) -> list[Finding]:
    """What loses or shadows rows in this generation: it must not go on."""
    return [*_of_cluster(facts), *_of_slot(facts)]


def _of_cluster(facts: Facts) -> list[Finding]:
    found = []
    newest = max(facts.remembered, default=0)
    if newest > facts.generation:
        found.append(
            Finding(
                code="generation",
                message=f"generation {facts.generation} is over: Cassandra holds rows of "
                f"{newest}, which `tidemark connector apply` goes on with",
            )
        )
    known = facts.remembered.get(facts.generation)
    if known is None:
        return found
    fresh = _new_generation(facts)
    if known.broken:
        found.append(Finding(code="broken", message=f"{known.broken}; {fresh}"))
    if known.system_identifier != facts.server.system_identifier:
        found.append(
            Finding(
                code="system_identifier",
                message=f"this is another PostgreSQL cluster ({facts.server.system_identifier}) "
                f"than generation {facts.generation} began on ({known.system_identifier}); {fresh}",
            )
        )
    elif known.timeline != facts.server.timeline and not (facts.slot and facts.slot.synced):
        found.append(
            Finding(
                code="timeline",
                message=f"PostgreSQL is on timeline {facts.server.timeline} instead of "
                f"{known.timeline} and its slot was not synchronised from the old primary; {fresh}",
            )
        )
    names = slot_name(facts.generation), topic_prefix(facts.generation)
    if (known.slot, known.topic_prefix) != names:
        found.append(
            Finding(
                code="names",
                message=f"generation {facts.generation} began with slot {known.slot} and topics "
                f"{known.topic_prefix}, not {names[0]} and {names[1]}; {fresh}",
            )
        )
    return found


def _of_slot(facts: Facts) -> list[Finding]:
    """At most one finding: what is wrong with the slot or the offsets that continue from it."""
    known = facts.remembered.get(facts.generation)
    name, slot, offsets = slot_name(facts.generation), facts.slot, facts.offsets
    snapshot_done = known is not None and known.snapshot_completed
    code = trouble = ""
    if slot is None:
        if offsets is not None or snapshot_done:  # else it is the first start
            code, trouble = "slot_missing", f"slot {name} is gone, and with it the changes since"
    elif slot.wal_status == "lost":
        code = "slot_lost"
        trouble = f"slot {name} has lost WAL that was not read yet (wal_status lost)"
    elif (slot.plugin, slot.database) != ("pgoutput", facts.database):
        code = "slot_foreign"
        trouble = f"slot {name} belongs to {slot.plugin} on database {slot.database}"
    elif known is None and offsets is not None:
        code = "generation_forgotten"
        trouble = (
            f"the connector has offsets of generation {facts.generation}, which Cassandra does not "
            "remember: what it had before is gone"
        )
    elif offsets is None:
        if snapshot_done:
            code = "offsets_missing"
            trouble = "the connector's stored offsets are gone, though its snapshot was complete"
    elif not offsets.snapshot and slot.confirmed_flush_lsn > offsets.furthest:
        code = ADVANCED
        trouble = (
            f"slot {name} was advanced to {as_lsn(slot.confirmed_flush_lsn)}, beyond what the "
            f"connector has read ({as_lsn(offsets.furthest)}): the rows in between are skipped"
        )
    if not code:
        return []
    return [Finding(code=code, message=f"{trouble}; {_new_generation(facts)}", trouble=trouble)]


def of_server(facts: Facts) -> list[Finding]:
    """What is wrong in PostgreSQL itself, so that no generation could run."""
    found = []
    if facts.server.wal_level != "logical":
        message = (
            f"PostgreSQL writes wal_level={facts.server.wal_level}; set wal_level=logical in "
            "postgresql.conf and restart it"
        )
        found.append(Finding(code="wal_level", message=message))
    if facts.publication is None:
        message = f"there is no publication {PUBLICATION}; run `tidemark migrate`"
        found.append(Finding(code="publication", message=message))
    return found


def complaints(facts: Facts) -> list[Finding]:
    """What harms single tables: all others flow, so what runs goes on, and nothing new begins."""
    found = []
    published = set(CAPTURED) if facts.publication is None else facts.publication.tables
    lacking = sorted(set(CAPTURED) - published)
    if lacking:
        compared = [each.table for each in SOURCES if each.table in lacking]
        message = (
            f"publication {PUBLICATION} lacks {', '.join(lacking)}: their changes are not sent; "
            f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {', '.join(lacking)}"
        )
        if compared:
            message += f", then `tidemark verify {' '.join(compared)} --repair`"
        found.append(Finding(code="publication_tables", message=message))
    if facts.publication is not None and not facts.publication.via_root:
        message = (
            f"publication {PUBLICATION} names partitions instead of their tables; "
            f"ALTER PUBLICATION {PUBLICATION} SET (publish_via_partition_root = true)"
        )
        found.append(Finding(code="publication_via_root", message=message))
    partial = sorted(table for table, kind in facts.identities.items() if kind != FULL)
    if partial:
        message = (
            f"{', '.join(partial)} must have their whole rows in the log; "
            f"ALTER TABLE {partial[0]} REPLICA IDENTITY FULL"
        )
        found.append(Finding(code="replica_identity", message=message))
    return found


def _new_generation(facts: Facts) -> str:
    number = max(facts.generation, *facts.remembered, 0) + 1
    return f"`tidemark resync` takes a new snapshot, in generation {number}"


def to_remember(facts: Facts) -> Generation | None:
    """What this start adds to memory: a new generation, a new timeline, or nothing (None)."""
    known = facts.remembered.get(facts.generation)
    if known is None:
        return Generation(
            generation=facts.generation,
            system_identifier=facts.server.system_identifier,
            timeline=facts.server.timeline,
            slot=slot_name(facts.generation),
            topic_prefix=topic_prefix(facts.generation),
            placeholder=f"__unchanged_{secrets.token_hex(16)}__",
        )
    if known.timeline != facts.server.timeline:
        return replace(known, timeline=facts.server.timeline)
    return None


def refuse(facts: Facts, *, anew: bool = True) -> None:
    """Raise PreflightRefused of the gravest finding, if there is one.

    Not `anew`: what has begun already is stopped by no complaint about single tables.
    """
    for finding in findings(facts) if anew else reasons_to_stop(facts):
        raise PreflightRefused(finding.code, finding.message)


def note_snapshot(facts: Facts, session: Any) -> bool:
    """Record the snapshot's completion once it shows; whether it is recorded by now."""
    known = facts.remembered.get(facts.generation)
    if known is not None and known.snapshot_completed:
        return True
    if facts.offsets is None or facts.offsets.snapshot:
        return False
    state.complete_snapshot(session, facts.generation, facts.offsets.snapshot_lsn)
    return True


def check(settings: CdcSettings) -> list[Finding]:
    """Why what has begun may not go on, looked up now; starts nothing."""
    with (
        SourceDatabase(settings) as source,
        ConnectClient(settings) as connect,
        keyspace.session(settings, Role.SINK) as session,
    ):
        facts = gather(settings, source, connect, session)
        found = reasons_to_stop(facts)
        if not found:
            note_snapshot(facts, session)
        return found
