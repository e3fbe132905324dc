"""The vendor driver while SAVING: what is left, and staging it chunk by chunk (v5 spec 1.6, 2.1, 2.2).

A staged chunk is a copy, but for device memory handed out in place (``data=direct``), which happens only
while the device stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vfiokit.emulated import model
from vfiokit.emulated.data_section import DataSection
from vfiokit.emulated.record import REGISTERS_PAYLOAD, Head, payload_crc
from vfiokit.emulated.state_memory import StateMemory

__all__ = ("Chunk", "Saving")

_HEAD = model.RECORD_HEAD_SIZE


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk in the region: where, how long."""

    place: int
    size: int


class Saving:
    """Stages records of device memory and, when stopped, of the registers.

    :param registers: returns the payload of the registers record
    """

    def __init__(
        self,
        section: DataSection,
        memory: StateMemory,
        registers: Callable[[], bytes],
        *,
        integrity: bool,
    ) -> None:
        self._section = section
        self._memory = memory
        self._registers = registers
        self._integrity = integrity
        self._copied_limit = (section.data.size - _HEAD) // model.PAGE_SIZE
        self._direct_limit = section.data.size // model.PAGE_SIZE
        self.drop()

    def drop(self) -> None:
        """Forget all that is staged."""
        self.chunk: Chunk | None = None  # what the VMM may read now
        self._taken = True  # whether its size was read
        self._raw: tuple[int, int] | None = None  # device memory announced by a head: offset, length
        self._raw_copy: bytes | None = None
        self._registers_due = True
        self._registers_staged = False

    def begin(self) -> None:
        """SAVING was entered: everything has to go."""
        self.drop()
        self._memory.mark_all()

    def runs_again(self) -> None:
        """RUNNING came back without SAVING having ended: nothing may be read in place any more."""
        self._registers_due = True
        if self._registers_staged and not self._taken:
            self.chunk = None
        if self._raw is not None and self._raw_copy is None:
            offset, length = self._raw
            self._raw_copy = bytes(self._memory.view[offset : offset + length])
        area = self._section.memory
        if self.chunk and area and not self._taken and self.chunk.place >= area.offset:
            at = self.chunk.place - area.offset
            data = self._section.data
            data.view[: self.chunk.size] = self._memory.view[at : at + self.chunk.size]
            self.chunk = Chunk(data.offset, self.chunk.size)

    def _in_place(self, running: bool) -> bool:
        return self._section.memory is not None and not running

    def pending(self, *, running: bool) -> int:
        """Return the bytes, heads included, that would be delivered if nothing changed. No side effects."""
        limit = self._direct_limit if self._in_place(running) else self._copied_limit
        blocks, runs = self._memory.pending(limit)
        total = blocks * model.PAGE_SIZE + runs * _HEAD
        if self.chunk and not self._taken:
            total += self.chunk.size
        if self._raw:
            total += self._raw[1]
        if not running and self._registers_due:
            total += _HEAD + REGISTERS_PAYLOAD
        return total

    def stage(self, *, running: bool) -> int:
        """Stage the next chunk, unless one waits whose size was not read yet; return its place."""
        if self._taken or self.chunk is None:
            self._registers_staged = False
            self.chunk = self._next(running)
            self._taken = False
        return self.chunk.place

    def size(self) -> int:
        """Return the size of the staged chunk, 0 if there is none. The chunk counts as taken now."""
        self._taken = True
        return self.chunk.size if self.chunk else 0

    def _next(self, running: bool) -> Chunk:
        data = self._section.data
        if self._raw is not None:
            return self._raw_chunk(*self._raw)
        in_place = self._in_place(running)
        run = self._memory.next_run(self._direct_limit if in_place else self._copied_limit)
        if run is not None:
            offset, length = run[0] * model.PAGE_SIZE, run[1] * model.PAGE_SIZE
            payload = self._memory.view[offset : offset + length]
            if in_place:
                self._raw = (offset, length)
                data.view[:_HEAD] = self._head(model.KIND_MEMORY_NEXT, offset, payload)
                return Chunk(data.offset, _HEAD)
            data.view[:_HEAD] = self._head(model.KIND_MEMORY, offset, payload)
            data.view[_HEAD : _HEAD + length] = payload
            return Chunk(data.offset, _HEAD + length)
        if not running and self._registers_due:
            self._registers_due, self._registers_staged = False, True
            window, image = self._section.registers, self._registers()
            record = self._head(model.KIND_REGISTERS, 0, image) + image
            window.view[: len(record)] = record
            return Chunk(window.offset, len(record))
        return Chunk(data.offset, 0)

    def _raw_chunk(self, offset: int, length: int) -> Chunk:
        copy, self._raw, self._raw_copy = self._raw_copy, None, None
        if copy is None:
            assert self._section.memory is not None
            return Chunk(self._section.memory.offset + offset, length)
        self._section.data.view[:length] = copy
        return Chunk(self._section.data.offset, length)

    def _head(self, kind: int, offset: int, payload: bytes | memoryview) -> bytes:
        crc = payload_crc(payload) if self._integrity else None
        return Head(kind, offset, len(payload), self._memory.size, crc).pack()
