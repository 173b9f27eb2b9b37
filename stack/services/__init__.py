"""One file a service: its configuration, its command, its readiness."""
