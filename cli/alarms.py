"""`tidemark alarms list|test`: what was raised and cleared, and whether the webhook takes it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import click

from watch.alarms import Transition
from watch.errors import WatchError, WebhookRefused
from watch.settings import WatchSettings
from watch.store import Store
from watch.webhook import address, notice_of, post


@click.group()
def alarms() -> None:
    """Alarms of the past, and a test of the webhook; `tidemark status` shows those of now."""


@alarms.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line")
def list_(*, limit: int, as_json: bool) -> None:
    """Alarms as they were raised and cleared, newest first."""
    store = Store(WatchSettings())
    try:
        found = store.alarm_history(limit)
    except WatchError as error:
        raise click.ClickException(str(error)) from error
    finally:
        store.close()
    for each in found:
        if as_json:
            said = {"alarm": each.alarm, "severity": each.severity, "text": each.message}
            click.echo(json.dumps({**said, "at": each.at.isoformat()}))
        else:
            click.echo(f"{each.at:%Y-%m-%d %H:%M:%S}  {each.severity:<8}  {each.message}")
    if not found and not as_json:
        click.echo("no alarm was ever raised")


@alarms.command()
def test() -> None:
    """Post a test alarm to the webhook, once; exit 1 where it is not taken."""
    settings = WatchSettings()
    tried = Transition(
        alarm="test", severity="info", text="`tidemark alarms test`", at=datetime.now(UTC)
    )
    began = time.monotonic()
    try:
        url = address(settings.webhook_file)
        if url is None:
            raise click.ClickException(
                f"there is no webhook; put its URL into {settings.webhook_file}"
            )
        post(url, notice_of(tried, settings.generation))
    except WebhookRefused as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"the webhook took it in {time.monotonic() - began:.2f} s")
