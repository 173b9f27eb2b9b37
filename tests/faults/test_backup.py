"""Chapters `backup` and `moving` of the runbook: their blocks, executed on the running pipeline.

Three times all of Cassandra is deleted or left behind. What PostgreSQL holds is compared by both
comparisons, and days that PostgreSQL has dropped, which none of them sees, value for value.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdc import generation
from cdc.source import HELD
from contracts.naming import Role
from runtime.settings import PROJECT_ROOT
from tests.conftest import Pipeline, Stack, discard, fresh_folder, settings_of
from tests.documents import Block, blocks, chapter
from tests.faults.reconcile import reconcile
from tests.faults.rig import EDITED, Rig
from tests.faults.trial import Trial
from tests.faults.workload import Workload
from tests.integration.conftest import cdc_settings

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

TPS = 40
CHANGES = 400  # transactions between the backup and the loss
OLD_DAY = datetime.combine(datetime.now(UTC).date() - timedelta(days=6), time(), tzinfo=UTC)
OLD_PRICES = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'backup', 'S' || i % 3, %(day)s + i * interval '1 min', i / 7.0
FROM generate_series(1, 900) AS i ON CONFLICT DO NOTHING"""
PRICES_OF_TODAY = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'backup', 'S' || i, date_trunc('milliseconds', clock_timestamp()), 1
FROM generate_series(0, 2) AS i"""
KEPT = (
    "SELECT symbol, observed_at, price FROM prices_by_day "
    "WHERE venue = 'backup' AND symbol IN ('S0', 'S1', 'S2') AND day = ?"
)
# settings of the other commands; what `up` is given, its processes would keep
TIDEMARK = f"""#!/bin/sh
[ "$1" = up ] || export TIDEMARK_VERIFY_SHARE=1 TIDEMARK_FENCE_TIMEOUT_S=$FENCE_S
cd {shlex.quote(str(PROJECT_ROOT))} && exec {shlex.quote(sys.executable)} -m cli.main "$@"
"""
REFUSED = "`tidemark resync` takes a new snapshot"


@dataclass
class Desk:
    """A project's folder at which somebody types what the runbook says. `stack`: what it starts."""

    folder: Path
    stack: Stack
    variables: dict[str, str]

    def __post_init__(self) -> None:
        (self.folder / ".tidemark").symlink_to(self.stack.settings.state_dir)
        programs = self.folder / "bin"
        programs.mkdir()
        tidemark = programs / "tidemark"
        tidemark.write_text(TIDEMARK)
        tidemark.chmod(0o755)
        self._path = os.pathsep.join(
            [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        )

    def type(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run lines of a shell, up to the first that fails."""
        return subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=self.folder,
            env=self.stack.process_env | self.variables | {"PATH": self._path},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    def follow(self, *those: Block) -> None:
        """Type whole blocks; each must succeed."""
        for block in those:
            done = self.type(block.text)
            assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"


def fence_s(rig: Rig) -> str:
    return str(60 * rig._patience)


def told(heading: str) -> list[Block]:
    return blocks(chapter("runbook.md", heading), "sh")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the backup lies, from the first test on."""
    return tmp_path_factory.mktemp("elsewhere") / "cassandra.tar"


@pytest.fixture
def desk(rig: Rig, tmp_path: Path, archive: Path) -> Iterator[Desk]:
    """Where the runbook is followed; at the end the pipeline runs, whatever came of it."""
    yield Desk(tmp_path, rig.pipeline, {"BACKUP": str(archive), "FENCE_S": fence_s(rig)})
    rig.close()  # sessions of before
    rig.ensure_healthy()


@pytest.fixture(scope="module")
def kept(rig: Rig) -> list[Any]:
    """Prices of a day that only Cassandra has."""
    rig.ensure_healthy()
    rig.sql("SELECT ensure_partition('prices', %s)", OLD_DAY.date())
    rig.sql(OLD_PRICES.replace("%(day)s", f"'{OLD_DAY.isoformat()}'::timestamptz"))
    rig.sql(PRICES_OF_TODAY)
    proved = rig.pipeline.tidemark("verify", "prices", "--full-speed")
    assert proved.returncode == 0, proved.stdout + proved.stderr
    rig.until("the day is dropped", lambda: dropped(rig), 120)
    found = old_prices(rig)
    assert len(found) == 900
    return found


def dropped(rig: Rig) -> bool | None:
    """Drop the day; None where somebody reads the table just now, as for the watch itself."""
    try:
        rig.sql("SELECT drop_partition('prices', %s)", OLD_DAY.date())
    except HELD:
        return None
    return True


def old_prices(rig: Rig) -> list[Any]:
    return sorted(tuple(row) for row in rig.cql(KEPT, OLD_DAY))


@contextmanager
def changing(rig: Rig, trial: Trial) -> Iterator[Workload]:
    """Rows are inserted, changed and deleted for the length of the block."""
    load = Workload(rig.dsn(Role.OWNER), trial.seed, TPS)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def prove(rig: Rig, trial: Trial, kept: list[Any]) -> None:
    """Both stores are equal as far as PostgreSQL reaches, and what is older is as it was."""
    rig.close()
    rig.cdc = generation.current(rig.cdc)
    trial.prove(reconcile(rig.cdc, since=datetime.now(UTC) - 10 * EDITED))
    rig.verify()
    assert old_prices(rig) == kept


def test_cassandra_comes_back_from_its_backup(
    rig: Rig, trial: Trial, desk: Desk, kept: list[Any]
) -> None:
    """Rows come, change and go before the backup, between it and the loss, and after it."""
    folder = rig.stack.data("cassandra")
    with changing(rig, trial) as load:
        before = load.committed
        desk.follow(*told("Take one"))
        rig.recover(trial, within_s=120)
        rig.until(
            "rows change after the backup",
            lambda: load.committed > before + CHANGES or None,
            10 * CHANGES / TPS,
        )
        lost = folder.stat().st_ino, len(list(folder.rglob("*Data.db")))
        restoring, healing = told("Put it back")
        desk.follow(restoring)
        assert folder.stat().st_ino != lost[0]
        trial.happened(f"Cassandra's folder with its {lost[1]} data files was deleted")
        hole = desk.type("tidemark verify trades --hours 2 --json")
        assert hole.returncode == 1, "nothing is missing without the resync, so it is not shown"
        first = rig.cdc.generation
        desk.follow(healing)
    prove(rig, trial, kept)
    assert rig.cdc.generation == first + 1


def test_a_backup_from_before_a_resync_on_a_machine_that_was_down(
    rig: Rig, trial: Trial, desk: Desk, kept: list[Any], archive: Path
) -> None:
    """`up` refuses, with the remedy, and starts what the remedy needs."""
    if not archive.exists():
        pytest.skip("the test before has left no backup")
    restoring, healing = told("Put it back")
    *files, up = restoring.text.splitlines()[1:]  # the first line stops what does not run
    desk.follow(Block("sh", "tidemark down"), Block("sh", "\n".join(files)))
    refused = desk.type(up)
    assert (refused.returncode, REFUSED in refused.stderr) == (1, True), refused.stderr
    trial.happened(f"refused: {refused.stderr.strip()}")
    with changing(rig, trial):
        desk.follow(healing)
    prove(rig, trial, kept)


def test_everything_moves_to_another_folder(
    rig: Rig, trial: Trial, desk: Desk, kept: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same generation goes on there; what stays behind is as it was."""
    here, there = told("moving")
    place = tmp_path_factory.mktemp("there")
    desk.variables["COPY"] = str(place / "copy.tar")
    desk.follow(here)
    environment = rig.pipeline.env | {"TIDEMARK_STATE_DIR": str(fresh_folder())}
    moved = Pipeline(settings_of(environment), environment)
    (place / "project").mkdir()
    try:
        Desk(place / "project", moved, desk.variables).follow(there)
        assert generation.current(cdc_settings(environment)).generation == rig.cdc.generation
        other = Rig(moved)
        trial.prove(reconcile(other.cdc, since=datetime.now(UTC) - 10 * EDITED))
        assert old_prices(other) == kept
        other.close()
        trial.happened(f"{rig.stack.state_dir} went on in {environment['TIDEMARK_STATE_DIR']}")
    finally:
        discard(moved, keep_logs=False)
        shutil.rmtree(place, ignore_errors=True)
        back = rig.pipeline.tidemark("up")
    assert back.returncode == 0, back.stdout + back.stderr
