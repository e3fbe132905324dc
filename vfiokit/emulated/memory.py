"""What the device can reach by DMA: IOVA ranges, each backed by process memory.

The rules are those of the type 1 v2 IOMMU (linux/vfio.h): page-aligned, no overlap, and an unmap takes
whole mappings.
"""

from __future__ import annotations

import bisect
import errno
from dataclasses import dataclass

from vfiokit.emulated import model
from vfiokit.emulated.refusal import Refuse

__all__ = ("DmaSpace", "Mapping")

_IOVA_END = 1 << 64


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapped range; ``memory`` is *size* bytes."""

    iova: int
    memory: memoryview
    readable: bool
    writable: bool

    @property
    def size(self) -> int:
        """Bytes mapped."""
        return self.memory.nbytes

    @property
    def last(self) -> int:
        """Last IOVA of the range."""
        return self.iova + self.size - 1


class DmaSpace:
    """The mappings of one device, ordered by IOVA."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._starts: list[int] = []
        self._mappings: list[Mapping] = []

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """All mappings, lowest IOVA first."""
        return tuple(self._mappings)

    def map(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """Map *memory* at *iova*.

        EINVAL: unaligned, empty, past 64 bits, writable but its memory is not; EEXIST: overlap.
        """
        memory = memory.cast("B")
        operation = f"map_dma(iova={iova:#x}, size={memory.nbytes:#x})"
        if iova % model.PAGE_SIZE or memory.nbytes % model.PAGE_SIZE or not memory.nbytes:
            raise self._refuse(operation, errno.EINVAL, "iova and size are multiples of the page size, 4 KiB")
        if iova < 0 or iova + memory.nbytes > _IOVA_END:
            raise self._refuse(operation, errno.EINVAL, "an IOVA has 64 bits")
        if not (readable or writable) or (writable and memory.readonly):
            raise self._refuse(
                operation, errno.EINVAL, "a mapping is readable or writable, and no more than its memory is"
            )
        at = bisect.bisect_right(self._starts, iova)
        mapping = Mapping(iova, memory, readable, writable)
        neighbours = self._mappings[max(at - 1, 0) : at + 1]
        for other in neighbours:
            if other.iova <= mapping.last and mapping.iova <= other.last:
                raise self._refuse(
                    operation,
                    errno.EEXIST,
                    f"[{other.iova:#x}, {other.last:#x}] is mapped (linux/vfio.h, VFIO_IOMMU_MAP_DMA)",
                    "unmap it first",
                )
        self._starts.insert(at, iova)
        self._mappings.insert(at, mapping)

    def unmap(self, iova: int, size: int) -> int:
        """Take away the mappings in [iova, iova + size); return the bytes. EINVAL: would cut one in two."""
        operation = f"unmap_dma(iova={iova:#x}, size={size:#x})"
        if iova % model.PAGE_SIZE or size % model.PAGE_SIZE or size <= 0:
            raise self._refuse(operation, errno.EINVAL, "iova and size are multiples of the page size, 4 KiB")
        last = iova + size - 1
        touched = [m for m in self._mappings if m.iova <= last and iova <= m.last]
        for mapping in touched:
            if mapping.iova < iova or mapping.last > last:
                raise self._refuse(
                    operation,
                    errno.EINVAL,
                    f"it would cut the mapping [{mapping.iova:#x}, {mapping.last:#x}] in two "
                    "(linux/vfio.h, VFIO_TYPE1v2_IOMMU)",
                )
        self._mappings = [m for m in self._mappings if m not in touched]
        self._starts = [m.iova for m in self._mappings]
        return sum(m.size for m in touched)

    def find(self, iova: int) -> Mapping | None:
        """Return the mapping that has *iova*, or None."""
        at = bisect.bisect_right(self._starts, iova) - 1
        if at < 0 or self._mappings[at].last < iova:
            return None
        return self._mappings[at]

    def write(self, iova: int, data: bytes) -> int:
        """Write *data* as the device; return 0, or EFAULT when a byte is not mapped or not writable.

        The data lies in one page, so in one mapping.
        """
        mapping = self.find(iova)
        if mapping is None or not mapping.writable or iova + len(data) - 1 > mapping.last:
            return errno.EFAULT
        at = iova - mapping.iova
        mapping.memory[at : at + len(data)] = data
        return 0

    def largest(self) -> Mapping | None:
        """Return the largest writable mapping, the lowest of equals; None when there is none."""
        return max((m for m in self._mappings if m.writable), key=lambda m: m.size, default=None)

    def clear(self) -> None:
        """Forget all mappings."""
        self._starts.clear()
        self._mappings.clear()
