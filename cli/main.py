"""The command `tidemark`. A sub-command is imported only when it is called.

Exit codes: 0 done, 1 failed, 2 misuse. A failure is one line that says what to do next.
"""

from __future__ import annotations

import importlib
import sys

import click

from runtime.settings import SettingsError

# command → "module:function", one line of help; the order is the order of --help
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("cli.lifecycle:up", "Start everything; harmless when it runs already"),
    "down": ("cli.lifecycle:down", "Stop everything; no process is left"),
    "restart": ("cli.lifecycle:restart", "Start some of our processes anew, with the code of now"),
    "status": (
        "cli.status:status",
        "Health, lag, rows on both sides, latency; exit 1 if unhealthy",
    ),
    "logs": ("cli.lifecycle:logs", "Show or follow the logs of a service"),
    "doctor": ("cli.lifecycle:doctor", "Find what would stop `up`, with the remedy"),
    "migrate": ("cli.migrate:migrate", "Bring PostgreSQL's and Cassandra's schema up to date"),
    "ingest": ("cli.ingest:ingest", "Poll the exchange into PostgreSQL"),
    "backfill": ("cli.backfill:backfill", "Load history from the exchange"),
    "gaps": ("cli.gaps:gaps", "What is missing, why, and whether it was repaired"),
    "certificates": (
        "cli.certificates:certificates",
        "Which minutes are proved by their trades",
    ),
    "connector": ("cli.connector:connector", "Apply or inspect the Debezium connector"),
    "sink": ("cli.sink:sink", "Replicate the log into Cassandra"),
    "verify": ("cli.verify:verify", "Prove that Cassandra equals PostgreSQL, row for row"),
    "export": ("cli.export:export", "Rows of Cassandra as CSV or Parquet"),
    "retention": ("cli.retention:retention", "Days of PostgreSQL: what is kept, what may go"),
    "resync": ("cli.resync:resync", "Heal: a new snapshot, or some rows sent again"),
    "dlq": ("cli.dlq:dlq", "List, show and redrive what could not be applied"),
    "alarms": ("cli.alarms:alarms", "Alarms of the past; test the webhook"),
    "watch": ("cli.watch:watch", "Keep the pipeline healthy"),
    "page": ("cli.page:page", "Show market and pipeline in a browser"),
    "contracts": ("cli.contracts:contracts", "Schemas of the topics: what may change"),
    "simulate": ("cli.simulate:simulate", "Run the simulated exchange"),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is looked at."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), function)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{function} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, importing none of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tidemark")
def tidemark() -> None:
    """A whole exchange's market, queryable in SQL, replicated to Cassandra, provably complete."""


def main() -> None:
    """Entry point; turns the errors of our stages into one line and exit code 1 or 2."""
    try:
        code = tidemark.main(standalone_mode=False)  # of `Exit`; a command itself returns None
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SettingsError as error:
        click.echo(f"tidemark: {error}", err=True)
        sys.exit(2)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
