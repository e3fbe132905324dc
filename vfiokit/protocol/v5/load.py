"""The destination's side of one device: SaveVMHandlers of patch 10 (v5 spec 2.3, 4.3, 6.5).

What the stream says is checked before the device is given anything: the posting checks afterwards
(10.2, V17 to V19).
"""

from __future__ import annotations

from vfiokit.accesses import Buffer, Emit, Flow, WriteData
from vfiokit.errors import RuleError
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5 import markers, region
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.save import save_cleanup
from vfiokit.protocol.v5.states import set_state
from vfiokit.uapi.migration_v5 import HEADER_SIZE, DeviceState

__all__ = ("load_cleanup", "load_setup", "load_state")


def load_setup(device: MigratingDevice) -> Flow[None]:
    """``.load_setup``: map the data section, ask for RESUMING."""
    yield from region.map_areas(device)
    yield from set_state(device, DeviceState.RESUMING)


def load_cleanup(device: MigratingDevice) -> Flow[None]:
    """``.load_cleanup``: unmap."""
    yield from save_cleanup(device)


def load_state(device: MigratingDevice, cursor: Cursor) -> Flow[None]:
    """``.load_state``: one section, from behind its header to its end marker.

    StreamError for a tag or an order that the format does not have; nothing of the item at fault
    reaches the device.
    """
    while True:
        tag = yield from cursor.number(8, "marker")
        if tag == markers.VFIO_MIG_FLAG_END_OF_STATE:
            return
        if tag not in markers.MARKERS:
            raise cursor.wrong(
                f"{device.name}: unknown marker {tag:#018x}",
                rule="a device's section is made of the four VFIO_MIG_FLAG markers (v5 spec 4)",
            )
        yield Emit("vfio_load_state", (device.name, tag))
        if tag == markers.VFIO_MIG_FLAG_DEV_SETUP_STATE:
            yield from _end_of(device, cursor, "setup state")
            return
        if tag == markers.VFIO_MIG_FLAG_DEV_CONFIG_STATE:
            if device.ops is not None:
                yield from device.ops.load_config(cursor)
            yield from _end_of(device, cursor, "config state")
            yield Emit("vfio_load_device_config_state", (device.name,))
        else:
            size = yield from cursor.number(8, "data size")
            if size:
                yield from _load_buffer(device, cursor, size)


def _end_of(device: MigratingDevice, cursor: Cursor, what: str) -> Flow[None]:
    tag = yield from cursor.number(8, "marker")
    if tag != markers.VFIO_MIG_FLAG_END_OF_STATE:
        raise cursor.wrong(
            f"{device.name}: {markers.marker_name(tag)} after the {what}",
            rule="VFIO_MIG_FLAG_END_OF_STATE ends it (v5 spec 4.2)",
        )


def _load_buffer(device: MigratingDevice, cursor: Cursor, size: int) -> Flow[None]:
    """One DATA record; the two orders are the interface's own (v5 spec 2.3)."""
    room = device.data_region.size - HEADER_SIZE
    if size > room:
        raise cursor.wrong(
            f"{device.name}: a chunk of {size:#x} bytes, but the migration region has room for {room:#x}",
            rule="a chunk is handed over as it was read, in one piece (v5 spec 1.4, 7)",
        )
    offset: int = yield device.reads["data_offset"]
    device.check_place(offset, size, "the place for a chunk")
    data: Buffer = yield from cursor.take(size, "device data")
    if len(data) != size:
        raise RuleError(device.name, f"{len(data)} bytes taken of {size}", rule="Take gives all or fails")
    area = device.find_area(offset, size)
    index = device.data_region.index
    if area is None:
        yield device.write("data_size", size)
        yield WriteData(device.name, index, offset, data, None)
    else:
        yield WriteData(device.name, index, offset, data, area)
        yield device.write("data_size", size)
    yield Emit("vfio_load_state_device_data", (device.name, offset, size))
