"""What a recording tells of one side's guest memory and its dirty pages, up to any moment.

`DirtyMemory.update` reads on and costs what is new; the bitmaps stay in the recording. Where memory lies is
known from the start, whatever the moment; what was asked for, marked, synced and sent, as of the moment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vfiokit.recording.bitmaps import difference, merged, ranges
from vfiokit.view.dirty_cells import MOST_PAGES, PAGE_SIZE, Range, Span, Window, outside, place_bits

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("Block", "DirtyMemory", "Tally")

_ASKED = "vfio_get_dirty_page_list"  # name, first page, pages, page size: v5 spec 7.2


class Block(NamedTuple):
    """A RAM block, or a section that the VMM skipped: *pages* from page *first* on."""

    name: str
    first: int
    pages: int


class _Found(NamedTuple):
    """A row of `bitmaps`: its access, its number there, and what it is about, in pages of 4 KiB."""

    seq: int
    row: int
    kind: str
    block: str
    first: int
    pages: int
    factor: int  # pages of 4 KiB in one of the bitmap's


class DirtyMemory:
    """One side of a recording.

    :ivar blocks: RAM blocks, as the VMM laid them out
    :ivar skipped: sections that it mapped for no device's DMA
    :ivar at: number of the access whose moment this is; None for the newest
    """

    def __init__(self, recording: Recording, side: str) -> None:
        self.recording, self.side = recording, side
        self.blocks: tuple[Block, ...] = ()
        self.skipped: tuple[Block, ...] = ()
        self.at: int | None = None
        self._given: list[Range] = []  # mapped for DMA
        self._places: dict[str, Block] = {}
        self._asked: dict[Range, int] = {}  # with the access that asked first
        self._syncs: list[_Found] = []
        self._by_block: dict[str, list[_Found]] = {}
        self._marks: list[_Found] = []
        self._moves: list[_Found] = []  # syncs and pages read, in order
        self._now: dict[str, NDArray[np.uint8]] = {}
        self._moved = 0
        self._seen = {"blocks": 0, "events": 0, "bitmaps": 0}
        self._bitmaps: Any = None
        self._shown: Any = (0, 0, 0, (), (), [], [])  # nothing

    def update(self, at: int | None = None) -> bool:
        """Read on, and go to the moment after the access *at*; return whether it shows anything else."""
        self.at = at
        self._read_blocks()
        self._read_asked()
        self._read_bitmaps()
        found = (self._until(facts) for facts in (self._syncs, self._marks, self._moves))
        shown = (*found, self.blocks, self.skipped, self._given, self.tracked)
        changed = bool(shown != self._shown)
        self._shown = shown
        return changed

    def _until(self, facts: list[_Found]) -> int:
        """Return how many of *facts*, in order, are known at the moment."""
        return len(facts) if self.at is None else bisect_right(facts, self.at, key=lambda fact: fact.seq)

    # Reading

    def _new(self, name: str) -> Any:
        """Return the rows of a table that came since the last time, and where they begin."""
        start = self._seen[name]
        if len(self.recording.tables[name]) == start:
            return None, start
        tail = self.recording.tables[name].tail(start)
        self._seen[name] += len(tail)
        return tail, start

    def _read_blocks(self) -> None:
        tail, _ = self._new("blocks")
        if tail is None:
            return
        for row in tail:
            first, stop = row.address // PAGE_SIZE, -(-(row.address + row.size) // PAGE_SIZE)
            if row.side != self.side or first >= stop or stop > MOST_PAGES:
                continue
            block = Block(row.name, first, stop - first)
            if row.kind == "mapped":
                self._given = merged([*self._given, (first, stop)])
            elif row.kind == "skipped":
                self.skipped = (*(b for b in self.skipped if b != block), block)
            else:
                self._places[row.name] = block
        self.blocks = tuple(sorted(self._places.values(), key=lambda block: block.first))

    def _read_asked(self) -> None:
        tail, _ = self._new("events")
        if tail is None:
            return
        chosen = (tail.column("name") == _ASKED) & (tail.column("side") == self.side)
        for at in np.flatnonzero(chosen).tolist():
            row = tail[at]
            if len(row.args) == 3:
                first, pages, size = row.args
                start, stop = first * size // PAGE_SIZE, -(-(first + pages) * size // PAGE_SIZE)
                if start < stop <= MOST_PAGES:
                    self._ask(start, stop, row.seq)

    def _ask(self, start: int, stop: int, seq: int) -> None:
        self._asked[start, stop] = min(seq, self._asked.get((start, stop), seq))

    def _read_bitmaps(self) -> None:
        tail, start = self._new("bitmaps")
        if tail is None:
            return
        self._bitmaps = self.recording.bitmaps.to_arrow()["bitmap"]
        names = ("seq", "kind", "block", "pfn", "pages", "page_size")
        columns = [tail.column(name) for name in names]
        for at in np.flatnonzero(tail.column("side") == self.side).tolist():
            seq, kind, block, pfn, pages, size = (column[at] for column in columns)
            factor = max(1, int(size) // PAGE_SIZE)
            first, count = int(pfn) * factor, int(pages) * factor
            if not count or first + count > MOST_PAGES or (block is None and kind != "mark"):
                continue
            found = _Found(int(seq), start + at, kind, block, first, count, factor)
            if kind == "mark":
                self._marks.append(found)
                self._ask(first, first + count, found.seq)
            elif kind == "sync":
                self._syncs.append(found)
                self._by_block.setdefault(block, []).append(found)
                self._moves.append(found)
            elif kind == "pages":
                self._moves.append(found)

    def _octets(self, found: _Found) -> NDArray[np.uint8] | None:
        """Return a view of the bitmap in the recording; None: all pages are set."""
        buffer = self._bitmaps[found.row].as_buffer()
        return None if buffer is None else np.frombuffer(buffer, np.uint8)

    def _spans(self, found: _Found, block: Block | None = None) -> Iterator[Span]:
        octets = self._octets(found)
        first = found.first if block is None else block.first
        pages = found.pages if block is None else min(block.pages, found.pages)
        if octets is not None:
            pages = min(pages, len(octets) * 8 * found.factor)
        if octets is None or found.factor == 1:
            yield Span(first, pages, octets)
            return
        for start, stop in (ranges(octets, pages // found.factor) * found.factor).tolist():
            yield Span(first + start, stop - start, None)

    # What is known at the moment

    @property
    def syncs(self) -> int:
        """Syncs of the dirty log so far."""
        return max((self._until(found) for found in self._by_block.values()), default=0)

    @property
    def tracked(self) -> list[Range]:
        """Ranges that a device was asked for, or marked pages of; they do not overlap."""
        return merged(pages for pages, seq in self._asked.items() if self.at is None or seq <= self.at)

    @property
    def present(self) -> list[Range]:
        """Where memory is: the blocks; of a recording that has none, what is ever tracked."""
        return merged([(b.first, b.first + b.pages) for b in self.blocks] or self._asked)

    @property
    def untracked(self) -> list[Range]:
        """Memory given to a device for DMA that no device was asked for, once one was asked."""
        tracked = self.tracked
        return outside(self._given or self.present, tracked) if tracked else []

    @property
    def unplaced(self) -> list[str]:
        """Names of blocks that were synced, of which the recording does not tell where they lie."""
        return sorted(self._by_block.keys() - self._places.keys())

    @property
    def counted(self) -> tuple[str, int]:
        """What `times` counts and how much of it there is: "syncs", or without any "marks"."""
        syncs = self._until(self._syncs)
        return ("syncs", syncs) if syncs else ("marks", self._until(self._marks))

    def times(self, what: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what "syncs" or "marks" number [start, stop) found dirty, over all blocks."""
        for found in (self._syncs if what == "syncs" else self._marks)[start:stop]:
            block = self._places.get(found.block) if what == "syncs" else None
            if what == "marks" or block is not None:
                yield from self._spans(found, block)

    def sync(self, number: int) -> dict[str, Span]:
        """Return what one sync found dirty, block by block: from 0, or from the last, -1."""
        result: dict[str, Span] = {}
        for block in self.blocks:
            syncs = self._by_block.get(block.name, [])
            syncs = syncs[: self._until(syncs)]
            if -len(syncs) <= number < len(syncs):
                for span in self._spans(syncs[number], block):
                    result[block.name] = span
        return result

    def compared(self, one: int, other: int) -> dict[str, list[Span]]:
        """Return pages dirty in sync *other* alone ("added"), in *one* alone ("removed"), and in both."""
        result: dict[str, list[Span]] = {"added": [], "removed": [], "both": []}
        before, after = self.sync(one), self.sync(other)
        for name in before.keys() & after.keys():
            first, pages, _ = after[name]
            old, new = (span.bitmap for span in (before[name], after[name]))
            if old is None or new is None:
                continue  # a sync has a bitmap
            added = difference(new, old)
            pairs = {"added": added, "removed": difference(old, new), "both": difference(new, added)}
            for kind, bitmap in pairs.items():
                result[kind].append(Span(first, pages, bitmap))
        return result

    def now(self) -> Iterator[Span]:
        """Yield what a sync found dirty that was not read since, to be sent."""
        stop = self._until(self._moves)
        if stop < self._moved:
            self._moved, self._now = 0, {}
        for found in self._moves[self._moved : stop]:
            self._move(found)
        self._moved = stop
        for block in self.blocks:
            now = self._now.get(block.name)
            if now is not None:
                yield Span(block.first, min(block.pages, len(now) * 8), now)

    def _move(self, found: _Found) -> None:
        octets = self._octets(found)
        if octets is None:
            return  # both have a bitmap
        now = self._now.get(found.block, np.zeros(0, np.uint8))
        if found.kind == "sync":
            if len(now) < len(octets):
                more = np.zeros(len(octets) - len(now), np.uint8)
                now = self._now[found.block] = np.concatenate([now, more])
            now[: len(octets)] |= octets
            return
        begin = found.first // 8
        part = now[begin : begin + len(octets) + 1]
        sent = np.zeros(len(octets) + 1, np.uint8)
        place_bits(sent, octets, found.first % 8, 0, min(found.pages, len(octets) * 8))
        part &= ~sent[: len(part)]


class Tally:
    """Counts of how often pages were found dirty, a cell of a window; to move costs what lies between."""

    def __init__(self, memory: DirtyMemory) -> None:
        self._memory = memory
        self._of: Any = None
        self._done = 0
        self._total: NDArray[np.int64] = np.zeros(0, np.int64)

    def counts(self, window: Window) -> NDArray[np.int64]:
        """Return one count a cell, in order of address; it is the tally's own and changes with it."""
        what, stop = self._memory.counted
        if self._of != (window, what, self._memory.blocks) or stop < self._done // 2:
            self._of = (window, what, self._memory.blocks)
            self._done, self._total = 0, np.zeros(window.cells, np.int64)
        if stop >= self._done:
            window.add(self._memory.times(what, self._done, stop), self._total)
        else:
            less = np.zeros(window.cells, np.int64)
            window.add(self._memory.times(what, stop, self._done), less)
            self._total -= less
        self._done = stop
        return self._total
