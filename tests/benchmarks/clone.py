"""A fresh clone, used as a new user would: through make and the command `tidemark`."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster


@dataclass
class Clone:
    """`variables` are the TIDEMARK_* (and download settings) of every command in it."""

    folder: Path
    variables: dict[str, str]

    @property
    def _environment(self) -> dict[str, str]:
        outside = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMARK_")}
        return outside | self.variables

    def make(self, target: str) -> float:
        """Run a target; seconds it took. Raises CalledProcessError with its output shown."""
        return self._run("make", target)[1]

    def tidemark(self, *arguments: str) -> Any:
        """Run a command with --json and return what it says."""
        output, _ = self._run(str(self.folder / ".venv/bin/tidemark"), *arguments, "--json")
        return json.loads(output)

    def halt(self, program: str) -> None:
        """Stop one supervised program; `make up` starts it again."""
        stop = "from stack import launcher, settings; "
        stop += f"launcher.stop_processes(settings.StackSettings(), [{program!r}])"
        self._run(str(self.folder / ".venv/bin/python"), "-c", stop)

    def _run(self, *command: str) -> tuple[str, float]:
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout, time.monotonic() - began

    def secret(self, role: str) -> str:
        return (self.folder / f".tidemark/secrets/{role}.password").read_text().strip()

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask PostgreSQL as the reader."""
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.variables["TIDEMARK_POSTGRES_PORT"],
            dbname="tidemark",
            user="tidemark_reader",
            password=self.secret("tidemark_reader"),
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchall()
        finally:
            connection.close()

    def cql(self, query: str, *values: object) -> list[Any]:
        """Ask Cassandra as the reader."""
        with Cluster(
            ["127.0.0.1"],
            port=int(self.variables["TIDEMARK_CASSANDRA_PORT"]),
            auth_provider=PlainTextAuthProvider("tidemark_reader", self.secret("tidemark_reader")),
            protocol_version=5,
        ) as cluster:
            return list(cluster.connect("tidemark").execute(query, values))
