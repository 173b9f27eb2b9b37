"""The target tables between windows: emptied, and held against what the log says they must hold."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from cassandra import ReadTimeout
from cassandra.query import SimpleStatement

from cdc.routes import routes_of
from cdc.settings import CdcSettings
from tests.benchmarks.sink.log import SHARES, Sums, expressions

PATIENCE_S = 300.0
PAGE = 1000  # rows that Cassandra reads at once for a sum, each within its own time limit
TRIES, REST_S = 4, 5.0
ROUTES = [route for table in SHARES for route in routes_of(table)]

Session = Any  # cassandra.cluster.Session, which ships no types


def empty(session: Session, settings: CdcSettings) -> None:
    """Remove all rows; what Cassandra had of them in memory and on disk goes, too."""
    for route in ROUTES:
        session.execute(f"TRUNCATE {settings.cassandra_keyspace}.{route.table}", timeout=PATIENCE_S)


def held(session: Session, settings: CdcSettings) -> Sums:
    """What the tables hold, computed by Cassandra."""
    found: Sums = {}
    for route in ROUTES:
        asked = expressions(route)
        table = f"{settings.cassandra_keyspace}.{route.table}"
        statement = SimpleStatement(
            f"SELECT {', '.join(asked.values())} FROM {table}", fetch_size=PAGE
        )
        found[route.table] = dict(zip(asked, map(Decimal, _one(session, statement)), strict=True))
    return found


def _one(session: Session, statement: SimpleStatement) -> Any:
    """The only row; asked again where a page of it took Cassandra too long, as after a load."""
    for left in reversed(range(TRIES)):
        try:
            return session.execute(statement, timeout=PATIENCE_S).one()
        except ReadTimeout:
            if not left:
                raise
            time.sleep(REST_S)
    raise AssertionError("it is asked at least once")


def rows_of(sums: Sums) -> int:
    """Rows of all tables."""
    return int(sum(values["rows"] for values in sums.values()))


def differences(found: Sums, expected: Sums, passes: int, *, exact: bool) -> list[str]:
    """What is not as it must be after so many passes; `exact`: values too, not only rows."""
    return [
        f"{table}.{name} is {found[table][name]} instead of {value * passes}"
        for table, values in expected.items()
        for name, value in values.items()
        if (exact or name == "rows") and found[table][name] != value * passes
    ]
