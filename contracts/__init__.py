"""The language between stages: names, market types, change events, JSON Schemas."""
