"""One access stepped in the debugger, recorded and folded into its moment, against one that is run."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Pair, pair
from vfiokit.addresses import open_device
from vfiokit.debugger import debug
from vfiokit.side import Side
from vfiokit.streams import MemoryStream
from vfiokit.vmm.outgoing import Parameters, migrate_out

ADDRESS = "emulated:v5?state=4M&chunk=16K"
MEMORY = 1 << 20
LIMITS = Parameters(downtime_limit_ns=0)


def rows() -> Iterator[Pair]:
    """A migration of some thousand accesses, per access."""
    with open_device(ADDRESS) as device:
        debugger = debug(device, memory=MEMORY, parameters=LIMITS)
        debugger.finish()
        count = len(debugger.history)
        debugger.close()

        def step() -> None:
            device.reset()
            stepped = debug(device, memory=MEMORY, parameters=LIMITS)
            while not stepped.ended:
                stepped.step()
            stepped.close()

        def run() -> None:
            device.reset()
            with Side(
                [device],
                memory=MEMORY,
                clock=device.clock,
                sink=MemoryStream(),
                simulated=True,  # type: ignore[attr-defined]
            ) as side:
                side.plug()
                side.fill()
                side.run(side.vm.start())
                side.run(migrate_out(side.vm, LIMITS, transferred=lambda: side.host.transferred))
                side.run(side.vm.unplug_all())

        yield pair("an access stepped / run", step, run, scale=1e9 / count, unit="{:.0f} ns")
