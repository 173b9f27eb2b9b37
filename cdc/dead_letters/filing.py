"""Copies the dead-letter topic into Cassandra, in a thread beside the sink's loop.

The topic is what counts; the table is derived from it, for people and for `tidemark dlq`. So
nothing that happens here holds a data lane up or loses a letter: an offset is committed once its
letters are in the table, and whatever fails is tried again, from the commit, ever more slowly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import Consumer

from cdc.dead_letters import topic
from cdc.dead_letters.letter import letter_of
from cdc.dead_letters.table import LetterTable
from cdc.settings import CdcSettings
from cdc.sink.metrics import LETTERS_FILED

log = structlog.get_logger(__name__)

Session = Any  # cassandra.cluster.Session, which ships no types

_LETTERS_A_ROUND = 8  # of at most 8 MB each
_WAIT_FIRST_S, _WAIT_LAST_S = 1.0, 30.0
_POLL_S = 0.5


class Filing:
    """The thread. `session` is asked for each time: the sink may have opened a new one."""

    def __init__(self, settings: CdcSettings, session: Callable[[], Session]) -> None:
        self._settings = settings
        self._session = session
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
        self._thread.start()

    def ask_to_end(self) -> None:
        """End soon. Nobody waits for it: what is not filed is filed next time."""
        self._ended.set()

    def _run(self) -> None:
        wait_s = _WAIT_FIRST_S
        while not self._ended.is_set():
            reader = topic.consumer(self._settings, f"{self._settings.sink_group}-dead-letters")
            try:
                reader.subscribe([self._settings.dead_letter_topic])
                while not self._ended.is_set():
                    self._file(reader)
                    wait_s = _WAIT_FIRST_S
            except Exception as error:  # noqa: BLE001 - the data lanes go on, whatever fails here
                reason = f"{type(error).__name__}: {error}"[:300]
                if not self._ended.is_set():
                    log.warning("dead letters are not filed yet", reason=reason, again_in_s=wait_s)
            finally:
                reader.close()
            self._ended.wait(wait_s)
            wait_s = min(2 * wait_s, _WAIT_LAST_S)

    def _file(self, reader: Consumer) -> None:
        """Take what is there, file it, commit."""
        first = reader.poll(_POLL_S)
        if first is None:
            return
        found = (first, *reader.consume(_LETTERS_A_ROUND - 1, 0))
        messages = [each for each in found if each.error() is None]
        if not messages:  # the topic is not there yet, or Kafka is away
            self._ended.wait(_POLL_S)
            return
        LetterTable(self._session()).file([letter_of(each) for each in messages])
        reader.commit(asynchronous=False)
        LETTERS_FILED.inc(len(messages))
