"""Device memory and the tracking of its blocks (4 KiB) that changed since they were saved.

One byte a block: 1 is dirty. Runs are handed out from a cursor that goes round, so that a block that is
always hot does not keep the others waiting.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vfiokit.emulated import model
from vfiokit.emulated.anonymous import AnonymousMemory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("StateMemory",)

_FILL = 1 << 20
_STAMP_OFFSET = 32  # in a block, behind what the workload writes
_SMALL = 4096  # blocks; below, numpy is not worth its import


class StateMemory:
    """Device memory of *size* bytes, a multiple of 4096, zeroed."""

    def __init__(self, size: int) -> None:
        self._memory = AnonymousMemory(size)
        self.size = size
        self.blocks = size // model.PAGE_SIZE
        self._dirty = bytearray(self.blocks)
        self._cursor = 0
        self._costs: dict[int, tuple[int, int]] | None = {}

    @property
    def view(self) -> memoryview:
        """The memory itself."""
        return self._memory.view

    def zero(self) -> None:
        """Make all of it zero."""
        self._memory.zero()

    def fill(self, seed: int) -> None:
        """Fill it with bytes that depend on *seed* and differ in every block."""
        pattern = random.Random(seed).randbytes(min(_FILL, self.size))
        for at in range(0, self.size, _FILL):
            part = min(_FILL, self.size - at)
            self.view[at : at + part] = pattern[:part]
        for block in range(self.blocks):
            at = block * model.PAGE_SIZE + _STAMP_OFFSET
            self.view[at : at + 8] = block.to_bytes(8, "little")

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()

    # -- tracking --

    def mark(self, block: int) -> None:
        """A block changed."""
        if not self._dirty[block]:
            self._dirty[block] = 1
            self._costs = None

    def mark_many(self, blocks: NDArray[np.uint64]) -> None:
        """Mark blocks by an array of their numbers; they may repeat."""
        import numpy as np

        np.frombuffer(self._dirty, dtype=np.uint8)[blocks] = 1
        self._costs = None

    def mark_all(self) -> None:
        """Start tracking anew: everything has to be saved."""
        self._dirty[:] = b"\1" * self.blocks
        self._cursor = 0
        self._costs = None

    def dirty_blocks(self) -> int:
        """Return how many blocks are dirty."""
        return self._dirty.count(1)

    def next_run(self, limit: int) -> tuple[int, int] | None:
        """Take the next run of dirty blocks: (first block, blocks, at most *limit*); None if all is clean."""
        start = self._dirty.find(1, self._cursor)
        if start < 0:
            start = self._dirty.find(1, 0, self._cursor)
            if start < 0:
                return None
        stop = min(start + limit, self.blocks)
        clean = self._dirty.find(0, start, stop)
        if clean >= 0:
            stop = clean
        self._dirty[start:stop] = bytes(stop - start)
        self._cursor = stop
        # One run less of those that `pending` foresaw with this limit; with another they are cut anew.
        if self._costs and limit in self._costs:
            blocks, runs = self._costs[limit]
            self._costs = {limit: (blocks - (stop - start), runs - 1)}
        else:
            self._costs = None
        return start, stop - start

    def pending(self, limit: int) -> tuple[int, int]:
        """Return (blocks, runs) that `next_run` with this *limit* would still hand out if nothing changed."""
        if self._costs is None:
            self._costs = {}
        if limit not in self._costs:
            # A run is cut where the cursor stands: it is met from there first, and from below at the end.
            halves = (self._dirty[self._cursor :], self._dirty[: self._cursor])
            self._costs[limit] = (self.dirty_blocks(), sum(_runs(half, limit) for half in halves))
        return self._costs[limit]


def _runs(flags: bytearray, limit: int) -> int:
    """Return the number of runs of ones, those longer than *limit* counted as often as they are cut."""
    if len(flags) < _SMALL:
        runs, at = 0, flags.find(1)
        while at >= 0:
            end = flags.find(0, at)
            end = len(flags) if end < 0 else end
            runs += -(-(end - at) // limit)
            at = flags.find(1, end)
        return runs
    import numpy as np

    edges = np.flatnonzero(np.diff(np.frombuffer(b"\0" + flags + b"\0", dtype=np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int((-(-lengths // limit)).sum())
