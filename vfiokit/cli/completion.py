"""``vfiokit completion SHELL``: the script that completes commands, options and devices."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

__all__ = ("command", "complete_device")


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script, to be sourced: `eval "$(vfiokit completion bash)"`."""
    from vfiokit.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(kind(cli, {}, "vfiokit", "_VFIOKIT_COMPLETE").source())


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Complete a device's address: the emulated one, and what sysfs has."""
    from vfiokit.device.sysfs import discover

    names = ["emulated:v5", *(f"vfio:{found.name}" for found in discover())]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
