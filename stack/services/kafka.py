"""Kafka: one KRaft node on loopback."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from stack import java, probes
from stack.errors import ServiceError
from stack.files import CONFIG, write
from stack.settings import StackSettings
from stack.topology import Program, configuration

NAME = "kafka"


def prepare(settings: StackSettings) -> None:
    """Render server.properties and format the storage once."""
    write(_properties(settings), render(settings))
    data = settings.data(NAME)
    if (data / "meta.properties").is_file():
        return
    data.mkdir(parents=True, exist_ok=True)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    if cluster.startswith("-"):  # would look like an option
        cluster = "t" + cluster[1:]
    format_storage = java.command(
        heap_mb=128,
        temporary=settings.temporary(NAME),
        classes=settings.artifacts / "kafka",
        options=_logging(),
        main=(
            "kafka.tools.StorageTool",
            *("format", "--ignore-formatted"),
            *("--cluster-id", cluster),
            *("--config", str(_properties(settings))),
        ),
    )
    done = subprocess.run(format_storage, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServiceError(NAME, "Kafka's storage could not be formatted", done.stderr[-2000:])


def program(settings: StackSettings) -> Program:
    return Program(
        name=NAME,
        command=java.command(
            heap_mb=settings.kafka_heap_mb,
            temporary=settings.temporary(NAME),
            classes=settings.artifacts / "kafka",
            options=_logging(),
            main=("kafka.Kafka", str(_properties(settings))),
        ),
        order=20,
        environment=configuration(render(settings)),
        stop_wait_s=60,
    )


def ready(settings: StackSettings) -> bool:
    return probes.kafka("127.0.0.1", settings.kafka_port)


def render(settings: StackSettings) -> str:
    """server.properties: what both ways to run share, then what is ours."""
    broker, controller = settings.kafka_port, settings.kafka_controller_port
    ours = {
        "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": str(settings.data(NAME)),
        "log.retention.hours": str(settings.kafka_retention_hours),
    }
    shared = (CONFIG / "kafka.properties").read_text(encoding="utf-8")
    return shared + "".join(f"{name}={value}\n" for name, value in ours.items())


def _properties(settings: StackSettings) -> Path:
    return settings.run / "kafka.properties"


def _logging() -> list[str]:
    return [f"-Dlog4j2.configurationFile={CONFIG / 'log4j2.xml'}"]
