"""vfio_get_dirty_page_list (patch 11/13): which pages a device dirtied (v5 spec 2.4, 7.2, 7.3)."""

from __future__ import annotations

from vfiokit.accesses import Buffer, Emit, Flow, MarkDirty
from vfiokit.errors import RuleError
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.uapi.migration_v5 import VFIO_DEVICE_DIRTY_PFNS_ALL, VFIO_DEVICE_DIRTY_PFNS_NONE

__all__ = ("bitmap_bytes", "get_dirty_page_list")

_WORD = 8  # bytes of a machine word, on every host that QEMU migrates devices on


def bitmap_bytes(pages: int, *, one_word_more: bool = False) -> int:
    """Return the bytes to read for a bitmap of *pages* bits: whole 64-bit words."""
    return (-(-pages // (8 * _WORD)) + one_word_more) * _WORD


def get_dirty_page_list(
    device: MigratingDevice, start_pfn: int, pfn_count: int, page_size: int
) -> Flow[None]:
    """Ask for [start_pfn, start_pfn + pfn_count), pages of *page_size* bytes, and mark what is dirty.

    The posting drops every failure here, and pages silently stay clean (V33); an AccessError or
    RuleError comes out instead, what was marked before it stays marked.
    """
    count = 0
    profile = device.profile
    while count < pfn_count:
        start, left = start_pfn + count, pfn_count - count
        yield device.write("start_pfn", start)
        yield device.write("page_size", page_size)
        yield device.write("total_pfns", left)
        copied: int = yield device.reads["copied_pfns"]
        if copied == VFIO_DEVICE_DIRTY_PFNS_NONE:
            break
        if copied == VFIO_DEVICE_DIRTY_PFNS_ALL:
            if profile.has("all-marks-whole-range"):
                start, left = start_pfn, pfn_count
            yield MarkDirty(device.name, start, left, page_size, None)
            break
        if copied > left:
            raise RuleError(
                device.reads["copied_pfns"],
                f"copied_pfns is {copied:#x}, asked were {left:#x}",
                rule="copied_pfns counts pages of the range asked for (v5 spec 1.3; 10.1, D25)",
            )
        size = bitmap_bytes(copied, one_word_more=profile.has("bitmap-one-word-more"))
        offset: int = yield device.reads["data_offset"]
        device.check_place(offset, size, "the dirty bitmap")
        bitmap: Buffer = yield device.read_data(offset, size)
        yield MarkDirty(device.name, start, copied, page_size, bytes(bitmap[: -(-copied // 8)]))
        count += copied
    yield Emit("vfio_get_dirty_page_list", (device.name, start_pfn, pfn_count, page_size))
