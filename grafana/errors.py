"""The errors of this stage.

GrafanaError
├── Unparsable     a CQL text that is not a SELECT of the kind that panels ask
└── UnknownSchema  a statement of cassandra/*.cql that the schema reader does not know
"""

from __future__ import annotations


class GrafanaError(Exception):
    """Base of what goes wrong while dashboards are built or linted."""


class Unparsable(GrafanaError):
    """A query that the parser does not understand; the message shows where."""

    def __init__(self, text: str, at: int, expected: str) -> None:
        self.at = at
        super().__init__(f"expected {expected} at {at}: {text[at : at + 30]!r}")


class UnknownSchema(GrafanaError):
    """The schema files hold a statement that nobody has taught the reader."""
