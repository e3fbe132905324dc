"""Which guest pages were dirty, counted exactly for any grid of cells; what dirty pictures draw.

* :class:`Span` is a bitmap with its place in guest memory
* :func:`cells` counts spans into a grid, from a terabyte down to single pages
* :class:`DirtyMemory` reads spans, RAM blocks and tracked ranges from a recording, as far as it is there

Pages are 4 KiB of guest memory, numbered by guest page frame. A recording names blocks, but not their
addresses: a block lies where a device was asked for dirty pages of a range of just its size, and right
behind the block before it if nobody was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vfiokit.errors import AddressError
from vfiokit.recording.bitmaps import Bitmap, difference, grid, positions
from vfiokit.view.hilbert import order_for, place_of

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("PAGE_SIZE", "Block", "DirtyMemory", "Span", "arrange", "cells", "merged", "outside", "overlap")

PAGE_SIZE = 4096
_SPARSE = 1 << 16  # pages of a span that are put into cells one by one rather than as a bitmap
Range = tuple[int, int]  # first page, page after the last


class Span(NamedTuple):
    """Dirty pages in guest memory: bit k of byte k // 8 is page *first* + k; *bitmap* None is all of them."""

    first: int
    pages: int
    bitmap: Bitmap | None


class Block(NamedTuple):
    """A RAM block: *pages* from page *first* on."""

    name: str
    first: int
    pages: int


def cells(
    bitmaps: Iterable[Span], first_page: int, pages: int, rows: int, columns: int, order: str = "rows"
) -> NDArray[np.int64]:
    """Return how many pages are dirty in each cell, summed over *bitmaps*: exact, (rows, columns).

    Cell i of n holds pages from ``first_page + i * pages // n`` up to that of cell i + 1.

    :param order: "rows", or "hilbert" for a square with a side of a power of two
    :raises AddressError: such a range or grid cannot be
    """
    if first_page < 0 or pages < 1 or rows < 1 or columns < 1 or pages * rows * columns >> 62:
        raise AddressError(f"{pages} pages from {first_page} in {rows} x {columns} cells")
    total = np.zeros(rows * columns, np.int64)
    for span in bitmaps:
        _count(span, first_page, pages, total)
    return arrange(total, rows, columns, order)


def arrange(values: NDArray[Any], rows: int, columns: int, order: str) -> NDArray[Any]:
    """Return one value a cell, in order of address, as the grid (rows, columns).

    :raises AddressError: there is no such order, or no Hilbert curve of this shape
    """
    if order == "rows":
        return values.reshape(rows, columns)
    if order != "hilbert":
        raise AddressError(f"there is no order {order!r} of pages", hint="rows, hilbert")
    if rows != columns or rows & (rows - 1):
        raise AddressError(
            f"a Hilbert curve in {rows} x {columns} cells", rule="a square with a side of a power of two"
        )
    x, y = place_of(np.arange(rows * columns), order_for(rows * columns))
    result = np.empty((rows, columns), values.dtype)
    result[y, x] = values
    return result


def _count(span: Span, first: int, pages: int, total: NDArray[np.int64]) -> None:
    start, stop = max(span.first, first), min(span.first + span.pages, first + pages)
    if start >= stop:
        return
    if span.bitmap is None:
        total += overlap([(start, stop)], first, pages, len(total))
        return
    octets = np.frombuffer(span.bitmap, np.uint8)[(start - span.first) // 8 : -(-(stop - span.first) // 8)]
    begin = start - (start - span.first) % 8  # the page of the first bit
    if stop - start <= _SPARSE:
        found = positions(octets, stop - begin) + begin
        found = found[found >= start] - first
        # The last cell i with i * pages // n <= page.
        total += np.bincount(((found + 1) * len(total) - 1) // pages, minlength=len(total))
        return
    whole = octets
    if start != first or stop != first + pages or begin != start:
        bits = -(-pages // 8)
        whole = np.zeros(bits + 1, np.uint8)
        _place(whole, octets, begin - first, start - begin, stop - begin)
        whole = whole[:bits]
    total += grid(whole, pages, 1, len(total))[0]


def _place(target: NDArray[np.uint8], octets: NDArray[np.uint8], at: int, low: int, high: int) -> None:
    """Put bits [low, high) of *octets* into *target*, bit 0 at bit *at*, which may be below 0."""
    octets = octets.copy()
    octets[:1] &= 0xFF << low & 0xFF
    if high % 8 and high // 8 < len(octets):
        octets[high // 8] &= (1 << high % 8) - 1
    byte, shift = divmod(at, 8)
    if shift:
        moved = np.zeros(len(octets) + 1, np.uint8)
        moved[:-1] = octets << np.uint8(shift)
        moved[1:] |= octets >> np.uint8(8 - shift)
        octets = moved
    skip = max(0, -byte)
    octets = octets[skip:]
    end = min(len(target), byte + skip + len(octets))
    target[byte + skip : end] |= octets[: end - byte - skip]


def overlap(ranges: Iterable[Range], first: int, pages: int, cells: int) -> NDArray[np.int64]:
    """Return how many pages of *ranges*, which do not overlap, are in each cell, in order of address."""
    edges = first + np.arange(cells + 1, dtype=np.int64) * pages // cells
    below = np.zeros(cells + 1, np.int64)
    for start, stop in ranges:
        below += np.clip(edges, start, stop) - start
    return np.diff(below)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the same pages as ranges that ascend and do not touch."""
    result: list[Range] = []
    for start, stop in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(stop, result[-1][1])
        elif start < stop:
            result.append((start, stop))
    return result


def outside(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """Return the parts of *ranges* that are in none of *others*."""
    result, holes = [], merged(others)
    for first, stop in merged(ranges):
        at = first
        for low, high in holes:
            if high <= at or low >= stop:
                continue
            if low > at:
                result.append((at, low))
            at = max(at, high)
        if at < stop:
            result.append((at, stop))
    return result


class DirtyMemory:
    """What the bitmaps of one side of a recording tell; `update` reads what has come since.

    :ivar tracked: ranges that a device was asked for, or marked pages of; they do not overlap
    """

    def __init__(self, recording: Recording, side: str) -> None:
        self.recording, self.side = recording, side
        self.tracked: list[Range] = []
        self._asked: list[Range] = []  # whole requests, in order
        self._sizes: dict[str, int] = {}
        self._syncs: dict[str, list[bytes]] = {}
        self._now: dict[str, NDArray[np.uint8]] = {}
        self._marks: list[Span] = []
        self._seen = {"bitmaps": 0, "events": 0}

    def update(self) -> bool:
        """Read on; return whether anything came."""
        new = {name: self._new_rows(name) for name in self._seen}
        for row in new["events"]:
            if row.name == "vfio_get_dirty_page_list" and len(row.args) == 3:
                first, pages, size = row.args
                asked = first * size // PAGE_SIZE, -(-(first + pages) * size // PAGE_SIZE)
                if asked not in self._asked:
                    self._asked.append(asked)
                    self.tracked = merged([*self.tracked, asked])
        for row in new["bitmaps"]:
            self._bitmap(row)
        return any(new.values())

    def _new_rows(self, name: str) -> list[Any]:
        table = self.recording.tables[name]
        seen, self._seen[name] = self._seen[name], len(table)
        return [row for row in table.rows(seen, self._seen[name]) if row.side == self.side]

    def _bitmap(self, row: Any) -> None:
        if row.kind == "mark":
            factor = max(1, row.page_size // PAGE_SIZE)
            first, pages, bitmap = row.pfn * factor, row.pages * factor, row.bitmap
            if factor > 1 and bitmap is not None:
                bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
                bitmap = np.packbits(np.repeat(bits, factor), bitorder="little")
            self.tracked = merged([*self.tracked, (first, first + pages)])
            self._marks.append(Span(first, pages, bitmap))
            return
        size = max(self._sizes.get(row.block, 0), row.pfn + row.pages)
        self._sizes[row.block] = size
        now = self._now.get(row.block, np.zeros(0, np.uint8))
        if len(now) * 8 < size:
            now = np.concatenate([now, np.zeros(-(-size // 8) - len(now), np.uint8)])
            self._now[row.block] = now
        if row.kind == "sync":
            self._syncs.setdefault(row.block, []).append(row.bitmap)
            now[: len(row.bitmap)] |= np.frombuffer(row.bitmap, np.uint8)
        elif row.kind == "pages":
            sent = np.zeros(len(now) + 1, np.uint8)
            octets = np.frombuffer(row.bitmap, np.uint8)
            _place(sent, octets, row.pfn, 0, min(row.pages, len(octets) * 8))
            now &= ~sent[:-1]

    @property
    def syncs(self) -> int:
        """Syncs of the dirty log so far."""
        return max(map(len, self._syncs.values()), default=0)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """RAM blocks in the order they came; a size nobody was asked for is up to a multiple of 8 pages."""
        found: list[Block] = []
        end = 0
        for name, pages in self._sizes.items():
            fitting = [(a, b) for a, b in self._asked if a >= end and b - a <= pages < b - a + 8]
            first, stop = min(fitting, default=(end, end + pages))
            found.append(Block(name, first, stop - first))
            end = stop
        return tuple(found)

    @property
    def mapped(self) -> list[Range]:
        """Where memory is: the blocks, or if none is known what is tracked."""
        return [(b.first, b.first + b.pages) for b in self.blocks] or self.tracked

    @property
    def untracked(self) -> list[Range]:
        """Memory that no device was asked for, once one was asked."""
        return outside(self.mapped, self.tracked) if self.tracked else []

    def times(self, sync: int | None = None, after: int = 0) -> Iterator[Span]:
        """Yield what syncs found dirty: one sync, or all from *after* on; without any, what was marked."""
        if not self._syncs:
            yield from self._marks if sync is None else ()
            return
        for block in self.blocks:
            bitmaps: Sequence[bytes] = self._syncs.get(block.name, ())
            if sync is not None:
                bitmaps = bitmaps[sync : sync + 1] if sync != -1 else bitmaps[-1:]
            for bitmap in bitmaps[after:]:
                yield Span(block.first, block.pages, bitmap)

    def now(self) -> Iterator[Span]:
        """Yield what a sync found dirty that was not read since, to be sent."""
        for block in self.blocks:
            yield Span(block.first, block.pages, self._now[block.name].copy())

    def compared(self, one: int, other: int) -> dict[str, list[Span]]:
        """Return pages dirty in sync *other* alone ("added"), in *one* alone ("removed"), and in both."""
        result: dict[str, list[Span]] = {"added": [], "removed": [], "both": []}
        for block in self.blocks:
            bitmaps = self._syncs.get(block.name, [])
            if not all(-len(bitmaps) <= number < len(bitmaps) for number in (one, other)):
                continue
            old, new = bitmaps[one], bitmaps[other]
            added = difference(new, old)
            pairs = {"added": added, "removed": difference(old, new), "both": difference(new, added)}
            for name, bitmap in pairs.items():
                result[name].append(Span(block.first, block.pages, bitmap))
        return result
