"""The model can fail: every rule that is almost right is found wrong by a random search.

Each search draws from a fixed seed, and stops at the first history that ends with a difference.
"""

from __future__ import annotations

import pytest

from tests.model.mutants import MUTANTS
from tests.model.rules import TIDEMARK
from tests.model.search import first_difference

SEED = 1


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str) -> None:
    """Each part of the formula is needed; so are the boundaries, the sweep and its limits."""
    assert first_difference(MUTANTS[name], SEED) is not None


def test_the_rules_themselves_are_not_found_wrong_by_such_a_search() -> None:
    """So a mutant fails for what is wrong in it."""
    assert first_difference(TIDEMARK, SEED, 500) is None
