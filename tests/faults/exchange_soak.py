"""`make soak-exchange MINUTES=30 SEED=7`: the exchange misbehaves at random; the data stays whole.

    python -m tests.faults.exchange_soak [--minutes 30] [--seed 1] [--keep-stack FOLDER] [--write]

A pipeline of its own streams ten pairs at the simulator's full rate. Faults are drawn from the seed
one after the other; one pair is halted meanwhile, and traded again. The last minutes are calm. Then
PostgreSQL must hold every trade and every closed candle as the exchange told them, each minute must
be certified, no gap may be open, and `tidemark verify` must find no difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import table
from tests.faults.exchange import Exchange
from tests.faults.market import VENUE, Pairs
from tests.faults.results import FOLDER, RUNS, code_commit, now
from tests.faults.rig import Rig
from tests.faults.soak import running
from tests.faults.trial import Trial

SYMBOLS = tuple(
    f"{asset}USDT"
    for asset in ["BTC", "ETH", "XRP", "BNB", "SOL", "DOGE", "TRX", "ADA", "SUI", "LINK"]
)
HALTED = "LINKUSDT"
CALM_S = 240.0
COMES_BACK_S = 90.0  # who reconnects waits longer each time
SETTLED_S = 900.0  # a minute that differs is looked into again after 1, 2, 4, … minutes
STREAMED = {
    "TIDEMARK_STREAMS": "on",
    "TIDEMARK_EXCHANGE_INFO_EVERY_S": "30",
}

Rule = dict[str, Any]
HANG_UP: Rule = {"do": "hang_up"}
DROP: Rule = {"do": "drop"}
NOTICE: Rule = {"do": "hang_up", "notice": True}


@dataclass(frozen=True)
class Fault:
    """What the exchange does for some seconds; `rules` are drawn anew each time."""

    name: str
    least_s: float
    most_s: float
    rules: Callable[[Random], list[Rule]]


def streams(action: Rule, kind: str = "trade", **more: Any) -> Callable[[Random], list[Rule]]:
    """An action on the streams of one kind."""
    return lambda _: [{"path": f"stream:*@{kind}", "action": action, **more}]


def lost_frames(random: Random) -> list[Rule]:
    """Some frames of one pair's trades."""
    symbol = random.choice(SYMBOLS[:-1]).lower()
    return [{"path": f"stream:{symbol}@trade", "count": random.randint(1, 8), "action": DROP}]


def bad_values(random: Random) -> list[Rule]:
    """Values that are none, in frames and in answers."""
    value = random.choice(("NaN", "Infinity", "1e-8", "-1.5", None))
    action = {"do": "replace", "value": value}
    return [
        {"path": "stream:*@trade", "probability": 0.1, "action": {**action, "field": "q"}},
        {"path": "/api/v3/*", "probability": 0.3, "action": {**action, "field": "price"}},
    ]


def trouble(random: Random) -> list[Rule]:
    """Requests fail, one way or another."""
    page = random.choice(("gateway", "unknown", "timeout", "maintenance", "overloaded", "busy"))
    return [{"path": "/api/*", "probability": 0.8, "action": {"do": "page", "name": page}}]


def refused(status: int, seconds: int) -> Callable[[Random], list[Rule]]:
    action = {"do": "limit", "status": status, "retry_after_s": seconds}
    return lambda _: [{"path": "/api/*", "count": 1, "action": action}]


CUT: list[Rule] = [{"path": "stream:*", "action": HANG_UP}, {"path": "/stream", "action": DROP}]
AWAY: list[Rule] = [*CUT, {"path": "/api/*", "action": DROP}]
WRONG_VOLUME: Rule = {"do": "replace", "field": 5, "value": "77.00000000", "row": -2}  # just closed
REVISED: list[Rule] = [*CUT, {"path": "/api/v3/klines", "action": WRONG_VOLUME}]
HALF_OPEN: list[Rule] = [
    {"path": "/stream", "action": {"do": "silence"}},
    {"path": "stream:*", "count": 1, "action": HANG_UP},
]
FAULTS = (
    Fault("streams cut", 10, 60, lambda _: CUT),
    Fault("exchange away", 10, 60, lambda _: AWAY),
    Fault("streams half-open", 50, 70, lambda _: HALF_OPEN),
    Fault("serverShutdown", 5, 5, lambda _: [{**CUT[0], "count": 1, "action": NOTICE}]),
    Fault("429", 16, 25, refused(429, 8)),
    Fault("418", 30, 60, refused(418, 30)),
    Fault("requests in trouble", 10, 40, trouble),
    Fault("frames lost", 10, 30, lost_frames),
    Fault("frames three times", 10, 30, streams({"do": "duplicate", "times": 3})),
    Fault("frames reversed", 10, 30, streams({"do": "reverse"})),
    Fault("frames out of order", 10, 30, streams({"do": "hold_back"}, probability=0.4)),
    Fault(
        "candles out of order", 60, 70, streams({"do": "hold_back"}, "kline_1m", probability=0.5)
    ),
    Fault("candles revised", 70, 90, lambda _: REVISED),
    Fault("values that are none", 10, 30, bad_values),
    Fault("microseconds", 10, 20, streams({"do": "rescale"})),
)


@dataclass(kw_only=True)
class Run:
    """What happened and what was found."""

    seed: int
    commit: str
    at: str
    minutes: float = 0
    drawn: dict[str, int] = field(default_factory=dict)
    acted: int = 0
    notes: list[str] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    verified: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1, help="as of pytest")
    parser.add_argument("--keep-stack", type=Path, help="as of pytest")
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    arguments = parser.parse_args()
    run = Run(seed=arguments.seed, commit=code_commit(*RUNS), at=now())
    say(f"seed {run.seed}, {arguments.minutes:.0f} min at {run.commit}")
    with (
        running(arguments.keep_stack, STREAMED) as pipeline,
        closing(Rig(pipeline, arguments.patience)) as rig,
        closing(Exchange(pipeline.env["TIDEMARK_SIMULATOR_URL"])) as exchange,
    ):
        began = time.monotonic()
        try:
            attempt(rig, exchange, run, arguments.minutes * 60)
        except Exception as error:  # noqa: BLE001 - whatever it was, what was found is told
            run.failure = f"{type(error).__name__}: {error}"[:600]
        finally:
            exchange.heal()
        run.minutes = round((time.monotonic() - began) / 60, 1)
        account(rig, run)
    keep(run)
    print(markdown(run))  # noqa: T201 - the command's result
    if arguments.write:
        table.write("exchange", markdown(run))
    sys.exit(1 if run.failure else 0)


def attempt(rig: Rig, exchange: Exchange, run: Run, seconds: float) -> None:
    """Faults, then calm, then the proof."""
    trial = Trial(run.seed)
    pairs = Pairs(rig, exchange, SYMBOLS)
    pairs.wait_flowing()
    ends = time.monotonic() + seconds - CALM_S
    halts = [ends - seconds * share for share in (0.6, 0.4)]  # from the one to the other
    while time.monotonic() < ends:
        if halts and time.monotonic() > halts[0]:
            halts.pop(0)
            status = "HALT" if halts else "TRADING"
            exchange.list_as(HALTED, status)
            say(f"  {HALTED} {status}")
            run.drawn[status] = run.drawn.get(status, 0) + 1
        inject(exchange, run, trial.random)
        time.sleep(trial.random.uniform(0, 20))
    time.sleep(CALM_S)
    pairs.wait_flowing()
    pairs.made_good(trial, within_s=SETTLED_S)
    pairs.prove(trial)
    run.notes += trial.notes
    rig.until("every minute is certified", lambda: settled(rig) or None, SETTLED_S)
    verified = rig.pipeline.tidemark("verify", "--full-speed", "--json", timeout_s=600)
    run.verified = json.loads(verified.stdout)
    assert verified.returncode == 0, f"tidemark verify: {verified.stdout[-400:]}"


def inject(exchange: Exchange, run: Run, random: Random) -> None:
    """One fault, to its end; it waits for somebody who comes back from the one before."""
    fault = random.choice(FAULTS)
    say(f"  {fault.name}")
    exchange.script(*fault.rules(random))
    time.sleep(random.uniform(fault.least_s, fault.most_s))
    acted = sum(exchange.acted().values())
    patience = time.monotonic() + COMES_BACK_S
    while not acted and fault.name != "requests in trouble":
        assert time.monotonic() < patience, f"{fault.name} met nothing"
        time.sleep(1)
        acted = sum(exchange.acted().values())
    exchange.heal()
    run.acted += acted
    run.drawn[fault.name] = run.drawn.get(fault.name, 0) + 1


def settled(rig: Rig) -> bool:
    """Whether each minute that is over for a while is judged, and well, and no gap is open."""
    told = json.loads(rig.pipeline.tidemark("certificates", "--json", "--venue", VENUE).stdout)
    states = Counter[str]()
    for each in told["summary"]:
        states[each["state"]] += each["minutes"]
    fresh = 2 * len(SYMBOLS)  # minutes that have just ended
    gaps = rig.pipeline.tidemark("gaps", "--json", "--state", "open", "--venue", VENUE)
    return (
        gaps.returncode == 0
        and not states.keys() - {"certified", "not yet"}
        and states["not yet"] <= fresh
    )


def account(rig: Rig, run: Run) -> None:
    """The ledger's summary, as the commands tell it."""
    for name in ("gaps", "certificates"):
        told = rig.pipeline.tidemark(name, "--json", "--venue", VENUE)
        setattr(run, name, json.loads(told.stdout)["summary"])


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def keep(run: Run) -> None:
    path = FOLDER / "exchange" / f"{run.commit}-{run.seed}-{run.at.replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(run), indent=1, ensure_ascii=False), encoding="utf-8")


def markdown(run: Run) -> str:
    """The part of docs/faults.md."""
    often = sorted(run.drawn, key=lambda name: -run.drawn[name])
    minutes = Counter[str]()
    for each in run.certificates:
        minutes[each["state"]] += each["minutes"]
    rows = [
        f"| {each['stream']} | {each['cause']} | {each['state']} | {each['gaps']:,} | "
        f"{'' if each['trades'] is None else format(each['trades'], ',')} |"
        for each in run.gaps
    ]
    lines = [
        f"{sum(run.drawn.values())} faults in {run.minutes:.0f} minutes; {len(SYMBOLS)} pairs.",
        f"They spoilt {run.acted:,} answers, frames and connections.",
        f"Commit {run.commit}, {run.at[:10]}, seed {run.seed}.",
        "",
        f"Result: {run.failure or '; '.join(run.notes)}.",
        f"Minutes: {', '.join(f'{count:,} {state}' for state, count in minutes.items())}.",
        f"`tidemark verify`: {summary(run.verified)}.",
        "",
        "| stream | cause | state | gaps | trades |",
        "| --- | --- | --- | ---: | ---: |",
        *rows,
        "",
        f"Drawn: {', '.join(f'{name} ×{run.drawn[name]}' for name in often)}.",
    ]
    return "\n".join(lines) + "\n"


def summary(verified: dict[str, Any]) -> str:
    """How much was compared, and what differed."""
    if not verified:
        return "not reached"
    totals = Counter[str]()
    for told in verified["tables"]:
        totals.update({name: told[name] for name in ("rows", "missing", "extra", "different")})
    return ", ".join(f"{count:,} {name}" for name, count in totals.items())


if __name__ == "__main__":
    main()
