"""What a VMM keeps of one device: QEMU's VFIODevice and VFIOMigration in one (v5 spec, section 0).

Nothing here touches a device. The accesses to the registers are built once per device, since the same
one is yielded again and again.
"""

from __future__ import annotations

from typing import Protocol

from vfiokit.accesses import Flow, Read, ReadData, Write
from vfiokit.errors import RuleError
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5.quirks import INTERFACE, Profile
from vfiokit.uapi.info import Area, Region
from vfiokit.uapi.migration_v5 import HEADER_SIZE, REGISTERS, DeviceState

__all__ = ("DeviceOps", "MigratingDevice")


class DeviceOps(Protocol):
    """VFIODeviceOps of patches 03 and 04: what the kind of device adds to the migration."""

    def save_config(self) -> Flow[None]:
        """Put the config state into the stream."""
        ...

    def load_config(self, cursor: Cursor) -> Flow[None]:
        """Take the config state from the stream and apply it."""
        ...


class MigratingDevice:
    """One device of a VM, as the migration sees it.

    :param name: its vfio name, as in trace events
    :param vm_running: whether the VM runs already, for a hot-plugged device (v5 spec 10.2, V12)
    :param region_types: pairs (type, subtype) taken for the migration region
    """

    def __init__(
        self,
        name: str,
        *,
        ops: DeviceOps | None = None,
        profile: Profile = INTERFACE,
        vm_running: bool = False,
        region_types: tuple[tuple[int, int], ...] = ((2, 1),),
    ) -> None:
        self.name = name
        self.ops = ops
        self.profile = profile
        self.region_types = region_types
        self.region: Region | None = None
        self.areas: tuple[Area, ...] = ()
        self.mapped: set[int] = set()
        self.pending_bytes = 0
        # The cache of the last state written. A device runs after reset, whoever has not told it so.
        self.device_state = int(DeviceState.RUNNING) if vm_running else 0
        self.vm_running = vm_running
        self.blocker: str | None = None
        self.reads: dict[str, Read] = {}
        self._writes: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"<MigratingDevice {self.name} device_state={self.device_state:#x}>"

    @property
    def saving(self) -> bool:
        """The SAVING bit of the cached state."""
        return bool(self.device_state & DeviceState.SAVING)

    @property
    def data_region(self) -> Region:
        """The migration region; RuleError when the device has none."""
        if self.region is None:
            raise RuleError(
                self.name,
                "no migration region",
                rule="a region with the type capability (2, 1) is needed (v5 spec 6.1)",
            )
        return self.region

    def adopt(self, region: Region) -> None:
        """Take *region* for the migration region."""
        self.region = region
        self.areas = region.areas
        index = region.index
        self.reads = {
            name: Read(self.name, index, register.offset, register.width, name)
            for name, register in REGISTERS.items()
        }

    def write(self, field: str, value: int) -> Write:
        """Return the access that writes register *field* at its native width."""
        register = REGISTERS[field]
        return Write(self.name, self.data_region.index, register.offset, register.width, field, value)

    def find_area(self, offset: int, size: int) -> int | None:
        """Return the mapped area that holds all of [offset, offset + size), else None: trapped.

        The posted test ignores where in the area the data starts and can reach past its end
        (v5 spec 2.5, V15); here a chunk that does not fit one area goes trapped as a whole.
        """
        for index, area in enumerate(self.areas):
            if index in self.mapped and area.offset <= offset and offset + size <= area.end:
                return index
        return None

    def read_data(self, offset: int, size: int) -> ReadData:
        """Return the access that reads [offset, offset + size) the best way."""
        return ReadData(self.name, self.data_region.index, offset, size, self.find_area(offset, size))

    def check_place(self, offset: int, size: int, what: str) -> None:
        """Raise RuleError unless [offset, offset + size) lies in the data section (v5 spec 1.5)."""
        access = self.reads["data_offset"]
        region = self.data_region
        if offset < HEADER_SIZE:
            raise RuleError(
                access,
                f"data_offset {offset:#x} of {what} lies in the header",
                rule=f"the header comes first, so data_offset is never below {HEADER_SIZE:#x} (v5 spec 1.5)",
            )
        if offset >= region.size:
            raise RuleError(
                access,
                f"data_offset {offset:#x} of {what} is past the region's end {region.size:#x}",
                rule="data_offset is an offset within the migration region (v5 spec 1.3)",
            )
        if size > region.size - offset:
            raise RuleError(
                self.reads["data_size"],
                f"{what} of {size:#x} bytes at {offset:#x} ends past the region's end {region.size:#x}",
                rule="[data_offset, data_offset + data_size) lies within the region (v5 spec 10.1, D9)",
            )
