"""A replication slot that somebody reads is not dropped, which is no fault of the server."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import LogicalReplicationConnection

from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from contracts.naming import Role
from runtime.endpoints import PostgresEndpoint
from tests.integration.witnesses import until

pytestmark = pytest.mark.integration

SLOT = "read_by_somebody"


def test_a_slot_in_use_is_not_dropped_and_is_no_error(database: PostgresEndpoint) -> None:
    settings = CdcSettings(
        state_dir=database.state_dir,
        secrets_dir=database.secrets_dir,
        postgres_port=database.postgres_port,
        postgres_database=database.postgres_database,
    )
    dsn: dict[str, Any] = database.postgres_dsn(Role.CDC)
    with SourceDatabase(settings, Role.CDC) as source:
        reader = psycopg2.connect(**dsn, connection_factory=LogicalReplicationConnection)
        with closing(reader), reader.cursor() as cursor:
            cursor.create_replication_slot(SLOT, output_plugin="pgoutput")
            cursor.start_replication(
                SLOT, options={"proto_version": "1", "publication_names": "none_is_read"}
            )
            assert source.drop_slot(SLOT) is False
        until("nobody reads it", lambda: source.drop_slot(SLOT) or None)
        assert source.slot(SLOT) is None
        assert source.drop_slot(SLOT) is True  # somebody else did
