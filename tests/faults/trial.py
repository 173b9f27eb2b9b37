"""What a test says about its fault while it runs; the matrix shows it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NoReturn

import pytest


@dataclass(frozen=True)
class Counts:
    """Rows of both stores, compared: all but `rows` must be 0."""

    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    examples: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.different)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.rows + other.rows,
            self.missing + other.missing,
            self.extra + other.extra,
            self.different + other.different,
            self.examples + other.examples,
        )


@dataclass
class Trial:
    """One case of one row. `random` is the only source of chance, drawn from `seed`."""

    seed: int
    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recovery_s: float | None = None
    counts: Counts | None = None
    resurrected: int | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def happened(self, evidence: str) -> None:
        """O9: say how it is known that the fault was real (a pid that died, bytes that were lost).

        A case that ends without a word of evidence has failed.
        """
        self.evidence.append(evidence)

    def note(self, text: str) -> None:
        """A figure or a fact that belongs into the table."""
        self.notes.append(text)

    def not_injectable(self, reason: str) -> NoReturn:
        """End here: this machine cannot make that fault. The row stays in the table with it."""
        pytest.skip(f"{NOT_INJECTABLE_MARK}{reason}")

    def prove(self, counts: Counts, resurrected: int = 0) -> None:
        """O1 and O2: keep the counts, and fail unless all of them are 0."""
        self.counts = counts if self.counts is None else self.counts + counts
        self.resurrected = (self.resurrected or 0) + resurrected
        assert counts.rows > 0, "nothing was compared"
        assert counts.equal, (
            f"{counts.missing} rows missing, {counts.extra} extra, {counts.different} different: "
            + "; ".join(counts.examples[:10])
        )
        assert resurrected == 0, f"{resurrected} times a canary went back or came back"


NOT_INJECTABLE_MARK = "not injectable: "
