"""Guest pages that devices reported dirty, as runs: from the bitmaps of a recording."""

from __future__ import annotations

from typing import Any

from vfiokit.recording import Recording
from vfiokit.recording.bitmaps import ranges

__all__ = ("dirtied",)


def dirtied(recording: Recording, side: str, end: int) -> list[tuple[int, int]]:
    """Return the runs of pages that were reported dirty on *side* before the access *end*.

    Each is (first page number, pages), of 4 KiB or as the device was asked for; all reports taken together.
    """
    found: list[tuple[int, int]] = []
    for row in recording.bitmaps:
        if row.seq >= end:
            break
        if row.kind == "mark" and row.side == side:
            found += _marked(row)
    return _merged(found)


def _marked(row: Any) -> list[tuple[int, int]]:
    """Return the runs of one row of the bitmaps table: first page, page after the last."""
    if row.bitmap is None:
        return [(row.pfn, row.pfn + row.pages)]
    return [(row.pfn + start, row.pfn + end) for start, end in ranges(row.bitmap, row.pages).tolist()]


def _merged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return runs that may overlap as runs that do not: first page, pages."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(runs):
        if merged and start <= sum(merged[-1]):
            first, pages = merged[-1]
            merged[-1] = (first, max(pages, end - first))
        else:
            merged.append((start, end - start))
    return merged
