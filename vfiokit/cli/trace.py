"""``vfiokit trace``: trace-events files and event names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from vfiokit import trace

__all__ = ("command",)


@click.group
def command() -> None:
    """Work with QEMU trace events."""


@command.command
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Findings as a JSON list.")
def lint(file: Path, as_json: bool) -> None:
    """Find what is wrong with a trace-events FILE; exit code 1 when something is.

    Formats are held against the arguments' types on 64-bit, 32-bit and big-endian hosts.
    """
    findings = trace.lint_file(file)
    click.echo(json.dumps(trace.to_json(findings), indent=2) if as_json else trace.render(findings))
    sys.exit(trace.exit_code(findings))


@command.command("events")
@click.argument("pattern", default="*")
@click.option("--set", "name", default="v5", show_default=True, help="Which set of declarations.")
def events(pattern: str, name: str) -> None:
    """List the events that PATTERN selects, as --trace would."""
    declared = trace.load(name)
    enabled = trace.Tracer(declared, [pattern]).enabled
    for event in declared.values():
        if event.name in enabled:
            click.echo(str(event))
