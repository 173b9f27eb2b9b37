"""A changed table is told from a broken event, and nobody waits for a PostgreSQL that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cdc.errors import Unreachable
from cdc.mapping import Field, Kind, Source
from cdc.settings import CdcSettings
from cdc.sink import schema, schema_watch
from cdc.sink.schema import Schema, Table, differences
from cdc.sink.schema_watch import SchemaWatch

QUOTES = Source(
    "quotes",
    key=("symbol",),
    fields=(Field("symbol", Kind.TEXT), Field("price", Kind.DECIMAL), Field("rank", Kind.INT)),
)
SOUND = {
    "symbol": ("text", "text"),
    "price": ("numeric", "numeric(38,18)"),
    "rank": ("int2", "smallint"),
}


def found(key: str = "symbol", **columns: tuple[str, str] | None) -> list[str]:
    """What differs where these columns are otherwise than they should be; None: gone."""
    actual = {name: value for name, value in (SOUND | columns).items() if value is not None}
    return differences(QUOTES, Table(actual, frozenset(key.split())))


def test_a_table_that_is_as_declared_differs_in_nothing() -> None:
    """Nor where a type is narrower, nor by a column that nobody declared."""
    assert found() == []
    assert found(spread=("numeric", "numeric")) == []


def test_what_changed_is_named_with_what_was_expected() -> None:
    """Dropped, renamed (the new name is shown), retyped, another key, no table."""
    assert found(price=None) == ["column price is gone from PostgreSQL"]
    (renamed,) = found(price=None, cost=("numeric", "numeric"))
    assert renamed == "column price is gone from PostgreSQL (undeclared there: cost)"
    assert found(price=("float8", "double precision")) == [
        "column price is double precision in PostgreSQL, not numeric"
    ]
    assert found(rank=("int8", "bigint")) == ["column rank is bigint in PostgreSQL, not int"]
    assert found(key="symbol price") == ["its primary key is price, symbol, not symbol"]
    assert differences(QUOTES, Table()) == ["the table is gone from PostgreSQL"]


@dataclass
class Catalogue:
    """What PostgreSQL answers, on a clock of its own; it may be away, or silent."""

    now_us: int = 1000
    table: Table = field(default_factory=lambda: Table(dict(SOUND), frozenset({"symbol"})))
    away: bool = False
    speaks: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    reads: int = 0

    def read(self, _database: Any, _tables: list[str]) -> Schema:
        self.reads += 1
        self.asked.set()
        self.speaks.wait(5)
        if self.away:
            raise Unreachable("PostgreSQL does not answer")
        return Schema(at_us=self.now_us, revision="0007", tables={"quotes": self.table})

    def drop_price(self) -> None:
        """Somebody drops the column, a while later."""
        self.now_us += 1000
        self.table = Table({"symbol": SOUND["symbol"], "rank": SOUND["rank"]}, self.table.key)


class Connection:
    def __init__(self, _settings: CdcSettings) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    made = Catalogue()
    made.speaks.set()
    monkeypatch.setattr(schema, "read", made.read)
    monkeypatch.setattr(schema_watch, "SourceDatabase", Connection)
    return made


@pytest.fixture
def watch(catalogue: Catalogue) -> Iterator[SchemaWatch]:
    """A watch that has looked once, and looks again only when it is asked."""
    settings = CdcSettings(schema_check_s=3600)
    made = SchemaWatch(settings, [QUOTES], patience_s=0.2)
    assert catalogue.asked.wait(5)
    yield made
    catalogue.speaks.set()
    made.close(5)


def test_an_answer_counts_for_events_from_before_it(
    watch: SchemaWatch, catalogue: Catalogue
) -> None:
    """A thousand broken events of one poll are one question."""
    assert watch.drift_of("quotes", 500) is None
    reads = catalogue.reads
    for _ in range(1000):
        assert watch.drift_of("quotes", 999) is None
    assert catalogue.reads == reads


def test_an_event_from_after_the_last_answer_asks_anew(
    watch: SchemaWatch, catalogue: Catalogue
) -> None:
    """The column was dropped since; the halt names it and the migration."""
    assert watch.drift_of("quotes", 500) is None
    catalogue.drop_price()
    drift = watch.drift_of("quotes", 1500)
    assert drift is not None
    assert "column price is gone" in str(drift)
    assert "0007" in str(drift)
    assert watch.drifts == {"quotes": drift}


def test_where_postgresql_is_away_an_event_is_poison(
    watch: SchemaWatch, catalogue: Catalogue
) -> None:
    """One broken event must not stop a table because nobody answers; once somebody does, it may."""
    catalogue.drop_price()
    catalogue.away = True
    assert watch.drift_of("quotes", 1500) is None
    catalogue.away = False
    assert watch.drift_of("quotes", 1500) is not None


def test_a_silent_postgresql_is_waited_for_once(watch: SchemaWatch, catalogue: Catalogue) -> None:
    """Not once for each event: the other tables have to flow."""
    assert watch.drift_of("quotes", 500) is None
    catalogue.drop_price()
    catalogue.speaks.clear()
    began = time.monotonic()
    for _ in range(100):
        assert watch.drift_of("quotes", 1500) is None
    assert 0.2 <= time.monotonic() - began < 1
    catalogue.speaks.set()
    watch.close(5)  # so that the answer that was overdue is there
    assert "quotes" in watch.drifts
