"""Anonymous memory: cheap to take by the gigabyte, zeroed when it is first touched."""

from __future__ import annotations

import mmap

__all__ = ("AnonymousMemory",)


class AnonymousMemory:
    """*size* bytes of private anonymous memory, page aligned; ``view`` is a writable memoryview."""

    def __init__(self, size: int) -> None:
        # Python's default is MAP_SHARED, which MADV_DONTNEED would not zero (madvise(2)).
        self._mmap = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._mmap)
        self.size = size

    def zero(self) -> None:
        """Give the pages back; they read as zeros again. Views stay valid."""
        self._mmap.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Let the memory go, or leave that to the last view somebody still holds."""
        try:
            self.view.release()
            self._mmap.close()
        except BufferError:
            return
