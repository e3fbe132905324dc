"""``vfiokit step`` and ``vfiokit replay``: the debugger on a terminal."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click

from vfiokit.cli.completion import complete_device
from vfiokit.cli.migrate import open_all
from vfiokit.cli.terminal import run_script, run_terminal
from vfiokit.cli.units import DURATION, SIZE
from vfiokit.console.commands import Commands
from vfiokit.console.display import next_lines
from vfiokit.debugger import Debugger, debug, replay
from vfiokit.debugger.replaying import version_note
from vfiokit.protocol.v5.quirks import profile as find_profile
from vfiokit.vmm.outgoing import Parameters

__all__ = ("command", "replay_command")

_script = click.option(
    "-x",
    "scripts",
    multiple=True,
    type=click.File(),
    help="Carry out the commands in a file first; - is stdin.",
)
_batch = click.option(
    "--batch", is_flag=True, help="Leave after the scripts; exit code 1 if a command failed."
)


@click.command
@click.argument("devices", nargs=-1, required=True, shell_complete=complete_device, metavar="SRC [DST]")
@click.option("--memory", type=SIZE, default="16M", show_default=True, help="Guest memory.")
@click.option("--downtime-limit", type=DURATION, default="300ms", show_default=True, help="Aimed at.")
@click.option("--bandwidth", type=SIZE, help="Most bytes a second.")
@click.option(
    "--vmm", default="interface", show_default=True, help="interface, as-posted, or quirks by name."
)
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write the recording to this folder as it grows."
)
@click.option("--with-data", is_flag=True, help="Keep bulk device data in the recording, too.")
@_script
@_batch
def command(
    devices: tuple[str, ...],
    memory: int,
    downtime_limit: int,
    bandwidth: int | None,
    vmm: str,
    record: Path | None,
    with_data: bool,
    scripts: tuple[IO[str], ...],
    batch: bool,
) -> None:
    """Step a migration of device SRC, to DST or to nowhere, access by access.

    `help` lists the commands; gdb's short forms work. Nothing has been done when the prompt appears.
    """
    if len(devices) > 2:
        raise click.UsageError("give SRC, or SRC DST")
    with ExitStack() as stack:
        sides = open_all(devices, stack)
        debugger = debug(
            sides[0],
            sides[1] if len(sides) > 1 else None,
            memory=memory,
            parameters=Parameters(downtime_limit, bandwidth),
            profile=find_profile(vmm),
            record=record,
            with_data=with_data,
        )
        stack.callback(debugger.close)
        _drive(debugger, scripts, batch)
        here = debugger.ends["source"]
        if here.next is not None:
            debugger.cancel()


@click.command("replay")
@click.argument("recording", type=click.Path(exists=True, path_type=Path))
@_script
@_batch
def replay_command(recording: Path, scripts: tuple[IO[str], ...], batch: bool) -> None:
    """Replay a recording: the same flows, without the device, with the debugger's commands."""
    debugger = replay(recording)
    note = version_note(debugger.recording)
    if note:
        click.echo(note, err=True)
    _drive(debugger, scripts, batch)


def _drive(debugger: Debugger, scripts: tuple[IO[str], ...], batch: bool) -> None:
    commands = Commands(debugger)
    for line in next_lines(debugger):
        click.echo(line)
    going = all(run_script(commands, script) for script in scripts)
    if batch:
        if commands.failed:
            sys.exit(1)
        return
    if going:
        run_terminal(commands)
