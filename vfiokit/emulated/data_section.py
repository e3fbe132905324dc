"""Where things are in the migration region: windows behind the header, each trapped or mapped.

========= ================= ================= =====================================================
kind      data window       bitmap window     besides
========= ================= ================= =====================================================
trapped   trapped           trapped
mapped    mapped            mapped
mixed     mapped            trapped           a trapped window of 64 KiB for the registers record
direct    mapped            mapped            device memory itself, mapped
========= ================= ================= =====================================================

The header is always trapped; windows are page aligned, as mmap wants them (v5 spec 1.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from vfiokit.device.base import Area
from vfiokit.emulated import model
from vfiokit.emulated.anonymous import AnonymousMemory
from vfiokit.emulated.state_memory import StateMemory

__all__ = ("DATA_KINDS", "DataSection", "Window")

DATA_KINDS = ("trapped", "mapped", "mixed", "direct")
_TAIL_SIZE = 0x10000


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of the region: *view* is its memory, *offset* counts from the region's start."""

    name: str
    offset: int
    size: int
    view: memoryview
    mapped: bool

    @property
    def end(self) -> int:
        """First byte after the window, from the region's start."""
        return self.offset + self.size


class DataSection:
    """The windows of one migration region.

    :param chunk: bytes of the data window, a multiple of 4096
    :param bitmap: bytes of bitmap given out in a round; the window has room for QEMU's extra word
    """

    def __init__(self, kind: str, chunk: int, bitmap: int, memory: StateMemory) -> None:
        self.kind = kind
        self._owned: list[AnonymousMemory] = []
        self._end = model.PAGE_SIZE
        self.data = self._add("data", chunk, kind != "trapped")
        self.bitmap = self._add("bitmap", bitmap + 8, kind in ("mapped", "direct"))
        self.registers = self._add("registers", _TAIL_SIZE, mapped=False) if kind == "mixed" else self.data
        self.memory = self._place("memory", memory.view, mapped=True) if kind == "direct" else None
        windows = (self.data, self.bitmap, self.registers, self.memory)
        self.windows = tuple({w.offset: w for w in windows if w is not None}.values())
        self.size = self._end

    def _add(self, name: str, size: int, mapped: bool) -> Window:
        memory = AnonymousMemory(-(-size // model.PAGE_SIZE) * model.PAGE_SIZE)
        self._owned.append(memory)
        return self._place(name, memory.view, mapped)

    def _place(self, name: str, view: memoryview, mapped: bool) -> Window:
        window = Window(name, self._end, view.nbytes, view, mapped)
        self._end = window.end
        return window

    @property
    def areas(self) -> tuple[Area, ...]:
        """The sparse mmap capability's areas."""
        return tuple(Area(w.offset, w.size) for w in self.windows if w.mapped)

    def find(self, offset: int, size: int) -> Window | None:
        """Return the window that has [offset, offset + size), or None."""
        for window in self.windows:
            if window.offset <= offset and offset + size <= window.end:
                return window
        return None

    def view(self, offset: int, size: int) -> memoryview:
        """Return the bytes [offset, offset + size) of the region, which lie in one window."""
        window = self.find(offset, size)
        assert window is not None
        return window.view[offset - window.offset : offset - window.offset + size]

    def close(self) -> None:
        """Let the memory go."""
        for memory in self._owned:
            memory.close()
