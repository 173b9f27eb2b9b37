"""`python -m cli.dashboards write | lint`: for development, behind make; needs requirements-dev."""

from __future__ import annotations

import sys

import click

from grafana import linter, schema, written


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
    reports = linter.lint_all(written.queries(), tables)
    click.echo("partitions    rows  query")
    for where, report in reports.items():
        click.echo(f"{report.partitions:10} {report.rows:7,}  {where}")
    wrong = {where: report.violations for where, report in reports.items() if report.violations}
    for where, violations in wrong.items():
        click.echo("\n".join((where, *(f"  - {each}" for each in violations))), err=True)
    click.echo(f"{len(reports)} queries, {len(wrong)} of them wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    dashboards()
