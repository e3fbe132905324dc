"""Where a side's accesses are in the table: by device, and by register.

A moment is looked up rather than folded: what a register held after row N is in the last of its rows up to
N. So a recording is read once, the new rows a column at a time, and rewinding it reads a few dozen rows.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from vfiokit.recording.replay import info_of
from vfiokit.uapi.info import Info, Region
from vfiokit.uapi.migration_v5 import REGISTERS
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from vfiokit.recording import Recording

__all__ = ("AccessIndex", "ConfigImages", "DeviceIndex", "Rows")

_KINDS = ("Query", "Read", "Write", "ReadData", "WriteData", "Map", "Unmap", "MarkDirty", "Reset")
_CONFIG_SIZE = 4096  # PCI Express' extended config space
_EACH = 256  # accesses between two kept images of config space


class Rows:
    """Numbers of rows, rising; appended to."""

    def __init__(self) -> None:
        self._room = np.zeros(64, np.int64)
        self._count = 0

    def extend(self, numbers: NDArray[np.int64]) -> None:
        """Append numbers above all that are there."""
        count = self._count + len(numbers)
        if count > len(self._room):
            self._room = np.concatenate([self._room, np.zeros(count, np.int64)])
        self._room[self._count : count] = numbers
        self._count = count

    def last(self, most: int, bound: int) -> list[int]:
        """Return the last *most* of the rows below *bound*, rising."""
        stop = int(np.searchsorted(self._room[: self._count], bound))
        return [int(row) for row in self._room[max(0, stop - most) : stop]]

    def after(self, bound: int) -> int | None:
        """Return the first row from *bound* on; None when there is none."""
        place = int(np.searchsorted(self._room[: self._count], bound))
        return int(self._room[place]) if place < self._count else None


class ConfigImages:
    """Config space as it was read and written, at any row."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._parts: list[tuple[int, bytes]] = []
        self._images: list[bytes] = [b""]  # before every _EACH-th part

    def add(self, row: int, offset: int, data: bytes) -> None:
        """Take what an access read or wrote; beyond extended config space it is no register."""
        if offset + len(data) > _CONFIG_SIZE:
            return
        self._rows.append(row)
        self._parts.append((offset, data))
        if len(self._parts) % _EACH == 0:
            self._images.append(self._at(len(self._parts)))

    def at(self, bound: int) -> bytes | None:
        """Return what is known from the rows below *bound*; None if nothing is."""
        count = bisect_left(self._rows, bound)
        return self._at(count) if count else None

    def _at(self, count: int) -> bytes:
        kept = min(count // _EACH, len(self._images) - 1)
        image = bytearray(self._images[kept])
        for offset, data in self._parts[kept * _EACH : count]:
            image.extend(bytes(max(0, offset + len(data) - len(image))))
            image[offset : offset + len(data)] = data
        return bytes(image)


class DeviceIndex:
    """Rows of one device.

    :ivar rows: all of them
    :ivar registers: those that came back well, by (region, register)
    :ivar answers: (row, what was asked for), in order
    :ivar maps: (row, region, area, whether it was mapped), in order
    """

    def __init__(self) -> None:
        self.rows = Rows()
        self.registers: dict[tuple[int, str], Rows] = {}
        self.answers: list[tuple[int, Info | Region]] = []
        self.maps: list[tuple[int, int, int, bool]] = []
        self.config = ConfigImages()


class AccessIndex:
    """Rows of one side, by device in the order in which they came."""

    def __init__(self, recording: Recording, side: str) -> None:
        self.recording, self.side = recording, side
        self.devices: dict[str, DeviceIndex] = {}
        self._seen = 0

    def update(self) -> bool:
        """Read on; return whether anything of this side's devices came."""
        first = self._seen
        if len(self.recording.accesses) == first:
            return False
        table = self.recording.accesses.to_arrow()
        self._seen = len(table)
        new = table.slice(first)
        wanted = _is_in(new["kind"], _KINDS) & _is_in(new["side"], (self.side,)) & _valid(new["device"])
        if not wanted.any():
            return False
        numbers, names = _codes(new["device"])
        whats, registers = _codes(new["what"])
        regions = _numbers(new["region"])
        well = wanted & ~_valid(new["error"])
        held = well & _is_in(new["kind"], ("Read", "Write")) & _is_in(new["what"], tuple(REGISTERS))
        series = regions * max(1, len(registers)) + whats
        for number in dict.fromkeys(numbers[wanted].tolist()):
            index = self.devices.setdefault(names[number], DeviceIndex())
            mine = numbers == number
            index.rows.extend(first + np.flatnonzero(wanted & mine))
            for one in np.unique(series[held & mine]).tolist():
                region, what = divmod(one, len(registers))
                rows = index.registers.setdefault((region, registers[what]), Rows())
                rows.extend(first + np.flatnonzero(held & mine & (series == one)))
        rare = _is_in(new["kind"], ("Query", "Map", "Unmap"))
        rare |= (regions == VFIO_PCI_CONFIG_REGION_INDEX) & _valid(new["region"])
        for place in np.flatnonzero(well & rare).tolist():
            _learn(self.devices[names[numbers[place]]], first + place, _row(new, place))
        return True


def _learn(index: DeviceIndex, number: int, row: dict[str, Any]) -> None:
    kind = row["kind"]
    if kind == "Query":
        found = info_of(row["info"]) if row["info"] is not None else None
        if isinstance(found, Info | Region):
            index.answers.append((number, found))
    elif kind in ("Map", "Unmap"):
        index.maps.append((number, row["region"], row["area"], kind == "Map"))
    elif kind in ("Read", "Write"):
        size = row["size"]
        value = row["value"] & ((1 << 8 * size) - 1)
        index.config.add(number, row["offset"], value.to_bytes(size, "little"))
    elif row["data"] is not None:
        index.config.add(number, row["offset"], row["data"])


def _row(rows: pa.Table, place: int) -> dict[str, Any]:
    row: dict[str, Any] = rows.slice(place, 1).to_pylist()[0]
    return row


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Return a column of names as numbers, -1 for null, and the names."""
    encoded = column.cast("string").combine_chunks().dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = column.fill_null(-1).to_numpy().astype(np.int64)
    return numbers


def _valid(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.is_valid().to_numpy()
    return found


def _is_in(column: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: NDArray[np.bool_] = pc.is_in(column.cast("string"), pa.array(names)).to_numpy()
    return found
