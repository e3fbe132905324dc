"""What a vendor driver has in its hands: a device's memory in blocks, what changed, stop and run."""

from __future__ import annotations

from collections.abc import Callable

from vfiokit.emulated import model
from vfiokit.emulated.state_memory import StateMemory

__all__ = ("Hardware",)


class Hardware:
    """A device as its driver sees it. Block numbers are from 0; a block has `BLOCK` bytes.

    :param on_running: called to make the device run, or stop
    :ivar blocks: how many there are
    :ivar running: it works, so its memory may change between any two accesses
    """

    BLOCK = model.PAGE_SIZE

    def __init__(self, memory: StateMemory, on_running: Callable[[bool], None]) -> None:
        self._memory = memory
        self._on_running = on_running
        self.blocks = memory.blocks
        self.running = True
        self.taken: set[int] = set()  # since `all_changed`, or since the start

    def read(self, block: int) -> bytes:
        """Return a block's bytes."""
        at = block * self.BLOCK
        return bytes(self._memory.view[at : at + self.BLOCK])

    def write(self, block: int, data: bytes) -> None:
        """Give a block its bytes; IndexError for one that there is not, ValueError for another length."""
        if not 0 <= block < self.blocks:
            raise IndexError(f"block {block}: the device has blocks 0 to {self.blocks - 1}")
        if len(data) != self.BLOCK:
            raise ValueError(f"{len(data)} bytes for a block of {self.BLOCK}")
        at = block * self.BLOCK
        self._memory.view[at : at + self.BLOCK] = data

    def changed(self) -> int:
        """Return how many blocks changed and were not taken since."""
        return self._memory.dirty_blocks()

    def take_changed(self) -> int | None:
        """Return the number of a block that changed, which counts as unchanged from now; None if none did."""
        run = self._memory.next_run(1)
        if run is None:
            return None
        self.taken.add(run[0])
        return run[0]

    def all_changed(self) -> None:
        """Let every block count as changed."""
        self._memory.mark_all()
        self.taken.clear()

    def run(self) -> None:
        """Let the device work."""
        self._switch(True)

    def stop(self) -> None:
        """Stop the device; it has stopped when this returns."""
        self._switch(False)

    def _switch(self, running: bool) -> None:
        self.running = running
        self._on_running(running)
