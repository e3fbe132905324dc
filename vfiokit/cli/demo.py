"""``vfiokit demo``: one migration under the v5 interface, from nothing, with files to keep."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from vfiokit.addresses import open_device
from vfiokit.cli.migrate import print_report, write_trace
from vfiokit.cli.progress import MigrationProgress
from vfiokit.clock import Clock, RealClock, SimulatedClock
from vfiokit.device.sysfs import create_mdev, mdev_types, remove_mdev
from vfiokit.errors import AddressError
from vfiokit.migration import migrate, tracer_for
from vfiokit.vmm.outgoing import Parameters

__all__ = ("command",)

_WORKLOAD = "dirty=40M/s&dma=20M/s&pattern=hot&param=2048"
_SOURCE = f"emulated:v5?state=64M&{_WORKLOAD}&irq=msix&name=0000:3b:00.1"
_DESTINATION = "emulated:v5?state=64M&fill=zero&name=0000:3b:00.2"
_MDEV_TYPE = "v5-64m"
# A kernel's device under software emulation is slower than a simulated one.
_KERNEL_WORKLOAD = "dirty=2M/s&dma=2M/s&pattern=hot&param=512"


@click.command
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="out/demo",
    show_default=True,
    help="Where the files go.",
)
@click.option(
    "--kernel", is_flag=True, help="Use the lab's driver in this machine's kernel, not the emulated one."
)
def command(out: Path, kernel: bool) -> None:
    """Live-migrate a device under the v5 interface and keep what happened.

    The emulated device has 64 MiB of state that changes at 40 MiB/s and writes guest memory by DMA; time is
    simulated, so the run is the same every time. With --kernel a mediated device of a real kernel is
    migrated to another one: `vfiokit lab demo` does that in a guest.
    """
    console = Console()
    clock: Clock = RealClock() if kernel else SimulatedClock()
    memory, bandwidth = (32 << 20, 20 << 20) if kernel else (256 << 20, 250 << 20)
    with ExitStack() as stack:
        addresses = _two_mdevs(stack) if kernel else (_SOURCE, _DESTINATION)
        for name, address in zip(("source", "destination"), addresses, strict=True):
            console.print(f"{name:<12} {address}", highlight=False, soft_wrap=True)
        tracers = [tracer_for(clock), tracer_for(clock)]
        out.mkdir(parents=True, exist_ok=True)
        source, there = (stack.enter_context(open_device(address, clock=clock)) for address in addresses)
        progress = stack.enter_context(MigrationProgress())
        report = migrate(
            source,
            there,
            memory=memory,
            parameters=Parameters(
                downtime_limit_ns=300_000_000 if kernel else 30_000_000, bandwidth=bandwidth
            ),
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


def _two_mdevs(stack: ExitStack) -> tuple[str, str]:
    """Make two mediated devices of the lab's driver; the stack takes them away again."""
    kind = next((kind for kind in mdev_types() if kind.type.endswith(f"-{_MDEV_TYPE}")), None)
    if kind is None:
        raise AddressError(
            f"this kernel offers no mediated device of type …-{_MDEV_TYPE}",
            hint="`vfiokit lab demo` runs this in a guest that does",
        )
    names = []
    for _ in range(2):
        name = str(uuid.uuid4())
        create_mdev(kind.path, name)
        stack.callback(remove_mdev, name)
        names.append(name)
    return f"mdev:{names[0]}?{_KERNEL_WORKLOAD}", f"mdev:{names[1]}"
