"""The migration region of the QEMU posting v5, July 2019 (patch 01/13): constants and registers.

The region is found by its type capability (2, 1), never by an index. It starts with
``struct vfio_device_migration_info``, 64 bytes in host byte order, always trapped; the data section
follows. The pair (2, 1) was already taken by channel I/O (``VFIO_REGION_TYPE_CCW``); mainline moved to
type 3, and a driver of the time may give either (v5 spec 1.1).
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

from vfiokit.uapi.ctypes_layout import U32, U64, CStruct, c_struct

__all__ = (
    "HEADER_SIZE",
    "REGISTERS",
    "VFIO_DEVICE_DIRTY_PFNS_ALL",
    "VFIO_DEVICE_DIRTY_PFNS_NONE",
    "VFIO_DEVICE_STATE_INVALID",
    "VFIO_DEVICE_STATE_MASK",
    "VFIO_DEVICE_STATE_RESUMING",
    "VFIO_DEVICE_STATE_RUNNING",
    "VFIO_DEVICE_STATE_SAVING",
    "VFIO_REGION_SUBTYPE_MIGRATION",
    "VFIO_REGION_TYPE_MIGRATION",
    "DeviceMigrationInfo",
    "DeviceState",
    "Register",
    "state_name",
)

VFIO_REGION_TYPE_MIGRATION = 2
VFIO_REGION_SUBTYPE_MIGRATION = 1

VFIO_DEVICE_STATE_RUNNING = 1 << 0
VFIO_DEVICE_STATE_SAVING = 1 << 1
VFIO_DEVICE_STATE_RESUMING = 1 << 2
VFIO_DEVICE_STATE_MASK = VFIO_DEVICE_STATE_RUNNING | VFIO_DEVICE_STATE_SAVING | VFIO_DEVICE_STATE_RESUMING
VFIO_DEVICE_STATE_INVALID = VFIO_DEVICE_STATE_SAVING | VFIO_DEVICE_STATE_RESUMING

VFIO_DEVICE_DIRTY_PFNS_NONE = 0
VFIO_DEVICE_DIRTY_PFNS_ALL = 0xFFFF_FFFF_FFFF_FFFF


class DeviceState(IntFlag):
    """``device_state``, bits 0 to 2. "Stopped" is 0: v5 has no constant for it (v5 spec 1.2)."""

    STOPPED = 0
    RUNNING = VFIO_DEVICE_STATE_RUNNING
    SAVING = VFIO_DEVICE_STATE_SAVING
    RESUMING = VFIO_DEVICE_STATE_RESUMING


# The three bits' eight values, by the names people say (v5 spec 3.1).
_STATE_NAMES = (
    "stopped",
    "running",
    "stop-and-copy",
    "pre-copy",
    "resuming",
    "resuming+running (undefined)",
    "saving+resuming (invalid)",
    "all bits (invalid)",
)


def state_name(value: int) -> str:
    """Return the name of a ``device_state``; bits 3 to 31 are shown when they are set."""
    high = value & ~VFIO_DEVICE_STATE_MASK
    return _STATE_NAMES[value & VFIO_DEVICE_STATE_MASK] + (f" | {high:#x}" if high else "")


@c_struct("vfio_device_migration_info")
class DeviceMigrationInfo(CStruct):
    """The registers at region offset 0. Packed in the posting; every field is naturally aligned anyway."""

    device_state: U32
    reserved: U32
    pending_bytes: U64
    data_offset: U64
    data_size: U64
    start_pfn: U64
    page_size: U64
    total_pfns: U64
    copied_pfns: U64


HEADER_SIZE = DeviceMigrationInfo.c_size()


class Register(NamedTuple):
    """One register of the migration region."""

    name: str
    offset: int  # bytes from the region's start
    width: int  # bytes; the only width it may be accessed with
    readable: bool
    writable: bool
    meaning: str


def _register(name: str, access: str, meaning: str) -> Register:
    return Register(
        name,
        DeviceMigrationInfo.c_offset(name),
        DeviceMigrationInfo.c_width(name),
        "r" in access,
        "w" in access,
        meaning,
    )


# v5 spec 1.2, 1.3. ``data_size`` is read while saving and written while resuming.
REGISTERS: dict[str, Register] = {
    register.name: register
    for register in (
        _register("device_state", "rw", "asks the vendor driver for a transition"),
        _register("reserved", "", "unspecified"),
        _register("pending_bytes", "r", "bytes still to be migrated"),
        _register("data_offset", "r", "stages the next chunk and tells its place in the region"),
        _register("data_size", "rw", "bytes of the chunk"),
        _register("start_pfn", "w", "first page of the range whose dirty bitmap is wanted"),
        _register("page_size", "w", "page size that defines the page numbers"),
        _register("total_pfns", "w", "pages in the range"),
        _register("copied_pfns", "r", "takes the snapshot; pages the bitmap covers, 0 for none, ~0 for all"),
    )
}
