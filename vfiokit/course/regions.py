"""Chapter 2: regions and config space."""

from __future__ import annotations

from typing import Any

from vfiokit.addresses import open_device
from vfiokit.course.exercises import OPEN, Verdict, exercise, right, wrong
from vfiokit.course.runs import as_number, finished
from vfiokit.device.wrapped import WrappedDevice
from vfiokit.uapi.info import Info, Region
from vfiokit.uapi.migration_v5 import REGISTERS

__all__ = ()


class _Moved(WrappedDevice):
    """A device with one region more before the vendor's: the migration region has another index."""

    def info(self) -> Info:
        told = self.device.info()
        return Info(told.flags, told.num_regions + 1, told.num_irqs)

    def region(self, index: int) -> Region:
        if index < 9:
            return self.device.region(index)
        if index == 9:
            return Region(9, flags=0, size=0x1000, type=(1, 1))
        told = self.device.region(index - 1)
        return Region(index, told.flags, told.size, told.offset, told.sparse, told.type)


@exercise("02.1", "go through device.region(index); a region that is vendor-specific has a .type")
def migration_region(find: Any) -> Verdict:
    """Try the reader's function on a device as it is, on one with another index, and on two without."""
    if not callable(find):
        return wrong("a function is wanted: find")
    plain = open_device("emulated:v5?state=4K")
    if find(plain) is ...:
        return OPEN
    cases = (
        ("emulated:v5", plain, 9),
        ("a device whose driver has one more region before it", _Moved(plain), 10),
        ("a device that cannot be migrated", open_device("emulated:none?state=4K"), None),
        (
            "a region of type 3, which is the later interface's",
            open_device("emulated:v5?state=4K&type=3"),
            None,
        ),
    )
    for told, device, wanted in cases:
        found = find(device)
        if found != wanted:
            return wrong(f"{told}: it gave {found!r}")
    return right("by type and subtype, wherever it is.")


@exercise("02.2", "accesses[accesses.what == 'data_size'].offset")
def offset_of_data_size(answer: object) -> Verdict:
    """Compare with the offset that the accesses have."""
    recording = finished("emulated:v5?state=64K&name=here")
    offset = next(int(row.offset) for row in recording.accesses if row.what == "data_size")
    number = as_number(answer)
    if number is None:
        return wrong("a number is wanted")
    if number != offset:
        there = [register.name for register in REGISTERS.values() if register.offset == number]
        return wrong(f"at {number:g} is {there[0] if there else 'no register'}")
    return right(f"{offset} = {offset:#x}: 8 bytes, and the header goes on to 0x40.")


@exercise("02.3", "the chunks whose area is missing: there is no mapping that they came through")
def trapped_chunk_of_mixed(answer: object) -> Verdict:
    """Compare with the one chunk that a mixed device hands over by pread."""
    recording = finished("emulated:v5?state=4M&data=mixed&name=mixed", memory=0)
    chunks = [row for row in recording.accesses if row.kind == "ReadData" and row.region == 9]
    (size,) = {int(row.size) for row in chunks if row.area is None}
    number = as_number(answer)
    if number is None:
        return wrong("a number of bytes is wanted")
    if number in {int(row.size) for row in chunks if row.area is not None}:
        return wrong("that chunk came through the mapping")
    if number != size:
        return wrong("no chunk of that size was read")
    return right(f"{size:,} bytes: the last record, the device's registers, sent in stop-and-copy.")
