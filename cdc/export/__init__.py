"""Cassandra's rows for other programs: one table, some series of it, a range of its time."""

from cdc.export.files import SUFFIXES, File, opened
from cdc.export.reading import Reading, Scope, reading
from cdc.export.targets import TARGETS

__all__ = ["SUFFIXES", "TARGETS", "File", "Reading", "Scope", "opened", "reading"]
