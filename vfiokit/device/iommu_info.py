"""What a type 1 IOMMU says of itself (VFIO_IOMMU_GET_INFO and its capabilities, ``linux/vfio.h``)."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from vfiokit.device.info_chain import read_array, read_at, walk
from vfiokit.uapi import vfio

__all__ = ("IommuInfo", "parse_iommu_info")


@dataclass(frozen=True, slots=True)
class IommuInfo:
    """Page sizes, usable IOVA ranges and limits; None where the kernel does not say."""

    page_sizes: tuple[int, ...]  # bytes, ascending
    iova_ranges: tuple[tuple[int, int], ...] | None = None  # (first, last) byte
    dma_avail: int | None = None  # further mappings it takes
    dirty_page_sizes: tuple[int, ...] | None = None  # of the container's own dirty tracking
    max_dirty_bitmap_size: int | None = None  # bytes

    @property
    def page_size(self) -> int:
        """The smallest page, bytes: what mappings are aligned to."""
        return self.page_sizes[0] if self.page_sizes else mmap.PAGESIZE

    @property
    def ranges_text(self) -> str:
        """The usable ranges in words, "" when they are not known."""
        return ", ".join(f"[{first:#x}, {last:#x}]" for first, last in self.iova_ranges or ())


def _sizes(bitmap: int) -> tuple[int, ...]:
    return tuple(1 << bit for bit in range(64) if bitmap >> bit & 1)


def parse_iommu_info(buffer: bytes | bytearray) -> IommuInfo:
    """Decode an answer of VFIO_IOMMU_GET_INFO; RuleError on a chain that cannot be."""
    access = "VFIO_IOMMU_GET_INFO"
    info = read_at(vfio.IommuType1Info, buffer, 0, access)
    ranges: tuple[tuple[int, int], ...] | None = None
    avail: int | None = None
    dirty_sizes: tuple[int, ...] | None = None
    dirty_max: int | None = None
    first = info.cap_offset if info.flags & vfio.VFIO_IOMMU_INFO_CAPS else 0
    for capability in walk(buffer, first, vfio.IommuType1Info.c_size(), access):
        if capability.id == vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
            head = read_at(vfio.IommuCapIovaRange, buffer, capability.offset, access)
            start = capability.offset + head.c_size()
            found = read_array(vfio.IovaRange, buffer, start, head.nr_iovas, access)
            ranges = tuple((item.start, item.end) for item in found)
        elif capability.id == vfio.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION:
            dirty = read_at(vfio.IommuCapMigration, buffer, capability.offset, access)
            dirty_sizes, dirty_max = _sizes(dirty.pgsize_bitmap), dirty.max_dirty_bitmap_size
        elif capability.id == vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
            avail = read_at(vfio.IommuDmaAvail, buffer, capability.offset, access).avail
    sizes = _sizes(info.iova_pgsizes) if info.flags & vfio.VFIO_IOMMU_INFO_PGSIZES else ()
    return IommuInfo(sizes, ranges, avail, dirty_sizes, dirty_max)
