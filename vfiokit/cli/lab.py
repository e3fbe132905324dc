"""``vfiokit lab``: a guest with a real kernel, a real vendor driver and a real ``/dev/vfio``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vfiokit import lab

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


@command.command("demo")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="out/lab", show_default=True)
def lab_demo(out: Path) -> None:
    """Live-migrate a real kernel's mediated device through `/dev/vfio` in a fresh guest."""
    out.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "vfiokit", "demo", "--kernel", "--out", str(out)]
    result = lab.run(argv, tee=sys.stdout.buffer, writable=[out], progress=_say)
    sys.exit(result.returncode)
