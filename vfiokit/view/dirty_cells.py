"""Which guest pages were dirty, counted exactly for any grid of cells; what dirty pictures draw.

* :class:`Span` is a bitmap with its place in guest memory
* :func:`cells` counts spans into a grid, from a terabyte down to single pages
* :class:`Window` is a range of pages in cells of a power of two of pages each

Pages are 4 KiB of guest memory, numbered by guest page frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vfiokit.errors import AddressError
from vfiokit.recording.bitmaps import Bitmap, grid, merged, positions
from vfiokit.view.hilbert import order_for, place_of

__all__ = (
    "MOST_PAGES", "PAGE_SIZE", "Range", "Span", "Window", "arrange", "cells", "count_span", "outside",
    "overlap", "place_bits", "window",
)  # fmt: skip

PAGE_SIZE = 4096
MOST_PAGES = 1 << 52  # all that 64-bit addresses reach
_SPARSE = 1 << 16  # pages of a span that are put into cells one by one rather than as a bitmap
Range = tuple[int, int]  # first page, page after the last


class Span(NamedTuple):
    """Dirty pages in guest memory: bit k of byte k // 8 is page *first* + k; *bitmap* None is all of them."""

    first: int
    pages: int
    bitmap: Bitmap | None


class Window(NamedTuple):
    """Pages [first, end) in a grid: cell i has the *each* pages from ``first + i * each`` on."""

    first: int
    end: int
    rows: int
    columns: int
    each: int  # a power of two

    @property
    def cells(self) -> int:
        """How many; the last may lie beyond the end."""
        return self.rows * self.columns

    @property
    def pages(self) -> int:
        """Pages of all cells."""
        return self.cells * self.each

    def overlap(self, ranges: Iterable[Range]) -> NDArray[np.int64]:
        """Return how many pages of *ranges*, which do not overlap, are in each cell, in order of address."""
        cut = [(start, min(stop, self.end)) for start, stop in ranges if start < self.end]
        return overlap(cut, self.first, self.pages, self.cells)

    def add(self, spans: Iterable[Span], total: NDArray[np.int64]) -> None:
        """Add the dirty pages of *spans* to *total*, one number a cell in order of address."""
        for span in spans:
            cut = Span(span.first, min(span.pages, self.end - span.first), span.bitmap)
            count_span(cut, self.first, self.pages, total)


def window(first: int, pages: int, rows: int, columns: int, *, square: bool = False) -> Window:
    """Return *pages* from *first* on in at most *rows* x *columns* cells of as few pages as fit.

    :param square: as many rows as columns, both a power of two; *rows* and *columns* are so, too
    """
    each = 1 << max(0, (-(-pages // (rows * columns)) - 1).bit_length())
    needed = -(-pages // each)
    if square:
        side = 1 << ((needed - 1).bit_length() + 1) // 2
        return Window(first, first + pages, side, side, each)
    columns = min(columns, needed, max(1 << (needed.bit_length() + 1) // 2, -(-needed // rows)))
    return Window(first, first + pages, -(-needed // columns), columns, each)


def cells(
    bitmaps: Iterable[Span], first_page: int, pages: int, rows: int, columns: int, order: str = "rows"
) -> NDArray[np.int64]:
    """Return how many pages are dirty in each cell, summed over *bitmaps*: exact, (rows, columns).

    Cell i of n holds pages from ``first_page + i * pages // n`` up to that of cell i + 1.

    :param order: "rows", or "hilbert" for a square with a side of a power of two
    :raises AddressError: such a range or grid cannot be
    """
    count = rows * columns
    wide = pages * count >> 62 and (pages % count or pages >> 60)
    if first_page < 0 or pages < 1 or rows < 1 or columns < 1 or wide:
        raise AddressError(f"{pages} pages from {first_page} in {rows} x {columns} cells")
    total = np.zeros(rows * columns, np.int64)
    for span in bitmaps:
        count_span(span, first_page, pages, total)
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


def count_span(span: Span, first: int, pages: int, total: NDArray[np.int64]) -> None:
    """Add the dirty pages of *span* to *total*, the cells of *pages* pages from *first* on, by address."""
    start, stop = max(span.first, first), min(span.first + span.pages, first + pages)
    if start >= stop:
        return
    if pages % len(total) == 0:  # only the cells that it reaches
        each = pages // len(total)
        low, high = (start - first) // each, -(-(stop - first) // each)
        total, first, pages = total[low:high], first + low * each, (high - low) * each
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
        place_bits(whole, octets, begin - first, start - begin, stop - begin)
        whole = whole[:bits]
    total += grid(whole, pages, 1, len(total))[0]


def place_bits(target: NDArray[np.uint8], octets: NDArray[np.uint8], at: int, low: int, high: int) -> None:
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
    numbers = np.arange(cells + 1, dtype=np.int64)
    edges = first + (numbers * pages // cells if pages % cells else numbers * (pages // cells))
    below = np.zeros(cells + 1, np.int64)
    for start, stop in ranges:
        below += np.clip(edges, start, stop) - start
    return np.diff(below)


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
