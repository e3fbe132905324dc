"""Dirty bitmaps with numpy: count, union, difference, runs, any grid, rates.

A bitmap is bytes, or a uint8 array: page k is bit k % 8 of byte k // 8, as vfio and QEMU have it. *pages*
is its length in pages; what is in the last byte beyond it does not count. A terabyte of 4 KiB pages is
32 MiB; nothing here unpacks a bitmap as a whole, so memory for a few megabytes more is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("Bitmap", "count", "difference", "grid", "merged", "positions", "ranges", "rates", "union")

Bitmap: TypeAlias = "bytes | bytearray | memoryview | NDArray[np.uint8]"

_BLOCK = 1 << 17  # words worked on at once: a megabyte, which stays in the cache


def _words(bitmap: Bitmap, pages: int | None) -> NDArray[np.uint64]:
    """Return the bitmap as 64-bit words, bit 0 first; a view where its length allows."""
    import numpy as np

    octets = np.frombuffer(bitmap, np.uint8)
    if pages is not None:
        octets = octets[: -(-pages // 8)]
    cut = pages is not None and pages < len(octets) * 8
    if len(octets) % 8 or cut or octets.ctypes.data % 8:
        whole = np.zeros(-(-len(octets) // 8) * 8, np.uint8)
        whole[: len(octets)] = octets
        if cut and pages is not None:
            whole[pages // 8] &= (1 << pages % 8) - 1
        octets = whole
    return octets.view("<u8")


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return how many bits are set in each word."""
    import numpy as np

    if hasattr(np, "bitwise_count"):  # numpy 2
        found: NDArray[np.uint8] = np.bitwise_count(words)
        return found
    # In parallel within the word: pairs, nibbles, bytes (Hacker's Delight, 5-1).
    two, four, eight = (np.uint64(n) for n in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    words = words - (words >> np.uint64(1) & two)
    words = (words & four) + (words >> np.uint64(2) & four)
    words = (words + (words >> np.uint64(4))) & eight
    return (words * np.uint64(0x0101010101010101) >> np.uint64(56)).astype(np.uint8)


def count(bitmap: Bitmap, pages: int | None = None) -> int:
    """Return how many pages are dirty."""
    words = _words(bitmap, pages)
    return sum(int(_bits(words[at : at + _BLOCK]).sum(dtype="u4")) for at in range(0, len(words), _BLOCK))


def union(bitmap: Bitmap, *others: Bitmap) -> NDArray[np.uint8]:
    """Return the pages that are dirty in any; a shorter one is clean beyond its end."""
    import numpy as np

    arrays = [np.frombuffer(one, np.uint8) for one in (bitmap, *others)]
    result = np.zeros(max(map(len, arrays)), np.uint8)
    for array in arrays:
        result[: len(array)] |= array
    return result


def difference(bitmap: Bitmap, other: Bitmap) -> NDArray[np.uint8]:
    """Return the pages that are dirty in *bitmap* and not in *other*."""
    import numpy as np

    result = np.frombuffer(bitmap, np.uint8).copy()
    others = np.frombuffer(other, np.uint8)[: len(result)]
    result[: len(others)] &= ~others
    return result


def positions(bitmap: Bitmap, pages: int | None = None) -> NDArray[np.int64]:
    """Return the dirty pages' numbers, ascending."""
    import numpy as np

    words = _words(bitmap, pages)
    some = np.flatnonzero(words)
    bits = np.unpackbits(words[some].view(np.uint8), bitorder="little")
    at = np.flatnonzero(bits)
    found: NDArray[np.int64] = some[at >> 6] * 64 + (at & 63)
    return found


def ranges(bitmap: Bitmap, pages: int | None = None) -> NDArray[np.int64]:
    """Return the runs of dirty pages: an array (runs, 2) of first page and page after the last."""
    import numpy as np

    words = _words(bitmap, pages)
    # A bit is set where a page differs from the one before; the first word has none before.
    changes = np.empty(len(words) + 1, np.uint64)
    np.left_shift(words, np.uint64(1), out=changes[:-1])
    changes[:-1] ^= words
    changes[1:-1] ^= words[:-1] >> np.uint64(63)
    changes[-1] = words[-1] >> np.uint64(63) if len(words) else 0
    return positions(changes.astype("<u8", copy=False).view(np.uint8)).reshape(-1, 2)


def merged(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same pages as runs that ascend and do not touch.

    :param runs: first page and page after the last, in any order; they may overlap
    """
    result: list[tuple[int, int]] = []
    for start, stop in sorted(runs):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(stop, result[-1][1])
        elif start < stop:
            result.append((start, stop))
    return result


def grid(bitmap: Bitmap, pages: int, rows: int, columns: int) -> NDArray[np.int64]:
    """Return how many pages are dirty in each cell of a grid, row by row: exact, (rows, columns).

    Cell i of n holds the pages from ``i * pages // n`` up to ``(i + 1) * pages // n``.

    :raises ValueError: a grid without cells
    """
    import numpy as np

    cells = rows * columns
    if rows < 1 or columns < 1:
        raise ValueError(f"a grid of {rows} x {columns} cells")
    words = _words(bitmap, pages)
    if pages == cells * 64 * (pages // cells // 64) and len(words) * 64 == pages and pages:
        return _even(words, pages // cells // 64, cells).reshape(rows, columns)
    if pages in (cells << shift for shift in range(6)) and len(words) * 64 >= pages:
        return _small(words, pages, pages // cells).reshape(rows, columns)
    numbers = np.arange(cells + 1, dtype=object if cells * pages >> 62 else np.int64)
    edges = (numbers * pages // cells).astype(np.int64)
    return np.diff(_below(words, edges)).reshape(rows, columns)


def _small(words: NDArray[np.uint64], pages: int, each: int) -> NDArray[np.int64]:
    """Cells of *each* pages, a power of two below 64: bits or bytes, added in pairs until they are cells."""
    import numpy as np

    octets = words.view(np.uint8)
    if each < 8:
        unit, found = 1, np.unpackbits(octets, count=pages, bitorder="little")
    else:
        table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
        unit, found = 8, table[octets[: -(-pages // 8)]]
    while unit < each:
        found = found[::2] + found[1::2]
        unit *= 2
    return found.astype(np.int64)


def _even(words: NDArray[np.uint64], each: int, cells: int) -> NDArray[np.int64]:
    """Cells of *each* whole words."""
    import numpy as np

    result = np.empty(cells, np.int64)
    step = max(1, _BLOCK // each)
    low, eight = np.uint64(0x00FF00FF00FF00FF), np.uint64(8)
    ones, top = np.uint64(0x0001000100010001), np.uint64(48)
    for at in range(0, cells, step):
        bits = _bits(words[at * each : (at + step) * each])
        if each == 4:  # 256 in a cell: pairs of 16 bits, then of 32
            pairs = bits.view("<u4")
            pairs = (pairs & np.uint32(0x00FF00FF)) + (pairs >> np.uint32(8) & np.uint32(0x00FF00FF))
            result[at : at + step] = (pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))
            continue
        if each % 8 or each * 64 > 0xFFFF:
            result[at : at + step] = bits.reshape(-1, each).sum(axis=1, dtype=np.int64)
            continue
        # Eight counts are added as one word: a byte holds three of at most 64, 16 bits a whole cell.
        eights = bits.view(np.uint64).reshape(-1, each // 8)
        total: Any = np.uint64(0)
        for column in range(0, each // 8, 3):
            three = eights[:, column]
            for other in range(column + 1, min(column + 3, each // 8)):
                three = three + eights[:, other]
            total = total + (three & low) + (three >> eight & low)
        result[at : at + step] = total * ones >> top
    return result


def _below(words: NDArray[np.uint64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many bits are set below each edge, a page number; edges ascend."""
    import numpy as np

    at = edges >> 6
    starts, where = np.unique(at, return_inverse=True)
    sums = np.zeros(len(starts), np.int64)
    inner = starts[starts < len(words)]
    if len(inner):
        sums[: len(inner)] = np.add.reduceat(_bits(words), inner, dtype=np.int64)
    before = np.concatenate(([0], np.cumsum(sums)[:-1]))[where]
    rest = (edges & 63).astype(np.uint64)
    inside = np.flatnonzero(rest)
    part = words[at[inside]] & ((np.uint64(1) << rest[inside]) - np.uint64(1))
    before[inside] += _bits(part)
    return before


def rates(
    bitmaps: Iterable[Bitmap], seconds: float, pages: int, *, first: int = 0, stop: int | None = None
) -> NDArray[np.float32]:
    """Return how often a second each page was found dirty, in several bitmaps taken over *seconds*.

    :param first: look at pages [first, stop) only; of a terabyte the whole takes 1 GiB
    :raises ValueError: *seconds* is not positive
    """
    import numpy as np

    if seconds <= 0:
        raise ValueError(f"rates over {seconds} s")
    stop = pages if stop is None else min(stop, pages)
    first = min(max(first, 0), stop)
    result = np.zeros(stop - first, np.float32)
    base = first // 8
    for bitmap in bitmaps:
        octets: Any = np.frombuffer(bitmap, np.uint8)[base : -(-stop // 8)]
        for at in range(0, len(octets), _BLOCK):
            bits = np.unpackbits(octets[at : at + _BLOCK], bitorder="little")
            begin = (base + at) * 8 - first
            bits = bits[max(0, -begin) : stop - first - begin]
            begin = max(0, begin)
            result[begin : begin + len(bits)] += bits
    result /= np.float32(seconds)
    return result
