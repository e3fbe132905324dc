"""Guest pages that devices reported dirty, as runs: from the bitmaps of a recording."""

from __future__ import annotations

from typing import Any

from vfiokit.recording import Recording
from vfiokit.recording.bitmaps import merged, ranges

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
    return [(start, stop - start) for start, stop in merged(found)]


def _marked(row: Any) -> list[tuple[int, int]]:
    """Return the runs of one row of the bitmaps table: first page, page after the last."""
    if row.bitmap is None:
        return [(row.pfn, row.pfn + row.pages)]
    return [(row.pfn + start, row.pfn + end) for start, end in ranges(row.bitmap, row.pages).tolist()]
