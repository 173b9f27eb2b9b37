"""A process that was asked to end does so in time, and closing Cassandra waits for nobody."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

from cdc import keyspace

WAITING = """
import threading
from runtime.shutdown import Shutdown
Shutdown().install(within_s=0.5)
print("ready", flush=True)
threading.Event().wait(30)  # for what never comes
"""


def test_a_process_ends_in_time_whatever_it_waits_for() -> None:
    """Well, too: what was under way is done again by who comes next."""
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_closing_a_session_waits_for_no_answer_of_a_silent_cassandra() -> None:
    """The driver joins its heartbeat, which waits ten seconds for each connection's answer."""
    silent = threading.Event()
    began = time.monotonic()
    keyspace.close(SimpleNamespace(cluster=SimpleNamespace(shutdown=silent.wait)), 0.1)
    assert time.monotonic() - began < 5
    silent.set()
