"""The live heatmap: a terabyte's bitmap in cells, a frame for the canvas, a look at a live table."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.measure import Pair, pair, timed
from vfiokit import accesses as a
from vfiokit.recording import Recording, Section, bitmaps
from vfiokit.view.dirty_levels import DirtyLevels

PAGES = (1 << 40) // 4096
GUEST = (4 << 30) // 4096  # pages of 4 GiB
SIDE = 1024
NEW = 1000  # accesses between two looks
MS = "{:.2f} ms"


def rows() -> Iterator[Pair]:
    """Cells, levels, looks."""
    yield from _cells()
    yield from _levels()
    for behind in (100_000, 1_000_000):
        yield _look("accesses", behind, lambda number: a.Read("dev0", 9, 8, 8, f"r{number % 7}"))
        yield _look("events", behind, lambda number: a.Emit("vfio_save_iterate", ("dev0", number)))


def _cells() -> Iterator[Pair]:
    bitmap = os.urandom(PAGES // 8)
    words = np.frombuffer(bitmap, np.uint64)

    def reduced() -> None:
        assert int(bitmaps.grid(bitmap, PAGES, SIDE, SIDE).sum()) > 0

    text = "bitmap of 1 TiB (32 MiB) to 1024 x 1024 / read once"
    yield pair(text, reduced, words.sum, rounds=21, scale=1e3, unit=MS)


def _levels() -> Iterator[Pair]:
    """One sync of a guest of 4 GiB: read from the live recording, counted, and made levels."""
    recording = Recording()
    recording.place("source", [Section("ram", "pc.ram", 0, GUEST * 4096)], 0)
    levels = DirtyLevels(recording, columns=SIDE, rows=SIDE)
    bitmap = os.urandom(GUEST // 8)

    def update() -> None:
        recording.access("source", a.SyncLog("pc.ram"), bitmap, None, 0, 0)
        assert levels.update()

    def cells() -> None:
        bitmaps.grid(bitmap, GUEST, SIDE, SIDE)

    text = "a new sync of 4 GiB in the canvas's levels / its cells alone"
    yield pair(text, update, cells, rounds=21, scale=1e3, unit=MS)


def _look(table: str, behind: int, access: Callable[[int], a.Access]) -> Pair:
    """A look that finds NEW rows, with many behind it and with a chunk's half."""
    recordings = (Recording(), Recording())
    numbers = [
        _appended(recording, 0, count, access)
        for recording, count in zip(recordings, (behind, 8_000), strict=True)
    ]
    times: list[tuple[float, float]] = []
    for _ in range(21):
        found = []
        for which, recording in enumerate(recordings):
            numbers[which] = _appended(recording, numbers[which], NEW, access)
            found.append(timed(recording.tables[table].to_arrow))
        times.append((found[0], found[1]))
    return Pair(
        f"look at {NEW} new {table}, {behind:,} behind / 8,000 behind",
        statistics.median(one for one, _ in times) * 1e3,
        statistics.median(other for _, other in times) * 1e3,
        statistics.median(other / one for one, other in times),
        MS,
    )


def _appended(recording: Recording, first: int, count: int, access: Callable[[int], a.Access]) -> int:
    """Append and return the number of the next; the first rows are looked at, as a panel does."""
    for number in range(first, first + count):
        made = access(number)
        result = number if isinstance(made, a.Read) else None
        recording.access("source", made, result, None, number, 1)
    if first == 0:
        for table in recording.tables.values():
            table.to_arrow()
    return first + count
