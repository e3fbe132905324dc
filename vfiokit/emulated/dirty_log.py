"""The log of guest pages the device wrote, and v5's way of asking for it (v5 spec 1.3, 7.2, 7.3).

Bits accumulate from the moment SAVING is entered until they are given out; from then on the page counts
as clean until it is written again. A request is three sticky registers; reading ``copied_pfns`` takes the
snapshot. Reading it again without a new request goes on behind what was given, and starts over when the
whole range was.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from vfiokit.emulated import model
from vfiokit.emulated.refusal import Refuse
from vfiokit.uapi.migration_v5 import VFIO_DEVICE_DIRTY_PFNS_ALL, VFIO_DEVICE_DIRTY_PFNS_NONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("DirtyLog", "bitmap_bytes")

_SHIFT = 16  # pages of one leaf: 64 Ki, a byte each
_LEAF = 1 << _SHIFT
_REQUEST = ("start_pfn", "page_size", "total_pfns")
_BITS = bytes.maketrans(b"\0\1", b"01")


def bitmap_bytes(pages: int) -> int:
    """Return how many bytes v5 QEMU reads for a bitmap of *pages*: one 64-bit word too many (v5 spec 7.2)."""
    return (-(-pages // 64) + 1) * 8


class DirtyLog:
    """Dirty guest pages by IOVA, 4 KiB each, and the current request.

    :param capacity: bytes of bitmap given out in one round
    :param all_answer: whether a range that is dirty throughout is answered with ALL
    """

    def __init__(self, capacity: int, refuse: Refuse, *, all_answer: bool = False) -> None:
        self._capacity = capacity * 8
        self._refuse = refuse
        self._all_answer = all_answer
        self._leaves: dict[int, bytearray] = {}
        self._request: dict[str, int] = {}
        self._done = 0  # pages of the request that were answered
        self.tracking = False

    def begin(self) -> None:
        """SAVING was entered: log from here on."""
        self._leaves.clear()
        self._request.clear()
        self._done = 0
        self.tracking = True

    def end(self) -> None:
        """SAVING was left."""
        self.begin()
        self.tracking = False

    # -- the device's side --

    def mark(self, pfn: int) -> None:
        """The device wrote page *pfn* (IOVA / 4096)."""
        if self.tracking:
            leaf = self._leaves.setdefault(pfn >> _SHIFT, bytearray(_LEAF))
            leaf[pfn & _LEAF - 1] = 1

    def mark_many(self, pfns: NDArray[np.uint64]) -> None:
        """Mark an array of pages; they may repeat."""
        if not self.tracking or not pfns.size:
            return
        import numpy as np

        keys = pfns >> np.uint64(_SHIFT)
        inside = pfns & np.uint64(_LEAF - 1)
        for key in np.unique(keys).tolist():
            leaf = self._leaves.setdefault(key, bytearray(_LEAF))
            np.frombuffer(leaf, dtype=np.uint8)[inside[keys == key]] = 1

    def pages(self) -> int:
        """Return how many pages are dirty."""
        return sum(leaf.count(1) for leaf in self._leaves.values())

    # -- the VMM's side --

    def request(self, register: str, value: int) -> None:
        """Take a write of a request register; any order, checked on the snapshot."""
        self._request[register] = value
        self._done = 0

    def snapshot(self) -> tuple[int, bytes | None]:
        """Answer a read of ``copied_pfns``: (value, bitmap or None). Pages given out become clean.

        The bitmap is `bitmap_bytes` long with a clean tail. EINVAL when the request makes no sense.
        """
        start, page_size, total = self._checked()
        each = page_size // model.PAGE_SIZE
        start, total = start + self._done, total - self._done
        first, count = start * each, total * each
        dirty = self._count(first, count)
        if dirty == 0:
            self._done = 0
            return VFIO_DEVICE_DIRTY_PFNS_NONE, None
        if self._all_answer and dirty == count:
            self._clear(first, count)
            self._done = 0
            return VFIO_DEVICE_DIRTY_PFNS_ALL, None
        copied = min(total, self._capacity)
        bitmap = self._bitmap(first, copied, each)
        self._clear(first, copied * each)
        self._done = 0 if copied == total else self._done + copied
        return copied, bitmap

    def _checked(self) -> tuple[int, int, int]:
        operation = "pread(migration copied_pfns)"
        missing = [name for name in _REQUEST if name not in self._request]
        if missing:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"a snapshot needs a request, and {', '.join(missing)} was not written (v5 spec 1.3)",
                "write start_pfn, page_size and total_pfns first",
            )
        start, page_size, total = (self._request[name] for name in _REQUEST)
        if page_size < model.PAGE_SIZE or page_size & page_size - 1:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"page_size is a power of two from 4096 on, not {page_size:#x} (v5 spec 1.3)",
            )
        if total == 0:
            raise self._refuse(
                operation, errno.EINVAL, "total_pfns is 0: no page was asked for (v5 spec 1.3)"
            )
        if (start + total) * page_size > 1 << 64:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"{total:#x} pages of {page_size:#x} bytes from pfn {start:#x} pass the 64 bits of an IOVA",
            )
        return start, page_size, total

    def _parts(self, first: int, count: int) -> list[tuple[bytearray, int, int, int]]:
        """Return (leaf, from, to, pages behind *first*) of the leaves there are in the range, in order."""
        end = first + count
        parts = []
        for key in sorted(self._leaves):
            base = key << _SHIFT
            low, high = max(first, base), min(end, base + _LEAF)
            if low < high:
                parts.append((self._leaves[key], low - base, high - base, low - first))
        return parts

    def _count(self, first: int, count: int) -> int:
        return sum(leaf.count(1, low, high) for leaf, low, high, _ in self._parts(first, count))

    def _clear(self, first: int, count: int) -> None:
        for leaf, low, high, _ in self._parts(first, count):
            leaf[low:high] = bytes(high - low)

    def _bitmap(self, first: int, copied: int, each: int) -> bytes:
        """Return *copied* bits, one for *each* 4 KiB pages from *first* on (v5 spec 7.3)."""
        size = bitmap_bytes(copied)
        if each == 1:
            flags = bytearray(copied)
            for leaf, low, high, at in self._parts(first, copied):
                flags[at : at + high - low] = leaf[low:high]
            # A byte a page, last page first, is the bitmap written as a binary number.
            return int(flags[::-1].translate(_BITS), 2).to_bytes(size, "little")
        bits = bytearray(size)
        for leaf, low, high, at in self._parts(first, copied * each):
            page = leaf.find(1, low, high)
            while page >= 0:
                bit = (at + page - low) // each
                bits[bit >> 3] |= 1 << (bit & 7)
                page = leaf.find(1, low + (bit + 1) * each - at, high)
        return bytes(bits)
