"""How the rows run: in order, those that were asked for, each recorded as it ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator

import pytest

from tests.conftest import Pipeline, Stack
from tests.faults import table
from tests.faults.matrix import ROWS, chosen
from tests.faults.results import (
    FAILED,
    NOT_INJECTABLE,
    PASSED,
    RUNS,
    Case,
    Results,
    code_commit,
    newest,
    now,
    record,
)
from tests.faults.rig import Rig
from tests.faults.trial import NOT_INJECTABLE_MARK, Trial
from tests.faults.workload import CALM_MARKET
from tests.integration.conftest import replica as replica  # noqa: PLC0414 - a fixture for rows

RESULTS = pytest.StashKey[Results]()
TRIAL = pytest.StashKey[Trial]()
BEGAN = pytest.StashKey[float]()
CASES = pytest.StashKey[Counter[str]]()  # of each row


def row_of(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker("row")
    return None if mark is None else str(mark.args[0])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the rows that were asked for and have not passed on this commit, in their order."""
    try:
        wanted = chosen(config.getoption("--rows"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    order = {name: place for place, name in enumerate(ROWS)}
    rows = sorted((item for item in items if row_of(item)), key=lambda i: order[row_of(i) or ""])
    if not rows:
        return
    config.stash[CASES] = Counter(row_of(item) or "" for item in rows)
    config.stash[RESULTS] = results = Results(code_commit(*RUNS))
    fresh = config.getoption("--fresh")
    kept = [
        item
        for item in rows
        if row_of(item) in wanted and (fresh or not results.passed(case_of(item)))
    ]
    config.hook.pytest_deselected(items=[item for item in rows if item not in kept])
    for item in kept:
        limit_s = ROWS[row_of(item) or ""].limit_s * config.getoption("--patience")
        item.add_marker(pytest.mark.timeout(limit_s), append=False)
    others = [] if config.getoption("--rows") else [item for item in items if not row_of(item)]
    items[:] = kept + others


def case_of(item: pytest.Item) -> str:
    """The test's name with its parameters: what a result is kept under."""
    return item.name


@pytest.fixture(scope="session")
def pipeline(stack: Stack) -> Pipeline:
    """Everything, started by the command that a person types, on a calm market."""
    calm = Pipeline(stack.settings, stack.env | CALM_MARKET)
    done = calm.tidemark("up")
    assert done.returncode == 0, done.stdout + done.stderr
    return calm


@pytest.fixture(scope="session")
def rig(pipeline: Pipeline, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The running pipeline, as a fault test handles it."""
    made = Rig(pipeline, request.config.getoption("--patience"))
    made.warm_up()
    yield made
    made.close()


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """Where the test says what happened."""
    made = Trial(request.config.getoption("--seed"))
    request.node.stash[TRIAL] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A fault of which there is no evidence was not survived (O9)."""
    item.stash[BEGAN] = time.monotonic()
    yield
    trial = item.stash.get(TRIAL, None)
    if trial is not None and not trial.evidence:
        pytest.fail("the test shows no evidence that its fault happened")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    name = row_of(item)
    if name is not None and (call.when == "call" or (call.when == "setup" and not report.passed)):
        item.config.stash[RESULTS].add(_case(item, name, report))
    return report


def _case(item: pytest.Item, name: str, report: pytest.TestReport) -> Case:
    trial = item.stash.get(TRIAL, None) or Trial(item.config.getoption("--seed"))
    status, reason = _status(report)
    began = item.stash.get(BEGAN, time.monotonic())
    case = Case(
        row=name,
        case=case_of(item),
        status=status,
        reason=reason,
        seconds=round(time.monotonic() - began, 1),
        seed=trial.seed,
        commit=item.config.stash[RESULTS].commit,
        at=now(),
        tests=code_commit("tests"),
        of=item.config.stash[CASES][name],
        recovery_s=trial.recovery_s,
        resurrected=trial.resurrected,
        evidence=trial.evidence,
        notes=trial.notes,
    )
    if (patience := item.config.getoption("--patience")) != 1:
        case.notes = [*case.notes, f"limits of time ×{patience:g}: the machine was busy"]
    if trial.counts is not None:
        case.rows, case.missing = trial.counts.rows, trial.counts.missing
        case.extra, case.different = trial.counts.extra, trial.counts.different
    return case


def _status(report: pytest.TestReport) -> tuple[str, str]:
    if report.passed:
        return PASSED, ""
    if report.skipped and isinstance(report.longrepr, tuple):
        text = str(report.longrepr[2]).removeprefix("Skipped: ")
        return NOT_INJECTABLE, text.removeprefix(NOT_INJECTABLE_MARK)
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return FAILED, text.strip().split("\n", 1)[0][:400]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(config: pytest.Config) -> None:
    results = config.stash.get(RESULTS, None)
    if results is None or config.getoption("--collect-only"):
        return
    rows = chosen(config.getoption("--rows"))
    table.show(table.lines(results.cases, rows), f"Fault matrix at {results.commit}")
    if config.getoption("--write-matrix"):
        shown = newest()
        record(shown)
        table.write("matrix", table.markdown(table.lines(shown)))
