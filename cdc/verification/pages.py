"""Pages of Cassandra's answers as the bytes they came in, for those who only hash them.

The driver decodes each value of each row; a session with this handler hands over pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from cassandra.marshal import int32_unpack
from cassandra.protocol import ProtocolHandler, ResultMessage


@dataclass(slots=True)
class Page:
    """Rows of an answer, as bytes one after another."""

    rows: int
    body: bytes

    def take(self) -> tuple[int, bytes]:
        """Both, and let the bytes go: the driver's objects of a request outlive it for long."""
        rows, body = self.rows, self.body
        self.rows, self.body = 0, b""
        return rows, body


class PageMessage(ResultMessage):  # type: ignore[misc]  # the driver ships no types
    """A RESULT message whose rows stay as they are."""

    def recv_results_rows(self, f: Any, *context: Any) -> None:
        """Read the message's metadata, then take the rest in one piece."""
        _protocol_version, user_types, known, *_ = context
        self.recv_results_metadata(f, user_types)
        columns = self.column_metadata or known
        self.column_names = [column[2] for column in columns]
        self.column_types = [column[3] for column in columns]
        self.parsed_rows = [Page(int32_unpack(f.read(4)), f.read())]


class PageHandler(ProtocolHandler):  # type: ignore[misc]  # the driver ships no types
    """Decodes messages as the driver does, but for rows."""

    message_types_by_opcode: ClassVar = {
        **ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: PageMessage,
    }


def in_pages(_names: Any, rows: Any) -> Any:
    """A row factory that leaves pages alone."""
    return rows
