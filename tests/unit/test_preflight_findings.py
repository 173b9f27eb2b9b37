"""What the preflight refuses, from facts made up one at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.connector.client import StoredOffsets
from cdc.connector.preflight import Facts, complaints, findings, refuse, to_remember
from cdc.errors import PreflightRefused
from cdc.routes import CAPTURED
from cdc.source import Publication, Server, Slot
from cdc.state import Generation

KNOWN = Generation(
    generation=2,
    system_identifier="77",
    timeline=1,
    slot="tidemark_g2",
    topic_prefix="market.g2",
    placeholder="p",
    snapshot_lsn=800,
    snapshot_completed=True,
)
SLOT = Slot(
    name="tidemark_g2",
    plugin="pgoutput",
    database="tidemark",
    wal_status="reserved",
    confirmed_flush_lsn=1000,
    synced=False,
)
OFFSETS = StoredOffsets(lsn=1200, lsn_proc=1200, lsn_commit=1000, snapshot=False, raw={})
HEALTHY = Facts(
    generation=2,
    database="tidemark",
    server=Server(system_identifier="77", timeline=1, wal_level="logical"),
    slot=SLOT,
    publication=Publication(tables=frozenset(CAPTURED), via_root=True),
    identities={"depth": "f", "depth_p20260101": "f"},
    offsets=OFFSETS,
    remembered={2: KNOWN},
)
FIRST = replace(HEALTHY, slot=None, offsets=None, remembered={})
NEW_PRIMARY = Server(system_identifier="77", timeline=2, wal_level="logical")
PUBLISHED = frozenset(CAPTURED)


@pytest.mark.parametrize(
    "facts",
    [
        HEALTHY,
        FIRST,
        replace(FIRST, slot=SLOT, remembered={2: replace(KNOWN, snapshot_completed=False)}),
        replace(HEALTHY, generation=3, slot=None, offsets=None),
        replace(HEALTHY, server=NEW_PRIMARY, slot=replace(SLOT, synced=True)),
        replace(HEALTHY, slot=replace(SLOT, confirmed_flush_lsn=1200)),
    ],
    ids=[
        "running",
        "first-start",
        "killed-in-its-snapshot",
        "next-generation",
        "failover-with-slot",
        "flushed-as-far-as-read",
    ],
)
def test_what_is_safe_may_start(facts: Facts) -> None:
    assert findings(facts) == []


@pytest.mark.parametrize(
    ("facts", "code", "remedy"),
    [
        (
            replace(HEALTHY, server=replace(HEALTHY.server, system_identifier="78")),
            "system_identifier",
            "generation 3",
        ),
        (replace(HEALTHY, server=NEW_PRIMARY), "timeline", "generation 3"),
        (
            replace(HEALTHY, remembered={2: replace(KNOWN, slot="other")}),
            "names",
            "generation 3",
        ),
        (
            replace(HEALTHY, remembered={2: KNOWN, 5: replace(KNOWN, generation=5)}),
            "generation",
            "holds rows of 5",
        ),
        (replace(HEALTHY, slot=None), "slot_missing", "generation 3"),
        (replace(HEALTHY, slot=None, offsets=None), "slot_missing", "generation 3"),
        (
            replace(HEALTHY, slot=replace(SLOT, wal_status="lost")),
            "slot_lost",
            "generation 3",
        ),
        (
            replace(HEALTHY, slot=replace(SLOT, database="other")),
            "slot_foreign",
            "generation 3",
        ),
        (
            replace(HEALTHY, slot=replace(SLOT, confirmed_flush_lsn=1208)),
            "slot_advanced",
            "generation 3",
        ),
        (replace(HEALTHY, offsets=None), "offsets_missing", "generation 3"),
        (replace(HEALTHY, remembered={}), "generation_forgotten", "generation 3"),
        (
            replace(HEALTHY, remembered={2: replace(KNOWN, broken="it was advanced")}),
            "broken",
            "it was advanced; `tidemark resync` takes a new snapshot, in generation 3",
        ),
        (
            replace(HEALTHY, server=replace(HEALTHY.server, wal_level="replica")),
            "wal_level",
            "wal_level=logical",
        ),
        (replace(HEALTHY, publication=None), "publication", "tidemark migrate"),
        (
            replace(HEALTHY, publication=Publication(tables=PUBLISHED - {"trades"}, via_root=True)),
            "publication_tables",
            "ADD TABLE trades",
        ),
        (
            replace(HEALTHY, publication=Publication(tables=PUBLISHED, via_root=False)),
            "publication_via_root",
            "publish_via_partition_root",
        ),
        (
            replace(HEALTHY, identities={"depth": "f", "depth_p20260102": "d"}),
            "replica_identity",
            "ALTER TABLE depth_p20260102 REPLICA IDENTITY FULL",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.islower() else "",
)
def test_what_loses_or_shadows_rows_is_refused_with_the_remedy(
    facts: Facts, code: str, remedy: str
) -> None:
    with pytest.raises(PreflightRefused) as refused:
        refuse(facts)
    assert refused.value.code == code
    assert remedy in str(refused.value)
    assert "\n" not in str(refused.value)


LACKING = Publication(tables=PUBLISHED - {"trades", "outbox"}, via_root=True)


def test_a_complaint_about_one_table_stops_no_connector_that_runs() -> None:
    """All other tables would stand still for it."""
    lacking = replace(HEALTHY, publication=LACKING)
    refuse(lacking, anew=False)
    (complaint,) = complaints(lacking)
    assert complaint.message.endswith(
        "ADD TABLE outbox, trades, then `tidemark verify trades --repair`"
    )
    with pytest.raises(PreflightRefused, match="lacks outbox, trades"):
        refuse(lacking)
    with pytest.raises(PreflightRefused, match="is gone"):
        refuse(replace(lacking, slot=None), anew=False)


def test_the_gravest_comes_first() -> None:
    """On another cluster the missing slot is a consequence."""
    other = replace(HEALTHY.server, system_identifier="78", wal_level="replica")
    codes = [finding.code for finding in findings(replace(HEALTHY, server=other, slot=None))]
    assert codes == ["system_identifier", "slot_missing", "wal_level"]


def test_a_first_start_is_remembered_with_a_placeholder_of_its_own() -> None:
    """A value that anyone could guess might be sent by an exchange."""
    one, other = to_remember(FIRST), to_remember(FIRST)
    assert one is not None
    assert other is not None
    assert (one.system_identifier, one.slot) == ("77", "tidemark_g2")
    assert len(one.placeholder) > 32
    assert one.placeholder != other.placeholder


def test_a_failover_keeps_what_was_remembered_but_the_timeline() -> None:
    promoted = replace(HEALTHY, server=NEW_PRIMARY, slot=replace(SLOT, synced=True))
    assert to_remember(promoted) == replace(KNOWN, timeline=2)
    assert to_remember(HEALTHY) is None
