"""Cassandra: one node on loopback, authentication on, no JMX."""

from __future__ import annotations

import json
from pathlib import Path

from stack import java, probes
from stack.files import CONFIG, write
from stack.settings import StackSettings
from stack.topology import Program, configuration

NAME = "cassandra"

# What Cassandra 5.0 needs of Java 17's modules (its own conf/jvm17-server.options).
_EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "java.base/java.lang.ref",
    "java.base/java.lang.reflect",
    "jdk.unsupported/sun.misc",
    "jdk.attach/sun.tools.attach",
)
_OPENS = (
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.util.concurrent",
    "java.base/java.util",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.lang",
    "java.base/java.math",
    "java.base/java.lang.reflect",
    "java.base/java.net",
)
_OPTIONS = (
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=0",
    "-Djava.net.preferIPv4Stack=true",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djna.nosys=true",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=100",
    "-XX:+HeapDumpOnOutOfMemoryError",
    "-Xss256k",
    *(f"--add-exports={module}=ALL-UNNAMED" for module in _EXPORTS),
    *(f"--add-opens={module}=ALL-UNNAMED" for module in _OPENS),
)


def prepare(settings: StackSettings) -> None:
    settings.data(NAME).mkdir(parents=True, exist_ok=True)
    write(_yaml(settings), render(settings))


def program(settings: StackSettings) -> Program:
    data = settings.data(NAME)
    daemon = java.command(
        heap_mb=settings.cassandra_heap_mb,
        temporary=settings.temporary(NAME),
        classes=settings.artifacts / "cassandra",
        options=(
            *_OPTIONS,
            "-XX:MaxDirectMemorySize=256m",
            f"-XX:HeapDumpPath={settings.logs}",
            f"-Dcassandra.config=file://{_yaml(settings)}",
            f"-Dcassandra.storagedir={data}",
            f"-Dlogback.configurationFile={CONFIG / 'logback.xml'}",
            f"-javaagent:{_jamm(settings)}",
        ),
        main=("org.apache.cassandra.service.CassandraDaemon",),
    )
    return Program(
        name=NAME,
        command=("sh", str(CONFIG / "commitlog.sh"), str(_commit_log(settings)), *daemon),
        order=30,
        environment=configuration(render(settings)),
        directory=settings.run,
        stop_wait_s=60,
    )


def ready(settings: StackSettings) -> bool:
    return probes.cassandra("127.0.0.1", settings.cassandra_port)


def render(settings: StackSettings) -> str:
    """cassandra.yaml: what both ways to run share, then what is ours (JSON is YAML)."""
    data = settings.data(NAME)
    ours = {
        "listen_address": "127.0.0.1",
        "rpc_address": "127.0.0.1",
        "storage_port": settings.cassandra_storage_port,
        "native_transport_port": settings.cassandra_port,
        "data_file_directories": [str(data / "data")],
        "commitlog_directory": str(_commit_log(settings)),
        "saved_caches_directory": str(data / "saved_caches"),
        "hints_directory": str(data / "hints"),
        "cdc_raw_directory": str(data / "cdc_raw"),
    }
    seeds = [{"seeds": f"127.0.0.1:{settings.cassandra_storage_port}"}]
    shared = (CONFIG / "cassandra.yaml").read_text(encoding="utf-8")
    shared = shared.replace("SEED_PARAMETERS", json.dumps(seeds))
    return shared + "".join(f"{name}: {json.dumps(value)}\n" for name, value in ours.items())


def _yaml(settings: StackSettings) -> Path:
    return settings.run / "cassandra.yaml"


def _commit_log(settings: StackSettings) -> Path:
    return settings.data(NAME) / "commitlog"


def _jamm(settings: StackSettings) -> Path:
    """The agent that measures objects, so that memtables know their size."""
    return next((settings.artifacts / NAME).glob("jamm-*.jar"))
