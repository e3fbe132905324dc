"""Chapter 5: dirty pages, patterns of workloads and what they cost."""

from __future__ import annotations

import random
from typing import Any

from vfiokit.course.exercises import OPEN, Verdict, exercise, right, wrong
from vfiokit.course.runs import MIB, as_number, finished
from vfiokit.recording import Recording
from vfiokit.recording.bitmaps import positions
from vfiokit.vmm.outgoing import Parameters

__all__ = ()

_PATTERNS = {"ring": 0, "random": 0, "hot": 64, "strided": 32}
_LIMITS = Parameters(downtime_limit_ns=20_000_000, bandwidth=25 * MIB, precopy_limit_ns=2 * 10**9)


def _run(pattern: str) -> Recording:
    """Return the recording of the chapter's workload with *pattern*."""
    address = f"emulated:v5?state=4K&dma=15M/s&pattern={pattern}&param={_PATTERNS[pattern]}&name=here"
    return finished(address, memory=16 * MIB, parameters=_LIMITS)


@exercise("05.1", "page k is bit k % 8 of byte k // 8; the first bit is page pfn")
def pages_of_bitmap(pages: Any) -> Verdict:
    """Try the reader's function on bitmaps of some lengths."""
    if not callable(pages):
        return wrong("a function is wanted: pages")
    if pages(b"\x01", 0) is ...:
        return OPEN
    chance = random.Random(5)
    for length, pfn in ((1, 0), (1, 0x1000), (8, 3), (64, 0x40000)):
        bitmap = chance.randbytes(length)
        wanted = [pfn + int(at) for at in positions(bitmap)]
        found = list(pages(bitmap, pfn))
        if sorted(found) != wanted:
            told = (
                f"pages({bitmap!r}, {pfn:#x})" if length == 1 else f"a bitmap of {length} bytes at {pfn:#x}"
            )
            return wrong(f"{told}: it gave {len(found)} pages, {len(set(found) & set(wanted))} of them right")
    return right("bit 0 first, byte after byte: as vfio and QEMU have it.")


@exercise("05.2", "a list of the four names, such as ['ring', 'random', 'hot', 'strided']")
def patterns_by_cost(answer: object) -> Verdict:
    """Compare with the bytes that the four runs sent."""
    sent = {pattern: int(_run(pattern).samples[-1].transferred) for pattern in _PATTERNS}
    wanted = sorted(sent, key=sent.__getitem__)
    if not isinstance(answer, list | tuple) or sorted(map(str, answer)) != sorted(_PATTERNS):
        return wrong(f"a list of the four names is wanted: {', '.join(_PATTERNS)}")
    if list(answer) != wanted:
        return wrong("the cheapest is the one that sent fewest bytes in all")
    return right("the same page writes a second; what differs is how many pages they hit.")


@exercise("05.3", "a window takes as long as sending it; in that time so many pages are written")
def factor_of_ring(answer: object) -> Verdict:
    """Compare with two bitmaps that a ring's device reported, one after the other."""
    counts = [int(row.count) for row in _run("ring").bitmaps if row.kind == "mark"]
    factor = counts[1] / counts[0]
    number = as_number(answer)
    if number is None:
        return wrong("a number is wanted")
    if abs(number - 1 / factor) < 0.05:
        return wrong("the other way round: the second by the first")
    if abs(number - factor) > 0.03:
        return wrong("the bitmaps say otherwise; what are the two rates?")
    return right(
        f"{counts[1]:,} / {counts[0]:,} = {factor:.3f}: below 1, so the windows shrink and it converges."
    )
