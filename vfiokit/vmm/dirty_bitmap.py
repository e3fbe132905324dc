"""The migration's own bitmap of one RAM block: which pages are still to be sent.

Packed, one bit a page, so that a terabyte of guest memory takes 32 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("DirtyBitmap",)

_WINDOW = 1 << 13  # bytes looked at in one go when the next pages are sought


class DirtyBitmap:
    """A bitmap of *pages* bits, bit k of byte k//8 first; all of them set at the start."""

    def __init__(self, pages: int) -> None:
        import numpy as np

        self.pages = pages
        self._bits: NDArray[np.uint8] = np.full(-(-pages // 8), 0xFF, np.uint8)
        if pages % 8:
            self._bits[-1] = (1 << pages % 8) - 1
        self.count = pages
        self._from = 0  # no byte before this one has a bit set

    def merge(self, log: bytes) -> int:
        """OR *log*, packed alike, into the bitmap; return how many pages are newly dirty."""
        import numpy as np

        self._bits |= np.frombuffer(log, np.uint8)
        before, self.count = self.count, _popcount(self._bits)
        self._from = 0
        return self.count - before

    def take(self, most: int) -> Any:
        """Return up to *most* dirty pages in ascending order, an int64 array, and clear their bits."""
        import numpy as np

        found: list[Any] = []
        left = most
        while left and self.count and self._from < len(self._bits):
            window = self._bits[self._from : self._from + _WINDOW]
            bits = np.unpackbits(window, bitorder="little")
            pages = np.flatnonzero(bits)[:left]
            if len(pages):
                found.append(pages + self._from * 8)
                bits[pages] = 0
                window[:] = np.packbits(bits, bitorder="little")
                left -= len(pages)
                self.count -= len(pages)
            if left:
                self._from += len(window)
        return np.concatenate(found) if found else np.empty(0, np.int64)


def _popcount(bits: Any) -> int:
    import numpy as np

    if hasattr(np, "bitwise_count"):  # numpy 2
        return int(np.bitwise_count(bits).sum(dtype=np.int64))
    return sum(int(window.sum()) for window in _unpacked(bits))


def _unpacked(bits: Any) -> Any:
    import numpy as np

    return (np.unpackbits(bits[at : at + (1 << 20)]) for at in range(0, len(bits), 1 << 20))
