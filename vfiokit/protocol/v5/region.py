"""The life of the migration region: probe, init, map, unmap, exit, finalise (patches 02, 05, 13).

v5 spec 6.1, 6.2, 6.5, 6.6. Nothing here writes ``device_state``.
"""

from __future__ import annotations

import errno

from vfiokit.accesses import Emit, Flow, Map, Query, Say, Unmap
from vfiokit.errors import AccessError
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.uapi import vfio
from vfiokit.uapi.info import Info, Region
from vfiokit.uapi.migration_v5 import HEADER_SIZE

__all__ = ("BLOCKER", "exit_region", "finalize", "map_areas", "probe", "unmap_areas")

BLOCKER = "VFIO device doesn't support migration"
_NAME = "migration"


def probe(device: MigratingDevice) -> Flow[bool]:
    """Find and take the migration region; without one the device gets a blocker.

    Returns whether the device can be migrated. Only an AccessError of the first query ends it: a device
    that cannot even say how many regions it has is of no use.
    """
    info: Info = yield Query(device.name)
    region = yield from _find(device, info)
    if region is None:
        device.blocker = f"{BLOCKER}: no region of type {_types(device)}"
        return False
    reason = yield from _init(device, region)
    if reason:
        yield Say(device.name, f"{device.name}: {reason}")
        device.blocker = f"{BLOCKER}: {reason}"
        return False
    device.adopt(region)
    yield Emit("vfio_migration_probe", (device.name, region.index))
    return True


def _types(device: MigratingDevice) -> str:
    return " or ".join(str(pair) for pair in device.region_types)


def _find(device: MigratingDevice, info: Info) -> Flow[Region | None]:
    for index in range(info.num_regions):
        try:
            region: Region = yield Query(device.name, index)
        except AccessError:
            continue  # linux/vfio.h: an index may be a hole
        if region.type is None:
            continue
        yield Emit("vfio_get_dev_region", (device.name, index, *region.type))
        # (2, 1) is also channel I/O's command region (v5 spec 10.1, D34): such a device is not asked.
        if region.type in device.region_types and not info.flags & vfio.VFIO_DEVICE_FLAGS_CCW:
            return region
    return None


def _init(device: MigratingDevice, region: Region) -> Flow[str | None]:
    """vfio_region_setup; returns why the region is of no use, or None."""
    if region.mappable and region.sparse is not None:
        yield Emit("vfio_region_sparse_mmap_header", (device.name, region.index, len(region.sparse)))
        for number, area in enumerate(region.sparse):
            if area.size:
                yield Emit("vfio_region_sparse_mmap_entry", (number, area.offset, area.end))
    yield Emit(
        "vfio_region_setup",
        (device.name, region.index, _NAME, region.flags, region.offset, region.size),
    )
    if region.size == 0:
        return f"the size of migration region {region.index} is 0"
    if region.size <= HEADER_SIZE:
        return f"migration region {region.index} of {region.size:#x} bytes has no room for a data section"
    for area in region.areas:
        if area.end > region.size:
            return f"area [{area.offset:#x}, {area.end:#x}) is mappable, the region ends at {region.size:#x}"
        if area.offset < HEADER_SIZE:
            return f"area [{area.offset:#x}, {area.end:#x}) is mappable, but covers the trapped header"
    return None


def area_name(index: int) -> str:
    """Return the name that QEMU gives the memory region of a mapped area."""
    return f"{_NAME} mmaps[{index}]"


def map_areas(device: MigratingDevice) -> Flow[None]:
    """Map every area. When one is refused the earlier ones are undone and the data goes trapped.

    The posting fails the migration instead (V21); trapped access to mapped parts must work anyway.
    """
    region = device.data_region
    for index, area in enumerate(device.areas):
        if index in device.mapped:
            continue
        try:
            yield Map(device.name, region.index, index, area.offset, area.size)
        except AccessError as error:
            end = region.offset + area.end - 1
            fault = -(error.errno or errno.EIO)
            yield Emit(
                "vfio_region_mmap_fault",
                (f"{device.name} {_NAME}", index, region.offset + area.offset, end, fault),
            )
            yield Say(device.name, f"{error.message}; its data goes by read and write instead")
            yield from _undo(device)
            return
        device.mapped.add(index)
        yield Emit("vfio_region_mmap", (area_name(index), area.offset, area.end - 1))


def _undo(device: MigratingDevice) -> Flow[None]:
    region = device.data_region
    for index in sorted(device.mapped):
        area = device.areas[index]
        device.mapped.discard(index)
        yield Unmap(device.name, region.index, index, area.offset, area.size)


def unmap_areas(device: MigratingDevice) -> Flow[None]:
    """vfio_region_unmap (02/13): one event an area, before it goes.

    An area that is not mapped is passed over; the posting would abort (V22).
    """
    region = device.data_region
    for index, area in enumerate(device.areas):
        if index not in device.mapped:
            continue
        yield Emit("vfio_region_unmap", (area_name(index), area.offset, area.end - 1))
        device.mapped.discard(index)
        try:
            yield Unmap(device.name, region.index, index, area.offset, area.size)
        except AccessError as error:
            yield Say(device.name, error.message)


def exit_region(device: MigratingDevice) -> Flow[None]:
    """vfio_region_exit and vfio_region_finalize: what is mapped still is unmapped, the region let go."""
    region = device.region
    if region is None:
        return
    yield Emit("vfio_region_exit", (device.name, region.index))
    yield from _undo(device)
    yield Emit("vfio_region_finalize", (device.name, region.index))
    device.region = None
    device.areas = ()


def finalize(device: MigratingDevice) -> Flow[None]:
    """vfio_migration_finalize: the region goes, and the blocker with it, region or not (V23)."""
    yield from exit_region(device)
    device.blocker = None
