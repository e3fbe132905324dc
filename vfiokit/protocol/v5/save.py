"""The source's side of one device: SaveVMHandlers of patches 08 and 09 (v5 spec 2.1, 2.2, 6.5).

Each function is one callback. An AccessError or RuleError ends it; what was put into the stream so far
stays there.
"""

from __future__ import annotations

from dataclasses import dataclass

from vfiokit.accesses import Buffer, Emit, Flow, Put
from vfiokit.errors import RuleError
from vfiokit.protocol.stream_cursor import be64
from vfiokit.protocol.v5 import markers, region
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.states import set_state
from vfiokit.uapi.ctypes_layout import c_int
from vfiokit.uapi.migration_v5 import DeviceState

__all__ = (
    "STALL_LIMIT",
    "Totals",
    "save_cleanup",
    "save_complete_precopy",
    "save_iterate",
    "save_pending",
    "save_setup",
)

# In stop-and-copy pending_bytes must fall to 0 (v5 spec 1.6). A driver may round it up for a while; one
# whose figure has found no new low for this many chunks is taken to hang.
STALL_LIMIT = 64

_U64 = 1 << 64

_SETUP = be64(markers.VFIO_MIG_FLAG_DEV_SETUP_STATE, "DEV_SETUP_STATE")
_CONFIG = be64(markers.VFIO_MIG_FLAG_DEV_CONFIG_STATE, "DEV_CONFIG_STATE")
_DATA = be64(markers.VFIO_MIG_FLAG_DEV_DATA_STATE, "DEV_DATA_STATE")
_END = be64(markers.VFIO_MIG_FLAG_END_OF_STATE, "END_OF_STATE")


@dataclass
class Totals:
    """The caller's running totals of ``.save_live_pending``, bytes."""

    precopy: int = 0
    postcopy: int = 0
    compatible: int = 0

    @property
    def all(self) -> int:
        """Their sum."""
        return self.precopy + self.postcopy + self.compatible


def save_setup(device: MigratingDevice) -> Flow[None]:
    """``.save_setup``: map the data section, ask for SAVING."""
    yield _SETUP
    yield from region.map_areas(device)
    running = DeviceState.RUNNING if device.vm_running else 0
    yield from set_state(device, DeviceState.SAVING | running)
    yield _END
    yield Emit("vfio_save_setup", (device.name,))


def save_cleanup(device: MigratingDevice) -> Flow[None]:
    """``.save_cleanup``, and ``.load_cleanup``, which is the same function: unmap."""
    if device.region is not None:
        yield from region.unmap_areas(device)
    yield Emit("vfio_save_cleanup", (device.name,))


def update_pending(device: MigratingDevice) -> Flow[int]:
    """Read ``pending_bytes``, bytes; a failure leaves the cache 0."""
    device.pending_bytes = 0
    pending: int = yield device.reads["pending_bytes"]
    device.pending_bytes = pending
    yield Emit("vfio_update_pending", (device.name, pending))
    return pending


def save_pending(device: MigratingDevice, totals: Totals) -> Flow[None]:
    """``.save_live_pending``: add what is pending to *totals*.

    The posting counts a device that fails here as having nothing pending; here the failure is thrown.
    """
    totals.precopy += yield from update_pending(device)
    # The totals of many devices may pass 64 bits in our integers, not in QEMU's.
    yield Emit(
        "vfio_save_pending",
        (device.name, totals.precopy % _U64, totals.postcopy % _U64, totals.compatible % _U64),
    )


def save_buffer(device: MigratingDevice) -> Flow[int]:
    """vfio_save_buffer: one chunk, its size first; returns its size, bytes."""
    reads = device.reads
    offset: int = yield reads["data_offset"]
    size: int = yield reads["data_size"]
    if size:
        device.check_place(offset, size, "a chunk")
        data: Buffer = yield device.read_data(offset, size)
        yield be64(size, "data size")
        yield Put(data, "device data")
        left = device.pending_bytes - size
        device.pending_bytes = left % _U64 if device.profile.has("pending-wraps") else max(left, 0)
    else:
        yield be64(0, "data size")
    yield Emit("vfio_save_buffer", (device.name, offset, size, device.pending_bytes))
    return size


def save_iterate(device: MigratingDevice) -> Flow[bool]:
    """``.save_live_iterate``: one chunk; returns whether nothing is left now."""
    size = 0
    if device.pending_bytes or device.profile.has("iterate-ignores-pending"):
        yield _DATA
        size = yield from save_buffer(device)
    yield _END
    yield Emit("vfio_save_iterate", (device.name, c_int(size)))
    return size == 0


def save_complete_precopy(device: MigratingDevice) -> Flow[None]:
    """``.save_live_complete_precopy``: config state, then all data until nothing is pending.

    RuleError when the driver stops giving while it says that more is pending, which the posting takes
    for the end (D8), or gives and gives without ``pending_bytes`` falling (D7).
    """
    already = device.device_state & ~DeviceState.RUNNING == device.device_state and device.saving
    if not already or device.profile.has("saving-written-twice"):
        yield from set_state(device, DeviceState.SAVING)
    yield _CONFIG
    if device.ops is not None:
        yield from device.ops.save_config()
    yield _END
    yield Emit("vfio_save_device_config_state", (device.name,))
    pending = lowest = yield from update_pending(device)
    chunks = 0
    while pending:
        yield _DATA
        size = yield from save_buffer(device)
        if size == 0:
            raise RuleError(
                device.reads["data_size"],
                f"data_size is 0 while pending_bytes is {pending:#x} in stop-and-copy",
                rule="a device that is stopped must give all that is pending (v5 spec 10.1, D8)",
                hint="state would be lost; look at how the driver accounts pending_bytes",
            )
        pending = yield from update_pending(device)
        chunks = 0 if pending < lowest else chunks + 1
        lowest = min(lowest, pending)
        if chunks >= STALL_LIMIT:
            raise RuleError(
                device.reads["pending_bytes"],
                f"pending_bytes has not fallen below {lowest:#x} for {chunks} chunks in stop-and-copy",
                rule="pending_bytes must fall to 0 in state 2 (v5 spec 1.6; 10.1, D7)",
            )
    yield _END
    yield from set_state(device, DeviceState.STOPPED)
    yield Emit("vfio_save_complete_precopy", (device.name,))
