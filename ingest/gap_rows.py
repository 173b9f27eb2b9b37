"""Which of two rows of one gap stands: no id that is missing ever drops out of `gaps`. Pure.

Rows of a gap have one key, its first id, and come from writers that do not know of each other. Who
reads a gap back knows it as it was when it looked, up to an hour ago; meanwhile a poll may have
found that it reaches further. Were the later clock to win, the end of what was read back would end
what was found since, too. So

- a row that reaches less far than one that names missing ids stands only if it follows from it. Who
  settles or shortens a gap keeps `detected_at`; whoever finds one sets it anew. So that is what
  tells whether somebody knew the gap as it is.
- a row that comes late, by its clock, stands only if it names missing ids beyond those that are
  known, and is not what the known row follows from.
- otherwise the later clock wins.

`replaces` is the same rule in SQL, the guard of the upsert.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, literal_column, not_, or_

from contracts.market import Gap

REPAIRED: Final = "repaired"  # the only state that says that nothing is missing


def may_replace(held: Gap, arriving: Gap) -> bool:
    """Whether a row is stored where one of its key is held."""
    same_find = arriving.detected_at == held.detected_at
    if arriving.as_of < held.as_of:
        reaches_further = arriving.last_missing > held.last_missing
        return arriving.state != REPAIRED and reaches_further and not same_find
    return held.state == REPAIRED or arriving.last_missing >= held.last_missing or same_find


def replaces(held: Any, arriving: Any) -> ColumnElement[bool]:
    """The same of columns: of the table, and of the row that is to be inserted."""
    repaired = literal_column(f"'{REPAIRED}'", String)  # no parameter of the statement
    same_find = arriving.detected_at == held.detected_at
    late = arriving.as_of < held.as_of
    reaches_further = arriving.last_missing > held.last_missing
    reaches_as_far = arriving.last_missing >= held.last_missing
    return or_(
        and_(late, arriving.state != repaired, reaches_further, not_(same_find)),
        and_(not_(late), or_(held.state == repaired, reaches_as_far, same_find)),
    )
