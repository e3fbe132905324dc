"""The small session that the panel's tests step."""

import vfiokit
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock

WORK = "emulated:v5?state=256K&chunk=64K&dirty=1M/s&dma=100M/s"


def new_ends(more="", names="ab"):
    """Return two devices of one clock."""
    clock = SimulatedClock()
    return [open_device(f"{WORK}{more}&name={name}", clock=clock) for name in names]


def new_debugger(more="", names="ab"):
    """Return a debugger before the first access."""
    return vfiokit.debug(*new_ends(more, names), memory=1 << 20)
