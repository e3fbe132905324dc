"""``vfiokit lab``: a guest with a real kernel, a real vendor driver and a real ``/dev/vfio``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from vfiokit import lab
from vfiokit.lab.slots import slots
from vfiokit.lab.up import SHARED_MIB

__all__ = ("command",)

_machine = click.option(
    "--machine",
    type=click.Choice(list(lab.MACHINES)),
    default=lab.DEFAULT,
    show_default=True,
    help="; ".join(f"{row.name}: {row.text}" for row in lab.MACHINES.values()),
)
_writable = click.option(
    "--writable", multiple=True, type=click.Path(path_type=Path), help="A folder the guest may write to."
)
_parameter = click.option("--parameter", multiple=True, metavar="NAME=VALUE", help="For the lab's driver.")


def _say(text: str) -> None:
    click.echo(f"lab: {text}", err=True)


def _parameters(texts: tuple[str, ...]) -> dict[str, object]:
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name}: give NAME=VALUE")
    return {name: value for name, _, value in pairs}


@click.group
def command() -> None:
    """A guest with a real kernel; nothing but QEMU needs installing, nothing needs root."""


@command.command
def prepare() -> None:
    """Fetch kernel and headers and build the driver, so that the next start is quick."""
    kernel = lab.prepare(_say)
    lab.build_driver(kernel, progress=_say)
    click.echo(f"Linux {kernel.release}, in {kernel.cache}")


@command.command(context_settings={"ignore_unknown_options": True})
@_machine
@_writable
@_parameter
@click.option("--timeout", default=600.0, show_default=True, help="Seconds the command may take.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    machine: str,
    writable: tuple[Path, ...],
    parameter: tuple[str, ...],
    timeout: float,
    argv: tuple[str, ...],
) -> None:
    """Run a command in a fresh guest: `vfiokit lab run -- COMMAND`. Its exit code is ours."""
    result = lab.run(
        argv,
        machine=machine,
        timeout=timeout,
        tee=sys.stdout.buffer,
        writable=writable,
        parameters=_parameters(parameter),
        progress=_say,
    )
    sys.exit(result.returncode)


@command.command(context_settings={"ignore_unknown_options": True})
@_machine
@_writable
@_parameter
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
def shell(
    machine: str, writable: tuple[Path, ...], parameter: tuple[str, ...], argv: tuple[str, ...]
) -> None:
    """A shell in a fresh guest, or a program that wants a terminal."""
    sys.exit(
        lab.shell(argv, machine=machine, writable=writable, parameters=_parameters(parameter), progress=_say)
    )


@command.command
@_machine
@_parameter
@click.option("--memory", default=1024, show_default=True, metavar="MIB", help="The guest's memory.")
@click.option(
    "--shared",
    default=SHARED_MIB,
    show_default=True,
    metavar="MIB",
    help="Memory that host and guest share, for DMA; a power of two. Only what is used takes room.",
)
def up(machine: str, parameter: tuple[str, ...], memory: int, shared: int) -> None:
    """Start a guest and leave it running; its devices are then opened from here, as `lab:v5`."""
    running = lab.up(
        _say, machine=machine, memory_mib=memory, shared_mib=shared, parameters=_parameters(parameter)
    )
    _show(running)


@command.command
def down() -> None:
    """End the guest that `up` left running."""
    ended = lab.down()
    _say(f"ended (pid {ended.pid})" if ended is not None else "the lab was not up")


@command.command
def status() -> None:
    """Say whether the guest runs, and which devices it has. Not running is exit code 1, died is 125."""
    running = lab.status()
    if running is None:
        _say("the lab is not up: `vfiokit lab up`")
        sys.exit(1)
    if not running.alive:
        raise running.died("lab", "status")
    _show(running)


def _show(running: lab.Running) -> None:
    minutes = (time.time() - running.since) / 60
    click.echo(
        f"pid {running.pid}, machine {running.machine}, Linux {running.release}, up for {minutes:.0f} min, "
        f"{running.shared_size >> 20} MiB shared; console: {running.folder / 'console'}"
    )
    for slot in slots(lab.MACHINES[running.machine]):
        user = running.user_of(slot.name)
        by = f"  (open in process {user})" if user is not None else ""
        click.echo(f"{slot.address:<18} {slot.text}{by}")


@command.command("demo")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="out/lab", show_default=True)
def lab_demo(out: Path) -> None:
    """Live-migrate a real kernel's mediated device through `/dev/vfio` in a fresh guest."""
    out.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "vfiokit", "demo", "--kernel", "--out", str(out)]
    result = lab.run(argv, tee=sys.stdout.buffer, writable=[out], progress=_say)
    sys.exit(result.returncode)
