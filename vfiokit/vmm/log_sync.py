"""``.log_sync`` of the memory listener (patch 12/13, v5 spec 7.1): the devices' dirty pages, for RAM."""

from __future__ import annotations

from collections.abc import Iterable

from vfiokit.accesses import Flow
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.dirty import get_dirty_page_list
from vfiokit.vmm.memory import PAGE_SIZE, RamBlock

__all__ = ("log_sync",)


def log_sync(devices: Iterable[MigratingDevice], blocks: Iterable[RamBlock]) -> Flow[bool]:
    """Ask every device for the dirty pages of every block; return whether anybody was asked.

    Nobody is asked unless all devices are SAVING. One container is assumed: the posting asks each
    device once per container (V34).
    """
    devices = tuple(devices)
    if not devices or not all(device.saving for device in devices):
        return False
    for block in blocks:
        for device in devices:
            yield from get_dirty_page_list(device, block.first_pfn, block.pages, PAGE_SIZE)
    return True
