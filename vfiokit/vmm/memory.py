"""Guest memory and its dirty log.

`RamBlock` says where a block lies; `GuestMemory` holds the bytes and a dirty log of one bit a page.
Devices are given the blocks for DMA; what they wrote is marked in the log as they report it, what the
guest's CPUs wrote (`GuestMemory.write`) is marked at once.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vfiokit.errors import AddressError, RuleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("PAGE_SIZE", "GuestMemory", "RamBlock", "layout")

PAGE_SIZE = 4096
_PCI_HOLE = 0xC000_0000
_ABOVE_HOLE = 1 << 32


@dataclass(frozen=True, slots=True)
class RamBlock:
    """A block of guest memory: its name in the stream, guest physical address and size, bytes."""

    name: str
    address: int
    size: int

    @property
    def pages(self) -> int:
        """Pages of 4 KiB."""
        return self.size // PAGE_SIZE

    @property
    def first_pfn(self) -> int:
        """Guest page number of the first page."""
        return self.address // PAGE_SIZE


def layout(size: int) -> tuple[RamBlock, ...]:
    """Return a PC's memory of *size* bytes: one block below the PCI hole, the rest from 4 GiB on."""
    if size <= 0 or size % PAGE_SIZE:
        raise AddressError(f"guest memory of {size} bytes", hint=f"give a multiple of {PAGE_SIZE}, as 256M")
    below = RamBlock("pc.ram", 0, min(size, _PCI_HOLE))
    if size <= _PCI_HOLE:
        return (below,)
    return (below, RamBlock("pc.ram.high", _ABOVE_HOLE, size - _PCI_HOLE))


class GuestMemory:
    """The bytes of guest memory and the VMM's dirty log.

    :param blocks: where memory lies, in ascending order, not overlapping
    :param buffers: a writable buffer for each block; anonymous memory when not given
    """

    def __init__(self, blocks: Iterable[RamBlock], buffers: Sequence[memoryview] | None = None) -> None:
        import numpy as np

        self.blocks = tuple(blocks)
        self._maps: list[mmap.mmap] = []
        views = (
            list(buffers) if buffers is not None else [self._anonymous(block.size) for block in self.blocks]
        )
        for block, view in zip(self.blocks, views, strict=True):
            if len(view) != block.size:
                raise AddressError(f"block {block.name} of {block.size} bytes given a buffer of {len(view)}")
        self._views = {block.name: view for block, view in zip(self.blocks, views, strict=True)}
        self._pages: dict[str, NDArray[np.uint8]] = {
            name: np.frombuffer(view, np.uint8).reshape(-1, PAGE_SIZE) for name, view in self._views.items()
        }
        self._dirty: dict[str, NDArray[np.bool_]] = {
            block.name: np.zeros(block.pages, np.bool_) for block in self.blocks
        }

    def _anonymous(self, size: int) -> memoryview:
        area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._maps.append(area)
        return memoryview(area)

    @property
    def size(self) -> int:
        """All blocks together, bytes."""
        return sum(block.size for block in self.blocks)

    def view(self, block: str) -> memoryview:
        """Return the bytes of *block*, writable; writes through it are not logged."""
        return self._views[block]

    def write(self, address: int, data: bytes) -> None:
        """Write as the guest's CPUs do: guest physical *address*, logged as dirty."""
        done = 0
        for block in self.blocks:
            start = max(address, block.address)
            end = min(address + len(data), block.address + block.size)
            if start < end:
                at = start - block.address
                self._views[block.name][at : at + end - start] = data[start - address : end - address]
                self._dirty[block.name][at // PAGE_SIZE : (end - block.address - 1) // PAGE_SIZE + 1] = True
                done += end - start
        if done != len(data):
            raise AddressError(f"guest write of {len(data)} bytes at {address:#x}: not all of it is memory")

    def mark(self, pfn: int, pages: int, page_size: int, bitmap: bytes | None) -> None:
        """Mark guest pages dirty, as a device's dirty page list names them; bits past *pages* are ignored.

        Pages outside guest memory are passed over: a device may have written where memory was.
        """
        import numpy as np

        if page_size < PAGE_SIZE or page_size % PAGE_SIZE:
            raise RuleError("mark dirty", f"pages of {page_size} bytes", rule=f"multiples of {PAGE_SIZE}")
        factor = page_size // PAGE_SIZE
        first, count = pfn * factor, pages * factor
        bits: Any = None
        if bitmap is not None:
            bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little", count=pages).astype(bool)
            if factor > 1:
                bits = bits.repeat(factor)
        for block in self.blocks:
            start = max(first, block.first_pfn)
            end = min(first + count, block.first_pfn + block.pages)
            if start < end:
                place = self._dirty[block.name][start - block.first_pfn : end - block.first_pfn]
                place |= True if bits is None else bits[start - first : end - first]

    def take_log(self, block: str) -> bytes:
        """Return and clear the dirty log of *block*: one bit a page, bit k of byte k//8."""
        import numpy as np

        dirty = self._dirty[block]
        packed = np.packbits(dirty, bitorder="little").tobytes()
        dirty[:] = False
        return packed

    def read_pages(self, block: str, pages: Any) -> Any:
        """Return the pages *pages* of *block*, an array (n, 4096) of bytes; a window if they are a run."""
        store = self._pages[block]
        n = len(pages)
        if n and int(pages[-1]) - int(pages[0]) == n - 1:
            return store[int(pages[0]) : int(pages[0]) + n]
        return store[pages]

    def write_pages(self, block: str, pages: Any, data: memoryview | bytes | bytearray | None) -> None:
        """Write whole pages as a loader does; zeros when *data* is None. Not logged."""
        import numpy as np

        if data is None:
            self._pages[block][pages] = 0
        else:
            self._pages[block][pages] = np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE)

    def differences(self, other: GuestMemory) -> int:
        """Return how many pages differ between this memory and *other* of the same layout."""
        differ = 0
        for block in self.blocks:
            mine, theirs = self._pages[block.name], other._pages[block.name]
            for start in range(0, len(mine), 4096):  # 16 MiB at a time
                window = slice(start, start + 4096)
                differ += int((mine[window] != theirs[window]).any(axis=1).sum())
        return differ

    def close(self) -> None:
        """Let the memory go."""
        self._pages.clear()
        self._dirty.clear()
        for view in self._views.values():
            view.release()
        self._views.clear()
        for area in self._maps:
            area.close()
        self._maps.clear()
