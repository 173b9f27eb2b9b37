"""Exchanges → PostgreSQL: clients, validation, schedule, the one writer, backfill."""
