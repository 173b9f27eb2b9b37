"""The watch: small checks, each in its own thread on its own period, none disturbing another."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from cdc.connector.client import ConnectClient
from cdc.generation import current
from runtime import metrics
from runtime.shutdown import Shutdown
from watch import gauges
from watch.alarms import Alarms
from watch.announcer import Announcer
from watch.backlog import Backlog
from watch.checks import (
    Check,
    ExchangeCheck,
    HeartbeatCheck,
    PartitionsCheck,
    QuarantineCheck,
    SinkCheck,
    SlotCheck,
    WebhookCheck,
)
from watch.flow import ConnectorCheck, FlowCheck
from watch.replication import ReplicationCheck
from watch.restarts import Backoff
from watch.retention import RetentionCheck
from watch.settings import WatchSettings
from watch.slot_guard import SheddingCheck
from watch.store import Store
from watch.sweeping import SweepCheck
from watch.verification import VerificationCheck
from watch.webhook import Webhook

log = structlog.get_logger(__name__)

RETRY_S: Final = 15.0  # a check that failed does not wait for the whole of a long period
END_WITHIN_S: Final = 5.0
TELL_WITHIN_S: Final = 2.0


def run(settings: WatchSettings, shutdown: Shutdown) -> None:
    """Watch until the end is asked for; what is watched is named after the current generation."""
    metrics.serve(settings.watch_metrics_port)
    webhook = Webhook(settings.webhook_file, Backlog(settings.webhook_backlog))
    while not shutdown.requested:
        _watch(current(settings), webhook, shutdown)
    webhook.close()
    log.info("ended")


def _watch(settings: WatchSettings, webhook: Webhook, shutdown: Shutdown) -> None:
    """Watch one generation, until the end is asked for or a newer one has begun."""
    over = Shutdown()
    store = Store(settings)
    announcer = Announcer(Alarms(), store, partial(webhook.tell, settings.generation))
    every = [
        *checks(settings, store, announcer, webhook),
        ReplicationCheck(settings, announcer, on_newer=over.request),
    ]
    threads = [
        threading.Thread(target=keep, args=(check, announcer, over), name=check.name, daemon=True)
        for check in every
    ]
    for thread in threads:
        thread.start()
    log.info("watching", checks=len(threads), generation=settings.generation)
    while not (over.requested or shutdown.wait(1)):
        pass
    over.request()
    deadline = time.monotonic() + END_WITHIN_S
    for thread in threads:  # one that hangs in a call is left behind: daemon threads end with us
        thread.join(max(0.0, deadline - time.monotonic()))
    telling = threading.Thread(target=announcer.flush, name="alarms", daemon=True)
    telling.start()  # last: what the last looks told, and PostgreSQL has not taken yet
    telling.join(TELL_WITHIN_S)


def checks(
    settings: WatchSettings, store: Store, announcer: Announcer, webhook: Webhook
) -> Sequence[Check]:
    """All checks; connector and flow share one client and one memory of restarts."""
    client = ConnectClient(settings)
    backoff = Backoff(
        settings.watch_restart_first_s,
        settings.watch_restart_limit_s,
        settings.watch_restart_forget_s,
    )
    return (
        SlotCheck(settings, store, announcer),
        SheddingCheck(settings, store, announcer),
        PartitionsCheck(settings, store, announcer),
        QuarantineCheck(settings, store, announcer),
        ConnectorCheck(settings, client, announcer, backoff),
        FlowCheck(settings, client, announcer, backoff),
        HeartbeatCheck(settings, announcer, datetime.now(UTC)),
        ExchangeCheck(settings, announcer),
        SinkCheck(settings, announcer),
        VerificationCheck(settings, store, announcer),
        RetentionCheck(settings, announcer),
        SweepCheck(settings),
        WebhookCheck(settings, webhook, announcer),
    )


def keep(check: Check, announcer: Announcer, shutdown: Shutdown) -> None:
    """Make rounds of a check until the end is asked for, whatever the check raises."""
    failing = False
    while True:
        complaint = one_round(check)
        if check.part is not None:
            announcer.look(f"{check.part}_down", complaint, datetime.now(UTC))
        if complaint and not failing:
            log.warning("a check fails", check=check.name, reason=complaint)
        failing = complaint is not None
        if shutdown.wait(min(check.period_s, RETRY_S) if failing else check.period_s):
            return


def one_round(check: Check) -> str | None:
    """One round; why it could not be made, None where it could."""
    try:
        check.look(datetime.now(UTC))
    except Exception as error:  # noqa: BLE001 - one check's failure, of any kind, is its own
        gauges.CHECK_FAILURES.labels(check.name).inc()
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    gauges.CHECK_AT.labels(check.name).set_to_current_time()
    return None
