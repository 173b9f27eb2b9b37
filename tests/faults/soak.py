"""`make soak MINUTES=60 SEED=7`: faults at random on one pipeline under load.

    python -m tests.faults.soak [--minutes 60] [--seed 1] [--keep-stack FOLDER] [--write]

Each period draws faults and pauses from the seed, then the load stops and every row of both stores
is compared: by our own reader and by `tidemark verify`. The last comparison leaves nothing out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psycopg2
from rich.console import Console
from rich.table import Table

from tests.conftest import Pipeline, Stack, discard, fresh_environment, fresh_folder, settings_of
from tests.faults import table
from tests.faults.injections import INJECTIONS
from tests.faults.reconcile import reconcile
from tests.faults.results import FOLDER, RUNS, code_commit, now
from tests.faults.rig import Rig
from tests.faults.trial import Trial
from tests.faults.workload import CALM_MARKET

PERIOD_S = 600.0
RECOVERY_S = 120.0
TPS = 80


@dataclass(kw_only=True)
class Period:
    """What happened until one comparison, and what it found."""

    minutes: float
    faults: int = 0
    evidence: list[str] = field(default_factory=list)
    recovery_s: float = 0
    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    resurrected: int = 0
    failure: str = ""


@dataclass(kw_only=True)
class Soak:
    """A whole run."""

    seed: int
    commit: str
    at: str
    patience: float
    periods: list[Period] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return bool(self.periods) and not any(each.failure for each in self.periods)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1, help="as of pytest")
    parser.add_argument("--keep-stack", type=Path, help="as of pytest")
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    arguments = parser.parse_args()
    patience = arguments.patience
    soak = Soak(seed=arguments.seed, commit=code_commit(*RUNS), at=now(), patience=patience)
    say(f"seed {soak.seed}, {arguments.minutes:.0f} min at {soak.commit}")
    with (
        running(arguments.keep_stack, CALM_MARKET) as pipeline,
        closing(Rig(pipeline, patience)) as rig,
    ):
        run(rig, soak, arguments.minutes * 60)
    show(soak)
    if arguments.write:
        table.write("soak", markdown(soak))
    sys.exit(0 if soak.clean else 1)


@contextmanager
def running(folder: Path | None, variables: Mapping[str, str]) -> Iterator[Pipeline]:
    """A pipeline: of its own with these variables and gone afterwards, or one that is kept."""
    if folder is not None:
        environment = json.loads((folder / "test-environment.json").read_text())
    else:
        environment = {**fresh_environment(fresh_folder()), **variables}
    started = Stack(settings_of(environment), environment)
    try:
        done = started.tidemark("up", timeout_s=600)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        yield Pipeline(started.settings, environment)
    finally:
        if folder is None:
            discard(started, keep_logs=True)


def run(rig: Rig, soak: Soak, seconds: float) -> None:
    """Period after period; a failure is told and the next one begins."""
    began = time.monotonic()
    number = 0
    while (left := seconds - (time.monotonic() - began)) > 0:
        number += 1
        trial = Trial(soak.seed * 1000 + number)
        last = left <= PERIOD_S * 1.5
        period = Period(minutes=0)
        try:
            attempt(rig, soak, trial, period, min(left, PERIOD_S))
            if last:
                trial.prove(reconcile(rig.cdc))
        except Exception as error:  # noqa: BLE001 - whatever it was, the next period shows more
            reason = (str(error).splitlines() or [""])[0][:300]
            period.failure = f"{type(error).__name__}: {reason}"
        fill(period, trial)
        period.minutes = round((time.monotonic() - began) / 60, 1)
        soak.periods.append(period)
        keep(soak)
        say(
            f"{period.minutes} min: {period.faults} faults, {period.rows:,} rows compared, "
            f"{period.failure or 'equal'}"
        )
        if last:
            return


def attempt(rig: Rig, soak: Soak, trial: Trial, period: Period, seconds: float) -> None:
    """Faults for some minutes under load, then the comparison."""
    ends = time.monotonic() + seconds
    with rig.under_load(trial, tps=TPS, settle_s=180):
        while time.monotonic() < ends:
            fault = trial.random.choice(INJECTIONS)
            say(f"  {fault.row or '–'} {fault.name}")
            try:
                trial.happened(fault.inject(rig, trial.random))
            except psycopg2.OperationalError as error:  # PostgreSQL still suffers from the last one
                say(f"    not injected: {str(error).splitlines()[0]}")
                rig.recover(trial, within_s=RECOVERY_S)
                continue
            name = f"{fault.row} {fault.name}".strip()
            soak.drawn[name] = soak.drawn.get(name, 0) + 1
            period.faults += 1
            if trial.random.random() < 0.7:  # else the next one meets a pipeline that still suffers
                rig.recover(trial, within_s=RECOVERY_S)
            time.sleep(trial.random.uniform(0, 12))
        rig.recover(trial, within_s=RECOVERY_S)


def fill(period: Period, trial: Trial) -> None:
    period.evidence = trial.evidence
    period.recovery_s = trial.recovery_s or 0
    period.resurrected = trial.resurrected or 0
    if trial.counts is not None:
        counts = trial.counts
        period.rows, period.missing = counts.rows, counts.missing
        period.extra, period.different = counts.extra, counts.different


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def keep(soak: Soak) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "soak" / f"{soak.commit}-{soak.seed}-{soak.at.replace(':', '')}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(soak), indent=1, ensure_ascii=False), encoding="utf-8")


def cells(period: Period) -> list[str]:
    counts = (period.missing, period.extra, period.different, period.resurrected)
    return [
        f"{period.minutes}",
        f"{period.faults}",
        f"{period.recovery_s:.1f}",
        f"{period.rows:,}",
        *map(str, counts),
        period.failure or "equal",
    ]


HEAD = ("minute", "faults", "slowest recovery, s", "rows compared")
COUNTED = ("missing", "extra", "different", "stale", "result")


def show(soak: Soak) -> None:
    shown = Table(title=f"Soak at {soak.commit}, seed {soak.seed}", title_justify="left")
    for name in (*HEAD, *COUNTED):
        shown.add_column(name)
    for period in soak.periods:
        shown.add_row(*cells(period))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=table.PIPED_WIDTH)
    console.print(shown)


def markdown(soak: Soak) -> str:
    """The part of docs/faults.md."""
    often = sorted(soak.drawn, key=lambda name: -soak.drawn[name])
    drawn = ", ".join(f"{name} ×{soak.drawn[name]}" for name in often)
    total = sum(period.faults for period in soak.periods)
    limit_s = RECOVERY_S * soak.patience
    lines = [
        f"{total} faults in {soak.periods[-1].minutes:.0f} minutes, {TPS} transactions a second.",
        f"Commit {soak.commit}, {soak.at[:10]}, seed {soak.seed}; recovery within {limit_s:.0f} s.",
        "",
        f"| {' | '.join((*HEAD, *COUNTED))} |",
        f"| {' | '.join('---:' for _ in range(len(HEAD) + len(COUNTED) - 1))} | --- |",
        *(f"| {' | '.join(cells(period))} |" for period in soak.periods),
        "",
        f"Drawn: {drawn}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
