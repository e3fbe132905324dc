"""A performer without a device: answers each access from a script, and keeps what was asked."""

from vfiokit import accesses as a
from vfiokit.errors import AccessError
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.uapi.info import Area, Info, Region
from vfiokit.uapi.vfio import (
    VFIO_REGION_INFO_FLAG_MMAP,
    VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE,
)

RW = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE


def migration_region(size=0x10000, areas=None, type_=(2, 1)):
    flags = RW | (VFIO_REGION_INFO_FLAG_MMAP if areas else 0)
    return Region(9, flags, size, 9 << 40, sparse=areas, type=type_)


def device_with(region, **options):
    device = MigratingDevice("dev0", **options)
    device.adopt(region)
    return device


class Scripted:
    """Registers by name (a list gives its items in turn), data by offset; errors by field name."""

    def __init__(self, registers=None, data=None, errors=None, regions=(), stream=b""):
        self.registers = dict(registers or {})
        self.data = dict(data or {})
        self.errors = dict(errors or {})
        self.regions = {region.index: region for region in regions}
        self.log = []
        self.out = bytearray()
        self.stream = bytes(stream)
        self.taken = 0

    def perform(self, access):
        self.log.append(access)
        field = getattr(access, "field", type(access).__name__)
        if field in self.errors:
            raise AccessError(access, self.errors[field])
        match access:
            case a.Read():
                value = self.registers[access.field]
                if isinstance(value, list):
                    return value.pop(0) if len(value) > 1 else value[0]
                return value
            case a.ReadData():
                return self.data.get(access.offset, bytes(access.size))[: access.size].ljust(
                    access.size, b"\0"
                )
            case a.Put():
                self.out += access.data
            case a.Take():
                from vfiokit.errors import StreamCutError

                if self.taken + access.size > len(self.stream):
                    raise StreamCutError(self.taken, "the stream ends")
                self.taken += access.size
                return self.stream[self.taken - access.size : self.taken]
            case a.Query():
                if access.region is None:
                    return Info(2, max(self.regions, default=-1) + 1, 0)
                if access.region not in self.regions:
                    raise AccessError(access, 22)
                return self.regions[access.region]
            case a.Now():
                return 0
        return None

    def fields(self):
        """What was read and written of registers, as ``R64 pending_bytes`` and ``W32 device_state=3``."""
        words = []
        for access in self.log:
            if isinstance(access, a.Read):
                words.append(f"R{8 * access.width} {access.field}")
            elif isinstance(access, a.Write):
                words.append(f"W{8 * access.width} {access.field}={access.value:#x}")
            elif isinstance(access, (a.ReadData, a.WriteData)):
                way = "trapped" if access.area is None else f"area {access.area}"
                words.append(f"{type(access).__name__} {access.offset:#x} {way}")
        return words

    def events(self):
        return [access.event for access in self.log if isinstance(access, a.Emit)]


AREAS = (Area(0x1000, 0x4000), Area(0x8000, 0x2000))
