"""`python -m cli.dashboards write | lint`: for development, behind make; needs requirements-dev."""

from __future__ import annotations

import sys

import click

from grafana import linter, schema, written
from grafana.board import Placed


@click.group()
def dashboards() -> None:
    """Grafana's dashboards as code."""


@dashboards.command()
def write() -> None:
    """Write grafana/dashboards and grafana/provisioning anew."""
    changed = written.write()
    for path in changed:
        click.echo(path.relative_to(written.FOLDER.parent))
    click.echo(f"{len(changed)} files changed")


@dashboards.command()
def lint() -> None:
    """Judge every query, and say what a refresh of it touches."""
    tables = schema.read()
    reports = [(placed, linter.lint(placed.query, tables)) for placed in written.queries()]
    click.echo("partitions    rows  query")
    for placed, report in reports:
        click.echo(f"{report.partitions:10} {report.rows:7,}  {placed.where}")
    wrong = [(placed, report) for placed, report in reports if report.violations]
    for placed, report in wrong:
        _complain(placed, report)
    click.echo(f"{len(reports)} queries, {len(wrong)} of them wrong")
    sys.exit(1 if wrong else 0)


def _complain(placed: Placed, report: linter.Report) -> None:
    click.echo(f"\n{placed.where}\n  {placed.query.text}", err=True)
    for violation in report.violations:
        click.echo(f"  - {violation}", err=True)


if __name__ == "__main__":
    dashboards()
