"""The searches: Hypothesis over histories for the property, plain random ones for the mutants."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.model.choices import SIZE
from tests.model.history import run
from tests.model.rules import Rules

MOST_HISTORIES = 5000  # in which a mutant must be found


def converge(number: int, histories: int) -> Counter[str]:
    """Live through histories drawn from a seed; AssertionError with the simplest that differs.

    Returns what was seen in them, of each kind.
    """
    seen: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=histories,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=SIZE // 2, max_size=SIZE * 3 // 2))
    def cassandra_equals_postgres(data: bytes) -> None:
        outcome = run(data)
        seen.update(outcome.seen)
        seen["histories"] += 1
        assert not outcome.differences, (
            f"{outcome.differences}; again: python -m tests.model --history {data.hex()}"
        )

    cassandra_equals_postgres()
    return seen


def first_difference(rules: Rules, number: int, most: int = MOST_HISTORIES) -> int | None:
    """How many random histories it takes until one differs; None: more than `most`."""
    random = Random(number)
    for count in range(1, most + 1):
        if run(random.randbytes(SIZE), rules).differences:
            return count
    return None
