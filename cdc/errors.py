"""What can go wrong between Kafka and Cassandra, and what follows from it.

    CdcError
    ├── Retryable                 the same thing may work later: wait, then do it again
    │   ├── Unreachable           Kafka, Connect, PostgreSQL or Cassandra does not answer
    │   ├── ConnectorNotRunning   the connector or its task does not run
    │   ├── FenceTimeout          a stage did not reach a fence in time
    │   ├── SlotKept              an old slot, which keeps WAL, could not be dropped
    │   └── Contended             rows that were to be touched are held by another transaction
    ├── Poison                    this one event never works: dead letter, the rest flows
    │   ├── Undecodable           no change event: not JSON, cut, a field missing, a wrong type
    │   ├── Unrepresentable       a value that Cassandra cannot hold (NaN, infinity, out of range)
    │   └── Refused               Cassandra itself refused this row
    ├── HaltTable                 this table stops with an alarm, the others flow
    │   ├── Truncated             a TRUNCATE came through the log
    │   ├── SchemaDrift           PostgreSQL's columns are no longer those of the routes
    │   └── LateSnapshot          snapshot rows in a generation whose snapshot is complete
    ├── Adrift                    the sink's consumer group does not know it any more
    ├── BadCondition              a person's SQL condition that PostgreSQL does not take
    ├── BadScope                  a person's choice of what to export that is none
    └── Fatal                     nothing goes on until a person acts
        ├── RetentionPassed       Kafka dropped events that were never applied
        ├── TopicRecreated        a topic ends before what was already read of it
        ├── SchemaMismatch        Cassandra's tables are not those of the routes
        ├── AccessDenied          a password or a grant is wrong
        ├── MigrationChanged      an applied .cql file is not what it was
        ├── PreflightRefused      replication would lose or shadow rows if it started
        ├── ConnectRefused        Connect does not accept what it was told
        ├── TopicMismatch         a topic is not as it must be
        ├── ResyncRefused         a resync cannot begin
        ├── SweepRefused          most of a table would be removed by the sweep of a resync
        └── DeadLetterLost        a dead letter could not be stored

Messages are one line, say what to do, and hold neither payload nor secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class CdcError(Exception):
    """Base of this stage's errors."""

    retryable = False
    poison = False
    fatal = False


class Retryable(CdcError):
    """The same thing may work later."""

    retryable = True


class Unreachable(Retryable):
    """An outside part does not answer."""


class ConnectorNotRunning(Retryable):
    """The connector or its task does not run."""

    def __init__(self, name: str, state: str, reason: str) -> None:
        why = reason or "see the log of Connect (`tidemark logs connect`)"
        super().__init__(f"connector {name} does not run ({state}): {why}")
        self.state = state


class FenceTimeout(Retryable):
    """A stage did not reach a fence in time; `stage` says which one is behind."""

    def __init__(self, stage: str, timeout_s: float, detail: str) -> None:
        super().__init__(f"{stage} did not reach the fence within {timeout_s:.0f} s: {detail}")
        self.stage = stage


class SlotKept(Retryable):
    """Slots that are over could not be dropped: somebody uses them, and they keep WAL."""

    def __init__(self, slots: list[str]) -> None:
        super().__init__(
            f"the new generation is complete, but {', '.join(slots)} is in use and keeps WAL; "
            "end who uses it (pg_replication_slots.active_pid), then SELECT "
            f"pg_drop_replication_slot('{slots[0]}')"
        )


class Contended(Retryable):
    """Rows that were to be touched are held by another transaction."""


class Adrift(CdcError):
    """The consumer group does not take this process back; another one in its place will be."""


class BadCondition(CdcError):
    """A person's SQL condition that PostgreSQL does not take."""


class BadScope(CdcError):
    """A table, column, range or file that a person named for an export and that cannot be."""


class Poison(CdcError):
    """One event that can never be applied; `cause` is the dead letter's short name for why.

    `path`: where in the event it is wrong (`$.after.price`), '' where no one place is.
    """

    poison = True
    cause = "poison"

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class Undecodable(Poison):
    """The bytes are no change event of that table."""

    cause = "undecodable"


class Unrepresentable(Poison):
    """A value that the target column cannot hold."""

    cause = "unrepresentable"


class Refused(Poison):
    """Cassandra refused the row."""

    cause = "refused"


class HaltTable(CdcError):
    """One table stops with an alarm; its offsets stay where they are.

    The message is the reason alone: whoever shows it says the table beside it.
    """

    def __init__(self, table: str, message: str) -> None:
        super().__init__(message)
        self.table = table


class Truncated(HaltTable):
    """A TRUNCATE: applying it would empty history, skipping it would leave ghosts."""

    def __init__(self, table: str) -> None:
        super().__init__(
            table,
            "it was truncated in PostgreSQL; docs/runbook.md, chapter table_halted",
        )


class SchemaDrift(HaltTable):
    """A declared column was dropped, renamed or retyped: what its events mean, a person says."""

    def __init__(self, table: str, differences: Sequence[str], revision: str) -> None:
        super().__init__(
            table,
            f"{'; '.join(differences)} (alembic revision {revision}); "
            "docs/schema-changes.md, chapter The way on",
        )


class LateSnapshot(HaltTable):
    """Rows of an initial snapshot in a generation whose snapshot is recorded as complete."""

    def __init__(self, table: str, generation: int) -> None:
        super().__init__(
            table,
            f"rows of a second snapshot in generation {generation}; "
            "a new snapshot needs a new generation; docs/runbook.md, chapter table_halted",
        )


class Fatal(CdcError):
    """Nothing goes on until a person acts."""

    fatal = True

    @property
    def name(self) -> str:
        """Its short name, for metrics and alarms: dead_letter_lost."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


class RetentionPassed(Fatal):
    """Kafka's retention dropped events that were never applied."""


class TopicRecreated(Fatal):
    """A topic ends before what was already read of it."""


class SchemaMismatch(Fatal):
    """Cassandra's tables are not those of the routes."""


class AccessDenied(Fatal):
    """A role's password or grants are wrong."""


class MigrationChanged(Fatal):
    """An applied migration file changed or vanished."""


class PreflightRefused(Fatal):
    """Replication would lose or shadow rows if it started; `code` is the finding's short name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectRefused(Fatal):
    """Connect does not accept what it was told."""


class TopicMismatch(Fatal):
    """A topic is not as it must be."""


class ResyncRefused(Fatal):
    """A resync cannot begin."""


class SweepRefused(Fatal):
    """Most of a table would be removed: PostgreSQL may not be what it should be."""

    def __init__(self, table: str, extra: int, rows: int) -> None:
        super().__init__(
            f"{extra:,} of {rows:,} rows of {table} are not in PostgreSQL; nothing of it was "
            "removed; if PostgreSQL is as it should be: `tidemark resync --sweep-anyway`"
        )
        self.table = table


class DeadLetterLost(Fatal):
    """A dead letter could not be stored, so its event must not be passed."""
