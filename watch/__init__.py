"""Keeps the pipeline healthy: restarts, partitions, alarms."""
