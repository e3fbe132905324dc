"""The command group and what all commands share."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from vfiokit.cli.exits import EXIT_CODES, exit_code
from vfiokit.errors import VfioError
from vfiokit.version import __version__

__all__ = ("cli", "main")

# Imported when the command is named, so that `vfiokit --help` and completion answer at once.
_COMMANDS = {
    "completion": "vfiokit.cli.completion",
    "demo": "vfiokit.cli.demo",
    "devices": "vfiokit.cli.devices",
    "lab": "vfiokit.cli.lab",
    "migrate": "vfiokit.cli.migrate",
    "replay": "vfiokit.cli.step:replay_command",
    "report": "vfiokit.cli.report",
    "show": "vfiokit.cli.show",
    "step": "vfiokit.cli.step",
    "trace": "vfiokit.cli.trace",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name or "command")
        return command

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vfiokit")
def cli() -> None:
    """Debug VFIO device migration: step it, trace it, check it, replay it."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line; errors of the family go to stderr and make the exit code."""
    try:
        code: Any = cli.main(argv, prog_name="vfiokit", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VfioError as error:
        click.echo(f"vfiokit: {error}", err=True)
        sys.exit(exit_code(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("vfiokit: cancelled", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
