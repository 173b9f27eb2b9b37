"""What a person types: the one command `tidemark`, one file a group of commands; wiring only."""
