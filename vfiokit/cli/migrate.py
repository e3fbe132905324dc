"""``vfiokit migrate``: a whole migration, with progress, a table of results and files to keep."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from vfiokit.addresses import open_device
from vfiokit.cli.completion import complete_device
from vfiokit.cli.progress import MigrationProgress
from vfiokit.cli.units import DURATION, SIZE
from vfiokit.clock import RealClock, SimulatedClock
from vfiokit.device.base import Device
from vfiokit.migration import Control, Report, load_file, migrate, save_file, tracer_for
from vfiokit.protocol.v5.quirks import profile as find_profile
from vfiokit.side import Hugepages
from vfiokit.trace import Tracer, write_log
from vfiokit.units import show_ns, show_rate, show_size
from vfiokit.vmm.outgoing import Parameters

__all__ = ("command", "open_all", "print_report", "write_trace")


@click.command
@click.argument("devices", nargs=-1, shell_complete=complete_device, metavar="[SRC] [DST]")
@click.option("--memory", type=SIZE, default="64M", show_default=True, help="Guest memory.")
@click.option("--hugepages", type=click.Choice(["2M", "1G"]), help="Take guest memory from hugepages.")
@click.option("--downtime-limit", type=DURATION, default="300ms", show_default=True, help="Aimed at.")
@click.option("--bandwidth", type=SIZE, help="Most bytes a second, as 100M; no limit by default.")
@click.option(
    "--give-up-after", type=DURATION, default="10min", show_default=True, help="Longest pre-copy allowed."
)
@click.option(
    "--vmm", default="interface", show_default=True, help="interface, as-posted, or quirks by name."
)
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the stream to this file."
)
@click.option(
    "--load",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the stream from a file.",
)
@click.option(
    "--trace", "patterns", multiple=True, help="Trace events, as QEMU's -trace: vfio_save_*, -NAME."
)
@click.option(
    "--trace-file", type=click.Path(dir_okay=False, path_type=Path), help="Where to; stderr by default."
)
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write a recording to this folder, to replay or report."
)
@click.option("--no-verify", is_flag=True, help="Do not compare the two ends.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def command(
    devices: tuple[str, ...],
    memory: int,
    hugepages: Hugepages | None,
    downtime_limit: int,
    bandwidth: int | None,
    give_up_after: int,
    vmm: str,
    save: Path | None,
    load: Path | None,
    patterns: tuple[str, ...],
    trace_file: Path | None,
    record: Path | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Live-migrate device SRC to DST.

    With --save and no DST the stream goes to the file only; with --load and one device it comes from there.
    Several devices of one VM: join their addresses with commas. Ctrl-C cancels; the source runs on.
    """
    if len(devices) != (2 if load is None and (save is None or len(devices) == 2) else 1):
        raise click.UsageError("give SRC DST, SRC --save FILE, or --load FILE DST")
    parameters = Parameters(downtime_limit, bandwidth, give_up_after)
    profile = find_profile(vmm)
    control = Control()
    progress = MigrationProgress(quiet=as_json)
    tracers: list[Tracer] = []
    with ExitStack() as stack:
        sides = open_all(devices, stack)
        clock = getattr(sides[0][0], "clock", None) or RealClock()
        if patterns or trace_file:
            tracers = [tracer_for(clock, patterns or ("*",)) for _ in sides]
        tracer, other = (*tracers, None, None)[:2]
        stack.callback(lambda: _flush_traces(tracers, trace_file))
        common: dict[str, Any] = {
            "memory": memory,
            "profile": profile,
            "hugepages": hugepages,
            "listener": progress.listener,
            "between": progress.between,
            "record": record,
        }
        stack.enter_context(_cancel_on_interrupt(control))
        stack.enter_context(progress)
        if load is not None:
            report = load_file(load, sides[0], tracer=tracer, **common)
        elif len(sides) == 1 and save is not None:
            report = save_file(
                sides[0], save, tracer=tracer, parameters=parameters, control=control, **common
            )
        else:
            report = migrate(
                *sides,
                tracer=tracer,
                destination_tracer=other,
                save=save,
                parameters=parameters,
                verify=not no_verify,
                control=control,
                **common,
            )
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        print_report(report)


def open_all(devices: tuple[str, ...], stack: ExitStack) -> list[list[Device]]:
    """Open the devices of each side; a side's are joined by commas. The stack closes them."""
    shared = SimulatedClock()
    sides: list[list[Device]] = []
    for addresses in devices:
        side: list[Device] = []
        for address in _split(addresses):
            clock = shared if address.startswith("emulated:") and "clock=real" not in address else None
            device = open_device(address, clock=clock)
            stack.callback(device.close)
            side.append(device)
        sides.append(side)
    return sides


def _split(addresses: str) -> list[str]:
    return [address for address in addresses.split(",") if address]


class _cancel_on_interrupt:  # noqa: N801 - reads as the statement it is
    """While it lasts, the first Ctrl-C cancels the migration, the second ends the program."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def __enter__(self) -> None:
        self._before: Callable[[int, FrameType | None], Any] | int | None = signal.getsignal(signal.SIGINT)

        def cancel(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            signal.signal(signal.SIGINT, self._before)
            self._control.cancel()

        signal.signal(signal.SIGINT, cancel)

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def _flush_traces(tracers: list[Tracer], path: Path | None) -> None:
    """Write what was traced, whatever came of the migration."""
    if path is None:
        for tracer in tracers:
            write_log(tracer, sys.stderr)
    elif tracers:
        write_trace(tracers, path)


def write_trace(tracers: list[Tracer], path: Path) -> None:
    """Write both sides' events, in order of time, as QEMU's log text."""
    records = sorted((record for tracer in tracers for record in tracer), key=lambda r: r.time_ns or 0)
    with open(path, "w", encoding="utf-8") as file:
        write_log(records, file)


def print_report(report: Report, console: Console | None = None) -> None:
    """Print the result as a table."""
    console = console or Console()
    title = "Migration, in simulated time" if report.simulated else "Migration"
    table = Table("what", "value", title=title, title_justify="left")
    out = report.outgoing
    if out is not None:
        table.add_row("total time", show_ns(out.total_ns))
        table.add_row("setup", show_ns(out.setup_ns))
        table.add_row("turns of the loop", str(out.turns))
        table.add_row("dirty log syncs", str(out.syncs))
        table.add_row("transferred", show_size(out.transferred))
        table.add_row("bandwidth, last measured", show_rate(out.bandwidth))
        table.add_row("threshold", show_size(out.threshold))
        table.add_row("pending when stopped", show_size(out.pending_at_stop))
    if report.incoming is not None:
        table.add_row("loaded", show_size(report.incoming.position))
    if out is not None and report.incoming is not None:
        table.add_row("downtime", show_ns(report.downtime_ns), style="bold")
    if report.pages_differ is not None:
        pages = report.memory // 4096
        same = "equal" if not report.pages_differ else f"{report.pages_differ} of {pages} pages differ"
        table.add_row("memory", f"{show_size(report.memory)}, {same}")
    for check in report.devices:
        same = "equal" if check.equal else "different"
        table.add_row(
            f"device {check.destination}", f"{show_size(check.size)}, {same}, sha256 {check.digest[:16]}…"
        )
    console.print(table)
