"""``vfiokit demo``: one migration under the v5 interface, from nothing, with files to keep."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from vfiokit.addresses import open_device
from vfiokit.cli.migrate import print_report, write_trace
from vfiokit.cli.progress import MigrationProgress
from vfiokit.clock import SimulatedClock
from vfiokit.migration import migrate, tracer_for
from vfiokit.vmm.outgoing import Parameters

__all__ = ("command",)

SOURCE = "emulated:v5?state=64M&dirty=40M/s&dma=20M/s&pattern=hot&param=2048&irq=msix&name=0000:3b:00.1"
DESTINATION = "emulated:v5?state=64M&fill=zero&name=0000:3b:00.2"


@click.command
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default="out/demo", show_default=True,
    help="Where the files go.",
)  # fmt: skip
def command(out: Path) -> None:
    """Live-migrate an emulated device under the v5 interface and keep what happened.

    The device has 64 MiB of state that changes at 40 MiB/s and writes 256 MiB of guest memory by DMA; time
    is simulated, so the run is the same every time.
    """
    console = Console()
    console.print(f"source       {SOURCE}\ndestination  {DESTINATION}", highlight=False, soft_wrap=True)
    clock = SimulatedClock()
    tracers = [tracer_for(clock), tracer_for(clock)]
    out.mkdir(parents=True, exist_ok=True)
    progress = MigrationProgress()
    with open_device(SOURCE, clock=clock) as source, open_device(DESTINATION, clock=clock) as there, progress:
        report = migrate(
            source,
            there,
            memory=256 << 20,
            parameters=Parameters(downtime_limit_ns=30_000_000, bandwidth=250 << 20),
            tracer=tracers[0],
            destination_tracer=tracers[1],
            save=out / "stream.bin",
            listener=progress.listener,
            between=progress.between,
        )
    print_report(report, console)
    write_trace(tracers, out / "trace.log")
    (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    console.print("Kept:", highlight=False)
    for name, what in (
        ("stream.bin", "the migration stream, as `vfiokit migrate --load` takes it"),
        ("trace.log", "every trace event of both sides, as QEMU logs them"),
        ("report.json", "the table above, for programs"),
    ):
        console.print(f"  {out / name}  {what}", highlight=False, soft_wrap=True)
