"""The Connect worker of a stack as one variant or another, under the stack's own supervisor."""

from __future__ import annotations

from dataclasses import replace

from stack import launcher
from stack.files import write
from stack.services import connect
from stack.settings import StackSettings
from stack.supervision import Supervisor
from stack.topology import configuration
from tests.benchmarks.cpu import cpu_s
from tests.benchmarks.variants import Variant


class Worker:
    """It begins anew as each variant, so that every variant's JVM is as old as the others'."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._supervisor = Supervisor(settings)

    def become(self, variant: Variant) -> None:
        """Start again with the variant's properties; it goes on with the connectors it knows."""
        text = variant.properties(connect.render(self._settings))
        properties = self._settings.run / f"connect-{variant.name}.properties"
        write(properties, text)
        usual = connect.program(self._settings)
        *words, file = usual.command
        assert file.endswith(".properties"), "the last word names the worker's file"
        self._supervisor.halt(connect.NAME)
        environment = configuration(text)
        self._supervisor.update(
            [replace(usual, command=(*words, str(properties)), environment=environment)]
        )
        self._supervisor.launch(connect.NAME)
        launcher.wait_ready(self._settings, connect.NAME)

    def cpu_s(self, name: str = connect.NAME) -> float:
        """CPU that a service of the stack has used since its start."""
        pid = self._supervisor.state(name).pid
        assert pid is not None, f"{name} runs"
        return cpu_s(pid)
