"""Settings of the watch: periods, limits and patience. Times in seconds, sizes in bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from cdc.settings import CdcSettings
from runtime.settings import PROJECT_ROOT
from watch.alarms import Band


class WatchSettings(CdcSettings):
    watch_metrics_port: int = Field(default=19103, ge=0, le=65535, description="0: no metrics")
    watch_period_s: float = Field(
        default=5, gt=0, le=30, description="Between two looks at tasks, slot and heartbeats"
    )
    watch_days_ahead: int = Field(
        default=2, ge=1, le=30, description="Days for which partitions are made in advance"
    )
    watch_partition_period_s: float = Field(default=3600, gt=0)

    watch_restart_first_s: float = Field(
        default=2, gt=0, description="Wait after the first restart of a task; doubles each time"
    )
    watch_restart_limit_s: float = Field(default=60, gt=0)
    watch_restart_forget_s: float = Field(
        default=120, gt=0, description="A task that ran for so long starts with the first wait anew"
    )
    watch_stuck_s: float = Field(
        default=60,
        ge=10,
        description="A RUNNING connector that moves nothing for so long is restarted",
    )

    watch_heartbeat_raise_s: float = Field(default=15, gt=0)
    watch_heartbeat_clear_s: float = Field(default=5, gt=0)
    watch_slot_raise_share: float = Field(
        default=0.25, gt=0, le=1, description="Share of max_slot_wal_keep_size that may be retained"
    )
    watch_slot_raise_bytes: int = Field(
        default=4 << 30, gt=0, description="The same where max_slot_wal_keep_size has no limit"
    )
    watch_shedding_clear_s: float = Field(
        default=60, ge=0, description="The slot is well for so long before a stream comes back"
    )
    watch_quarantine_raise_rows: int = Field(
        default=100, ge=0, description="Rows in quarantine within five minutes"
    )
    watch_verify_period_s: float = Field(
        default=3600, ge=0, description="Between two verifications; 0: none by itself"
    )
    watch_verify_full_period_s: float = Field(
        default=86400, gt=0, description="Between two of everything that PostgreSQL retains"
    )
    watch_verify_settle_s: float = Field(
        default=30, ge=0, description="From the connector's restart to the verification after it"
    )
    watch_verify_failures: int = Field(
        default=3, ge=1, description="Verifications in a row that cannot be made raise the alarm"
    )
    watch_retention_period_s: float = Field(
        default=3600, ge=0, description="Between two looks for days that may be dropped; 0: none"
    )
    watch_sink_silent_s: float = Field(
        default=15, ge=0, description="A sink that does not answer for so long is an alarm"
    )
    watch_streams_away_s: float = Field(
        default=300, ge=0, description="A stream of the exchange that is away for so long"
    )
    watch_webhook_file: Path | None = Field(
        default=None,
        description="File with the URL that alarms are posted to; default <secrets>/webhook.url",
    )
    ingest_metrics_port: int = Field(
        default=19101, ge=0, le=65535, description="Where ingest tells of a ban and of its weight"
    )

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.watch_heartbeat_clear_s > self.watch_heartbeat_raise_s:
            raise ValueError(
                "TIDEMARK_WATCH_HEARTBEAT_CLEAR_S must not be above "
                "TIDEMARK_WATCH_HEARTBEAT_RAISE_S: the alarm would be raised and cleared at once"
            )
        if self.watch_restart_first_s > self.watch_restart_limit_s:
            raise ValueError(
                "TIDEMARK_WATCH_RESTART_FIRST_S must not be above TIDEMARK_WATCH_RESTART_LIMIT_S"
            )
        return self

    @property
    def webhook_file(self) -> Path:
        """The file with the webhook's URL; without it there is no webhook."""
        if self.watch_webhook_file is not None and self.watch_webhook_file != Path():
            return PROJECT_ROOT / self.watch_webhook_file
        return self.secret_path("webhook").with_name("webhook.url")

    @property
    def webhook_backlog(self) -> Path:
        """Where alarms wait until the webhook has taken them."""
        return self.state_dir / "watch" / "webhook-waiting.json"

    @property
    def heartbeat_band(self) -> Band:
        """Age of the newest heartbeat in Cassandra, in seconds."""
        return Band(self.watch_heartbeat_raise_s, self.watch_heartbeat_clear_s)

    def slot_limit(self, keep_bytes: int | None) -> int:
        """Bytes of WAL beyond which the slot is lost; where PostgreSQL keeps all, what we allow."""
        if keep_bytes is None:
            return round(self.watch_slot_raise_bytes / self.watch_slot_raise_share)
        return keep_bytes

    def slot_band(self, keep_bytes: int | None) -> Band:
        """Bytes of WAL that raise the alarm, where PostgreSQL keeps `keep_bytes` at most."""
        high = self.slot_limit(keep_bytes) * self.watch_slot_raise_share
        return Band(high, high / 2)
