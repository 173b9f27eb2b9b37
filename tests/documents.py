"""Blocks of our documents, which tests execute as they stand there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.settings import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What stands between two fences, and the language behind the first."""

    language: str
    text: str


def chapter(document: str, heading: str) -> str:
    """The text below a heading, with its sub-chapters; KeyError where there is no such heading."""
    text = (DOCS / document).read_text(encoding="utf-8")
    bare = _FENCED.sub(lambda fenced: "." * len(fenced[0]), text)  # a # in code is no heading
    level = begin = 0
    for found in _HEADING.finditer(bare):
        if level and len(found[1]) <= level:
            return text[begin : found.start()]
        if found[2] == heading:
            level, begin = len(found[1]), found.end()
    if not level:
        raise KeyError(f"{document} has no chapter {heading!r}")
    return text[begin:]


def blocks(text: str, *languages: str) -> list[Block]:
    """The blocks of these languages in a text, in their order; without languages, all."""
    found = (Block(language, body) for language, body in _BLOCK.findall(text))
    return [each for each in found if not languages or each.language in languages]
