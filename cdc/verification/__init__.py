"""Prove that Cassandra equals what PostgreSQL retains, while data flows."""

from cdc.verification.report import Report, TableReport
from cdc.verification.verifier import Scope, verify

__all__ = ["Report", "Scope", "TableReport", "verify"]
