"""A vendor driver in Python: a device to migrate without hardware, root or a kernel module.

Start at `open_emulated`; what an address may say is in `vfiokit.emulated.options`, what the device does
in docs/device-model.md, how it can be made to misbehave in `vfiokit.emulated.faults`::

    device = open_emulated("emulated:v5?state=64M&dirty=40M/s&data=mapped")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfiokit.clock import Clock
    from vfiokit.emulated.device import EmulatedDevice
    from vfiokit.emulated.faults import FailAccess, Fault, FaultyDevice, ForceRead, ShortAccess, parse_fault
    from vfiokit.emulated.options import Options, parse_address

__all__ = (
    "EmulatedDevice",
    "FailAccess",
    "Fault",
    "FaultyDevice",
    "ForceRead",
    "Options",
    "ShortAccess",
    "open_emulated",
    "parse_address",
    "parse_fault",
)


# Imported when asked for, so that ``python -m vfiokit.emulated.model`` finds its module not yet imported.
_HOMES = {
    "EmulatedDevice": "device",
    **dict.fromkeys(("FailAccess", "Fault", "FaultyDevice", "ForceRead", "ShortAccess"), "faults"),
    "parse_fault": "faults",
    **dict.fromkeys(("Options", "parse_address"), "options"),
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def open_emulated(address: str, *, clock: Clock | None = None) -> EmulatedDevice | FaultyDevice:
    """Open ``emulated:v5?…`` or ``emulated:none?…``; the device runs.

    :param clock: shared with other devices and the VMM; None makes one as ``clock=`` says
    :returns: an `EmulatedDevice`, wrapped in a `FaultyDevice` when the address has faults
    Raises AddressError for an address that cannot be understood.
    """
    from vfiokit.emulated.device import EmulatedDevice
    from vfiokit.emulated.faults import FaultyDevice, parse_fault
    from vfiokit.emulated.options import parse_address

    options = parse_address(address)
    faults = [parse_fault(text) for text in options.fault]
    device = EmulatedDevice(options, address=address, clock=clock)
    return FaultyDevice(device, faults) if faults else device
