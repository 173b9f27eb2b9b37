"""Bring the connector to where the settings want it: preflight, topics, configuration, start.

Everything is compared before anything starts, and a new connector is created stopped, because only
then can what Connect has stored under its name be seen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cdc import generation, keyspace, state
from cdc.connector import preflight
from cdc.connector.client import Change, ConnectClient, ConnectorStatus
from cdc.connector.config import connector_config
from cdc.routes import CAPTURED, SOURCES
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.topics import Topics, topic_specs
from contracts.naming import Role, topic_of, topic_prefix

CONNECT_PATIENCE_S = 60.0
SNAPSHOT_PATIENCE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was done. `topics`: those that were created.

    `complaints`: what is wrong with single tables, each with its remedy; the others flow.
    """

    change: Change
    topics: list[str]
    status: ConnectorStatus
    complaints: tuple[str, ...] = ()


def apply(settings: CdcSettings, wait_s: float = 60.0) -> Applied:
    """Make the current generation's connector run; harmless when it does already.

    PreflightRefused where it must not: a new one at any finding, one that is there already only at
    what would lose or shadow rows. TopicMismatch, ConnectorNotRunning with the task's reason
    where it does not come up within `wait_s`, SchemaMismatch, Unreachable, AccessDenied.
    """
    with (
        SourceDatabase(settings) as source,
        keyspace.session(settings, Role.SINK) as session,
    ):
        keyspace.check_migrated(session)
        settings = generation.remembered(settings, session)
        with ConnectClient(settings) as connect:
            return apply_on(Parts(settings, source, connect, session), wait_s)


@dataclass(frozen=True)
class Parts:
    """What a start has to do with, for the settings' generation."""

    settings: CdcSettings
    source: SourceDatabase
    connect: ConnectClient
    session: Any

    def facts(self) -> preflight.Facts:
        """What is so now."""
        return preflight.gather(self.settings, self.source, self.connect, self.session)


def apply_on(parts: Parts, wait_s: float, snapshot_wait_s: float = SNAPSHOT_PATIENCE_S) -> Applied:
    """The same as `apply`, with everything open already."""
    settings, connect, session = parts.settings, parts.connect, parts.session
    connect.wait_ready(CONNECT_PATIENCE_S)
    facts = parts.facts()
    new = connect.config() is None
    preflight.refuse(facts, anew=new)
    created = _ensure_topics(settings)
    begun = preflight.to_remember(facts)
    if begun is not None:
        state.remember(session, begun)
    placeholder = state.recall(session)[settings.generation].placeholder
    config = connector_config(settings, CAPTURED, placeholder)
    if new:
        connect.create_stopped(config)
        if begun is not None:
            connect.forget_offsets()  # of another life of these services: they skip the snapshot
        preflight.refuse(parts.facts())
    change = connect.apply(config)
    status = connect.wait_running(wait_s)
    _await_snapshot(parts, snapshot_wait_s)
    return Applied(
        change="created" if new else change,
        topics=created,
        status=status,
        complaints=tuple(each.message for each in preflight.complaints(facts)),
    )


def _await_snapshot(parts: Parts, wait_s: float) -> None:
    """Note a short snapshot's end at once; a long one's is noted by who comes next."""
    deadline = time.monotonic() + wait_s
    while not preflight.note_snapshot(parts.facts(), parts.session):
        if time.monotonic() >= deadline:
            return
        time.sleep(0.25)


def _ensure_topics(settings: CdcSettings) -> list[str]:
    data = [topic_of(each.table, settings.generation) for each in SOURCES]
    with Topics(settings) as topics:
        return topics.ensure(topic_specs(settings, data, topic_prefix(settings.generation)))
