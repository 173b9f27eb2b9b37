"""How any of our processes lives: settings, logs, metrics, shutdown; a concern a file."""
