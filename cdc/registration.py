"""Bring the connector to where the settings want it: preflight, topics, configuration, start.

Everything is compared before anything starts, and a new connector is created stopped, because only
then can what Connect has stored under its name be seen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from cdc import keyspace, preflight, state
from cdc.connector import Change, ConnectClient, ConnectorStatus
from cdc.connector_config import connector_config
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.topics import Topics, topic_specs
from contracts.naming import Role, topic_of, topic_prefix

CONNECT_PATIENCE_S = 60.0
SNAPSHOT_PATIENCE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was done. `topics`: those that were created."""

    change: Change
    topics: list[str]
    status: ConnectorStatus


def apply(settings: CdcSettings, wait_s: float = 60.0) -> Applied:
    """Make the generation's connector run; harmless when it does already.

    PreflightRefused where it must not, TopicMismatch, ConnectorNotRunning with the task's reason
    where it does not come up within `wait_s`, SchemaMismatch, Unreachable, AccessDenied.
    """
    with (
        ConnectClient(settings) as connect,
        SourceDatabase(settings) as source,
        keyspace.session(settings, Role.SINK) as session,
    ):
        keyspace.check_migrated(session)
        connect.wait_ready(CONNECT_PATIENCE_S)
        facts = preflight.gather(settings, source, connect, session)
        preflight.refuse(facts)
        generation = preflight.to_remember(facts)
        if generation is not None:
            state.remember(session, generation)
        placeholder = state.recall(session)[settings.generation].placeholder
        tables = [each.table for each in SOURCES]
        created = _ensure_topics(settings, tables)
        config = connector_config(settings, tables, placeholder)
        new = connect.config() is None
        if new:
            connect.create_stopped(config)
            preflight.refuse(preflight.gather(settings, source, connect, session))
        change = connect.apply(config)
        status = connect.wait_running(wait_s)
        deadline = time.monotonic() + SNAPSHOT_PATIENCE_S
        while not preflight.note_snapshot(
            preflight.gather(settings, source, connect, session), session
        ):
            if time.monotonic() >= deadline:
                break  # a long one: the next start, or the sink's, notes it
            time.sleep(0.25)
    return Applied(change="created" if new else change, topics=created, status=status)


def _ensure_topics(settings: CdcSettings, tables: list[str]) -> list[str]:
    data = [topic_of(table, settings.generation) for table in tables]
    with Topics(settings) as topics:
        return topics.ensure(topic_specs(settings, data, topic_prefix(settings.generation)))
