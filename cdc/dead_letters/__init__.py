"""Dead letters: events that could not be applied, kept with their cause until a person acts.

The topic is the first and only write of the sink (`producer`); a thread derives the Cassandra table
from it (`filing`, `table`); `redrive` applies a letter again, at its own position.
"""

from cdc.dead_letters.producer import DeadLetters

__all__ = ["DeadLetters"]
