"""Kafka Connect, distributed mode with one worker, REST on loopback; the Debezium plugin."""

from __future__ import annotations

from pathlib import Path
from string import Template

from runtime.settings import PROJECT_ROOT
from stack import java, probes
from stack.files import CONFIG, connect_secrets, write
from stack.settings import StackSettings
from stack.topology import Program, configuration

NAME = "connect"
WORKER = PROJECT_ROOT / "debezium" / "connect-distributed.properties"


def prepare(settings: StackSettings) -> None:
    write(_properties(settings), render(settings))


def program(settings: StackSettings) -> Program:
    return Program(
        name=NAME,
        command=java.command(
            heap_mb=settings.connect_heap_mb,
            temporary=settings.temporary(NAME),
            classes=settings.artifacts / "kafka",
            options=[f"-Dlog4j2.configurationFile={CONFIG / 'log4j2.xml'}"],
            main=(
                "org.apache.kafka.connect.cli.ConnectDistributed",
                str(_properties(settings)),
            ),
        ),
        order=40,
        environment=configuration(render(settings)),
        stop_wait_s=30,
    )


def ready(settings: StackSettings) -> bool:
    return probes.connect(settings.connect_url)


def render(settings: StackSettings) -> str:
    """The worker's file with its `${…}` filled in; `${…}` of others is left as it is."""
    return Template(WORKER.read_text(encoding="utf-8")).safe_substitute(
        kafka_bootstrap=settings.kafka_bootstrap,
        connect_listener=f"http://127.0.0.1:{settings.connect_port}",
        plugin_path=str(settings.artifacts / "debezium"),
        secrets_dir=str(connect_secrets(settings)),
        exactly_once=settings.connect_exactly_once,
    )


def _properties(settings: StackSettings) -> Path:
    return settings.run / "connect-distributed.properties"
