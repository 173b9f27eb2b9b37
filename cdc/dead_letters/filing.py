"""Copies the dead-letter topic into Cassandra, in a thread beside the sink's loop.

The topic is what counts; the table is derived from it, for people and for `tidemark dlq`. So
nothing that happens here holds a data lane up or loses a letter: an offset is committed once its
letters are in the table, and whatever fails is tried again, from the commit, ever more slowly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from confluent_kafka import Consumer

from cdc.dead_letters import topic
from cdc.dead_letters.letter import letter_of
from cdc.dead_letters.table import LetterTable
from cdc.errors import Adrift
from cdc.membership import Membership
from cdc.settings import CdcSettings
from cdc.sink.consumer import leave_group
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
        self._adrift: Adrift | None = None
        self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Adrift where the thread has ended, for its group has forgotten it."""
        if self._adrift is not None:
            raise self._adrift

    def ask_to_end(self) -> None:
        """End soon. Nobody waits for it: what is not filed is filed next time."""
        self._ended.set()

    def _run(self) -> None:
        wait_s = _WAIT_FIRST_S
        group = f"{self._settings.sink_group}-dead-letters"
        while not self._ended.is_set():
            reader = topic.consumer(self._settings, group)
            membership = Membership(self._settings, group, reader.memberid)
            try:
                reader.subscribe(
                    [self._settings.dead_letter_topic],
                    on_assign=partial(_began, membership),
                    on_revoke=partial(_ended, membership),
                )
                while not self._ended.is_set():
                    self._file(reader)
                    membership.check()
                    wait_s = _WAIT_FIRST_S
            except Adrift as error:
                self._adrift = error
                return
            except Exception as error:  # noqa: BLE001 - the data lanes go on, whatever fails here
                reason = f"{type(error).__name__}: {error}"[:300]
                if not self._ended.is_set():
                    log.warning("dead letters are not filed yet", reason=reason, again_in_s=wait_s)
            finally:
                if self._adrift is None:  # else the process ends, and closing may wait for ever
                    leave_group(reader)
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


def _began(membership: Membership, *_: object) -> None:
    membership.began()


def _ended(membership: Membership, *_: object) -> None:
    membership.ended()
