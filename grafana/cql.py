"""A parser for the SELECT statements that panels ask, with Grafana's macros and variables in place.

It knows the part of CQL that our queries use and refuses the rest, so that what it accepts it
understands whole. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grafana.errors import Unparsable
from grafana.statement import (
    Arithmetic,
    Call,
    Cast,
    Column,
    Expression,
    Literal,
    Macro,
    Relation,
    Select,
    Selected,
    Variable,
)

TYPES = frozenset(
    [
        "ascii",
        "bigint",
        "blob",
        "boolean",
        "counter",
        "date",
        "decimal",
        "double",
        "duration",
        "float",
        "inet",
        "int",
        "smallint",
        "text",
        "time",
        "timestamp",
        "timeuuid",
        "tinyint",
        "uuid",
        "varchar",
        "varint",
    ]
)

_TOKEN = re.compile(
    r"""
      (?P<text> '(?:[^']|'')*' )
    | (?P<quoted> "[^"]+" )
    | (?P<variable> \$\{ \w+ (?: : [^}]* )? \} )
    | (?P<macro> \$__\w+ )
    | (?P<duration> \d+ (?: ns|us|ms|mo|[smhdwy] ) \b )
    | (?P<number> \d+ (?: \.\d+ )? \b )
    | (?P<word> [A-Za-z_]\w* )
    | (?P<sign> <= | >= | [=<>+\-*/%(),] )
    | (?P<end> $ )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while not found or found[-1].kind != "end":
        at += len(text) - at - len(text[at:].lstrip())
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise Unparsable(text, at, "a word, a number or a sign")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


def parse(text: str) -> Select:
    """The statement of a text; Unparsable where it is none that we know."""
    return _Parser(text).select()


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _fail(self, expected: str) -> Unparsable:
        return Unparsable(self._text, self._token.at, expected)

    def _accept(self, *words: str) -> bool:
        """Go past these words or signs if they come next."""
        ahead = self._tokens[self._next : self._next + len(words)]
        if [token.text.upper() for token in ahead] != list(words):
            return False
        self._next += len(words)
        return True

    def _expect(self, *words: str) -> None:
        if not self._accept(*words):
            raise self._fail(" ".join(words))

    def _take(self, kind: str, expected: str) -> str:
        token = self._token
        if token.kind != kind:
            raise self._fail(expected)
        self._next += 1
        return token.text

    def _name(self) -> str:
        if self._token.kind == "quoted":
            return self._take("quoted", "a name").strip('"')
        return self._take("word", "a name").lower()

    def select(self) -> Select:
        self._expect("SELECT")
        columns = [self._selected()]
        while self._accept(","):
            columns.append(self._selected())
        self._expect("FROM")
        table = self._name()
        where = self._where()
        group_by = self._list() if self._accept("GROUP", "BY") else ()
        order_by = self._ordering() if self._accept("ORDER", "BY") else ()
        per_partition = self._count() if self._accept("PER", "PARTITION", "LIMIT") else None
        limit = self._count() if self._accept("LIMIT") else None
        filtering = self._accept("ALLOW", "FILTERING")
        self._take("end", "the end")
        return Select(
            tuple(columns), table, where, group_by, order_by, per_partition, limit, filtering
        )

    def _selected(self) -> Selected:
        value = self._sum()
        own = value.name if isinstance(value, Column) else ""
        return Selected(value, self._name() if self._accept("AS") else own)

    def _where(self) -> tuple[Relation, ...]:
        if not self._accept("WHERE"):
            return ()
        relations = [self._relation()]
        while self._accept("AND"):
            relations.append(self._relation())
        return tuple(relations)

    def _relation(self) -> Relation:
        column = self._name()
        if self._accept("IN"):
            self._expect("(")
            values = self._list()
            self._expect(")")
            return Relation(column, "IN", values)
        operator = self._take("sign", "a comparison")
        if operator not in {"=", "<", ">", "<=", ">="}:
            raise self._fail("a comparison")
        return Relation(column, operator, (self._sum(),))

    def _ordering(self) -> tuple[tuple[str, bool], ...]:
        column = self._name()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        return ((column, descending),)

    def _count(self) -> int:
        return int(self._take("number", "a number"))

    def _list(self) -> tuple[Expression, ...]:
        values = [self._sum()]
        while self._accept(","):
            values.append(self._sum())
        return tuple(values)

    def _sum(self) -> Expression:
        value = self._product()
        while (sign := self._token.text) in {"+", "-"} and self._accept(sign):
            value = Arithmetic(sign, value, self._product())
        return value

    def _product(self) -> Expression:
        value = self._single()
        while (sign := self._token.text) in {"*", "/", "%"} and self._accept(sign):
            value = Arithmetic(sign, value, self._single())
        return value

    def _single(self) -> Expression:  # noqa: PLR0911 - one a kind of value
        if self._accept("("):
            return self._hint_or_group()
        if self._accept("CAST", "("):
            value = self._sum()
            self._expect("AS")
            kind = self._name()
            self._expect(")")
            return Cast(kind, value, hint=False)
        token = self._token
        match token.kind:
            case "word" | "quoted":
                return self._word()
            case "text":
                self._next += 1
                return Literal("text", token.text[1:-1].replace("''", "'"))
            case "duration":
                self._next += 1
                return Literal("duration", token.text)
            case "number":
                self._next += 1
                return Literal("float" if "." in token.text else "integer", token.text)
            case "macro":
                self._next += 1
                return Macro(token.text.removeprefix("$__"))
            case "variable":
                self._next += 1
                name, _, form = token.text[2:-1].partition(":")
                return Variable(name, form)
        raise self._fail("a value")

    def _hint_or_group(self) -> Expression:
        ahead = self._tokens[self._next + 1].text
        if self._token.text.lower() in TYPES and ahead == ")":
            kind = self._name()
            self._expect(")")
            return Cast(kind, self._single(), hint=True)
        value = self._sum()
        self._expect(")")
        return value

    def _word(self) -> Expression:
        if self._token.text.lower() in {"true", "false"}:
            return Literal("boolean", self._name())
        name = self._name()
        if not self._accept("("):
            return Column(name)
        if self._accept("*", ")") or self._accept(")"):
            return Call(name.lower(), ())
        arguments = self._list()
        self._expect(")")
        return Call(name.lower(), arguments)
