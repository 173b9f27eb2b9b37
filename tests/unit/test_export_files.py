"""Exported files: what a value looks like in each, and that a file is complete or not there."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from cdc.errors import BadScope
from cdc.export import Scope, files, opened
from cdc.mapping import Column, Via

KINDS = ("text", "timestamp", "decimal", "bigint", "int", "boolean")
COLUMNS = tuple(Column(f"a_{kind}", kind, kind, Via.VALUE) for kind in KINDS)
NOON = 1_768_478_400_000
ROWS = [
    ('a,"b"\n', NOON + 7, Decimal("0.00000012"), 2**62, -1, True),
    ("é€😀", -1, Decimal("1E+5"), None, 0, False),
    ("", None, None, 0, None, None),
    ("z", NOON, Decimal("-0.000000000000000001"), 1, 1, None),
]
WORDS = [
    ['a,"b"\n', "2026-01-15T12:00:00.007Z", "0.00000012", str(2**62), "-1", "true"],
    ["é€😀", "1969-12-31T23:59:59.999Z", "100000", "", "0", "false"],
    ["", "", "", "0", "", ""],
    ["z", "2026-01-15T12:00:00.000Z", "-0.000000000000000001", "1", "1", ""],
]


def written(path: Path) -> None:
    with opened(str(path), COLUMNS) as file:
        assert file.write(iter(ROWS[:1])) == 1
        assert file.write(ROWS[1:]) == 3
        assert not path.exists()


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_csv_has_every_digit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    written(path)
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if suffix.endswith("gz") else raw).decode()
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == [each.name for each in COLUMNS]
    assert rows == WORDS


def test_csv_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with opened("-", COLUMNS) as file:
        file.write(ROWS)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))[1:] == WORDS


def test_parquet_has_types_and_exact_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over several groups."""
    monkeypatch.setattr(files, "ROWS_A_GROUP", 3)
    path = tmp_path / "rows.parquet"
    written(path)
    read = parquet.ParquetFile(path)
    assert read.num_row_groups == 2
    table = read.read()
    assert table.schema.field("a_timestamp").type == pa.timestamp("ms", tz="UTC")
    assert table.schema.field("a_decimal").type == pa.decimal128(38, 18)
    moments = table.column("a_timestamp").cast(pa.int64()).to_pylist()
    assert moments == [row[1] for row in ROWS]
    for index, name in ((0, "text"), (2, "decimal"), (3, "bigint"), (4, "int"), (5, "boolean")):
        assert table.column(f"a_{name}").to_pylist() == [row[index] for row in ROWS]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_file_without_rows_still_has_its_columns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    with opened(str(path), COLUMNS):
        pass
    if suffix == ".parquet":
        assert parquet.ParquetFile(path).schema_arrow.names == [each.name for each in COLUMNS]
    else:
        assert path.stat().st_size > 20


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_interrupted_file_is_not_there(tmp_path: Path, suffix: str) -> None:
    """Neither under its name nor under another; an older one stays."""

    def rows() -> Iterator[tuple[object, ...]]:
        yield ROWS[0]
        raise KeyboardInterrupt

    path = tmp_path / f"rows{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt), opened(str(path), COLUMNS, replace=True) as file:
        file.write(rows())
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"older"


def test_wrong_places_are_said(tmp_path: Path) -> None:
    there = tmp_path / "rows.csv"
    there.touch()
    for to, word in (
        (str(there), "--force"),
        (str(tmp_path / "rows.xlsx"), r"\.parquet"),
        (str(tmp_path / "nowhere" / "rows.csv"), "make it first"),
    ):
        with pytest.raises(BadScope, match=word), opened(to, COLUMNS):
            pass


def test_wrong_scopes_are_said() -> None:
    """Before anything is asked, with what there is instead."""
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
    for scope, word in (
        (Scope(table="trades"), "trades_by_hour"),
        (Scope(table="klines", values={"price": frozenset("1")}), "venue, symbol, interval"),
        (Scope(table="latest_prices", since=noon), "no range"),
        (Scope(table="klines", since=noon, until=noon), "ends before"),
    ):
        with pytest.raises(BadScope, match=word):
            scope.route  # noqa: B018 - it is asked for what it says of itself
    assert Scope(table="klines", values={"symbol": frozenset(["BTCUSDT"])}).route.table == "klines"


def test_times_beyond_the_calendar_stay_numbers() -> None:
    assert files._moment(2**62) == str(2**62)
