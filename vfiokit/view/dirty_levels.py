"""Dirty guest memory as one byte a cell: what a canvas shows many times a second.

::

    levels = DirtyLevels(recording)
    if levels.update():                       # costs what is new
        canvas.show(levels.levels, first=levels.first, each=levels.each, note=levels.note)
    levels.told(levels.first, levels.each)    # of the first cell, exactly

A level is 0 for no memory, 1 for clean, and from 2 to 255 the logarithm of how many pages were found dirty
in the cell, up to `high`. Cell i, row by row, has the *each* pages from ``first + i * each`` on, and the IOVA
``page_size`` times that.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from vfiokit.errors import AddressError
from vfiokit.recording import Recording
from vfiokit.view.dirty import What, zoomed
from vfiokit.view.dirty_cells import PAGE_SIZE, Range, Window, window
from vfiokit.view.dirty_figure import palette as counts_palette
from vfiokit.view.dirty_memory import Block, DirtyMemory, Tally
from vfiokit.view.theme import Theme, people_bytes, plain
from vfiokit.view.theme import theme as named

__all__ = ("DirtyLevels",)

_LEVELS = 254  # of counts, from 2 on
_TABLE = 1 << 16  # counts whose level is looked up


class DirtyLevels:
    """The heatmap of one side of a recording, to be drawn by somebody else. Any thread may call anything.

    :param columns: most cells in a row
    :param rows: most rows
    :param what: "times" counts how often pages were found dirty; "now", which of them were not sent since
    :param sync: the number of one sync, from 0, -1 for the last; all of them if not given
    :raises AddressError: there cannot be such a one
    :ivar levels: uint8, rows by columns; of small memory fewer than asked for, one page a cell
    :ivar counts: dirty pages a cell, int64, of that shape: exact
    :ivar first: first page shown
    :ivar pages: how many pages are shown
    :ivar each: pages in a cell
    :ivar end: page after the last of memory
    :ivar untracked: ranges, (first page, page after the last), that no device was asked for, once one was
    :ivar high: the count that has level 255; 1 or more
    :ivar note: what is shown, on one line
    """

    page_size = PAGE_SIZE

    def __init__(
        self,
        recording: Recording,
        side: str = "source",
        *,
        columns: int = 1024,
        rows: int = 1024,
        what: What = "times",
        sync: int | None = None,
    ) -> None:
        if columns < 1 or rows < 1 or what not in ("times", "now") or (sync is not None and what == "now"):
            raise AddressError(
                f"levels in {rows} x {columns} cells of what {what!r}, sync {sync}",
                hint="one cell and more; times or now, or times of one sync",
            )
        self.memory = DirtyMemory(recording, side)
        self.side, self.what, self.sync = side, what, sync
        self._most = rows, columns
        self.untracked: list[Range] = []
        self.note = ""
        self._lock = threading.RLock()
        self._range: tuple[int, int] | None = None
        self._tally = Tally(self.memory)
        self._of: tuple[Window, list[Range]] | None = None
        self._absent: NDArray[np.bool_] | None = None
        self.memory.update()
        self._count()

    def update(self, at: int | None = None) -> bool:
        """Count what is new, or go to the moment after the access *at*; return whether anything changed."""
        with self._lock:
            changed = self.memory.update(at)
            if changed:
                self._count()
            return self._note() or changed

    def zoom(self, first: int | None = None, pages: int | None = None) -> None:
        """Show *pages* pages from *first* on; without arguments all of memory.

        :raises AddressError: such a range cannot be
        """
        with self._lock:
            self._range = zoomed(self.memory, first, pages)
            self._count()

    def choose(self, *, what: What = "times", sync: int | None = None) -> None:
        """Count something else; the arguments are those of the class."""
        with self._lock:
            self.what, self.sync = what, sync
            self._count()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """RAM blocks: name, first page, pages."""
        return self.memory.blocks

    @property
    def skipped(self) -> tuple[Block, ...]:
        """Sections that the VMM mapped for no device's DMA."""
        return self.memory.skipped

    @property
    def legend(self) -> list[str]:
        """What each of the 256 levels means; all levels of counts mean the same."""
        most = f"1 to {self.high:,}" if self.high > 1 else "1"
        dirty = "not sent since" if self.what == "now" else "found dirty"
        return ["no memory", "clean", *[f"{most} pages of a cell {dirty}"] * _LEVELS]

    @staticmethod
    def palette(theme: str | Theme = "light") -> list[str]:
        """Return the colour of each of the 256 levels, ``#rrggbb``.

        :raises AddressError: there is no such theme
        """
        look = named(theme)
        colours = counts_palette(look)
        steps = (np.arange(_LEVELS) * (len(colours) - 1) / (_LEVELS - 1)).round().astype(int)
        return [look.background, look.grid, *(colours[step] for step in steps.tolist())]

    def told(self, first: int, pages: int) -> str:
        """Return on one line what is known of a cell, *pages* pages from *first* on; "" of what is none."""
        with self._lock:
            cell, rest = divmod(first - self.first, self.each)
            if rest or pages != self.each or not 0 <= cell < self.counts.size:
                return ""
            found = int(self.counts.flat[cell])
            lost = int(Window(first, first + pages, 1, 1, pages).overlap(self.untracked)[0])
        dirty = "not sent since" if self.what == "now" else "found dirty"
        parts = [
            f"{found:,} {dirty}",
            *(b.name for b in (*self.blocks, *self.skipped) if _meets(b, first, pages)),
        ]
        if lost:
            parts.append(f"{lost:,} that no device was asked for")
        return plain("; ".join(parts))

    # Counting

    def _count(self) -> None:
        self.first, self.pages = self._range or zoomed(self.memory, 0, None) or (0, 1)
        shown = window(self.first, self.pages, *self._most)
        self.each = shown.each
        if self.what == "times" and self.sync is None:
            counts = self._tally.counts(shown)
        else:
            counts = np.zeros(shown.cells, np.int64)
            spans = self.memory.now() if self.what == "now" else self.memory.sync(self.sync or 0).values()
            shown.add(spans, counts)
        self.high = max(1, int(counts.max()))
        levels = _levels(counts, self.high)
        present = self.memory.present
        if self._of != (shown, present):
            missing = shown.overlap(present) == 0
            self._of, self._absent = (shown, present), missing if missing.any() else None
        if self._absent is not None:
            levels[self._absent & (counts == 0)] = 0
        self.end = max((stop for _, stop in present), default=1)
        self.untracked = self.memory.untracked
        self.counts = counts.reshape(shown.rows, shown.columns)
        self.levels = levels.reshape(shown.rows, shown.columns)
        self._text = self._words(int(counts.sum()))
        self._note()

    def _note(self) -> bool:
        """Tell of the moment, too, which may be another one that shows the same; return whether it is."""
        moment = "" if self.memory.at is None else f"After access {self.memory.at:,}: "
        before, self.note = self.note, plain(moment + self._text)
        return self.note != before

    def _words(self, found: int) -> str:
        if not self.memory.present:
            return f"the {self.side} has recorded no memory yet"
        if self.what == "now":
            text = f"{found:,} pages dirty and not yet sent again"
        elif self.sync is not None:
            text = f"{found:,} pages found dirty in sync {self.sync}"
        else:
            count = self.memory.syncs
            text = f"{found:,} pages found dirty in {count} sync{'s' * (count != 1)}"
        lost = sum(stop - start for start, stop in self.untracked)
        track = f"; no device was asked for {people_bytes(lost * PAGE_SIZE)} of memory" if lost else ""
        cell = f"{self.each:,} page{'s' * (self.each > 1)} ({people_bytes(self.each * PAGE_SIZE)})"
        return f"{text}; one cell is {cell}{track}"


def _levels(counts: NDArray[np.int64], high: int) -> NDArray[np.uint8]:
    """Return 1 for none, else 2 for one page up to 255 for *high*, by the logarithm."""
    if high < _TABLE:
        found: NDArray[np.uint8] = _scale(np.arange(high + 1), high).take(counts)
        return found
    return _scale(counts, high)


def _scale(counts: NDArray[np.int64], high: int) -> NDArray[np.uint8]:
    part = np.log2(np.maximum(counts, 1)) / max(1.0, np.log2(high))
    return np.where(counts > 0, 2 + (part * (_LEVELS - 1)).astype(np.uint8), 1).astype(np.uint8)


def _meets(block: Block, first: int, pages: int) -> bool:
    return block.first < first + pages and first < block.first + block.pages
