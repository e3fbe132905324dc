"""Dirty guest memory as a heatmap: pages to cells, counts exact, from a terabyte down to single pages.

::

    picture = dirty(recording, order="hilbert")
    picture.zoom(0x80000, 0x1000)        # a range of pages: counted anew, not magnified
    picture.update(at=1234)              # as it was after that access
    dirty(recording, compare=(3, 4)).save("what-changed.html")

A cell holds a power of two of pages, as few as the range allows. Colour is how many pages were found dirty
in the cell; grey is clean, no colour is no memory. RAM blocks and the sections that the VMM skipped have an
outline and a name, and memory that no device was asked for is marked: what a device dirties there nobody
learns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from bokeh.layouts import column
from numpy.typing import NDArray

from vfiokit.errors import AddressError
from vfiokit.recording import Recording
from vfiokit.view.dirty_cells import MOST_PAGES, PAGE_SIZE, Span, Window, arrange, cells, window
from vfiokit.view.dirty_figure import PARTS, DirtyFigure
from vfiokit.view.dirty_memory import Block, DirtyMemory, Tally
from vfiokit.view.picture import Picture
from vfiokit.view.theme import Theme, brief, escaped, new_note, people_bytes
from vfiokit.view.theme import theme as named

__all__ = ("Block", "DirtyPicture", "Order", "Span", "What", "cells", "dirty", "zoomed")

Order = Literal["rows", "hilbert"]
What = Literal["times", "now"]
_NAMES = 5  # of blocks, in a note
_COLUMNS, _SIDE = 256, 128  # most cells in a row; on a side of a Hilbert curve


class DirtyPicture(Picture):
    """The heatmap of `dirty`.

    :ivar first: first page shown
    :ivar pages: how many are shown
    :ivar each: pages in a cell
    :ivar counts: dirty pages a cell, int64 (rows, columns); what the picture shows. With *compare* a
        dict of three, by "added", "removed", "both"
    """

    def __init__(
        self,
        recording: Recording,
        look: Theme,
        side: str,
        order: Order,
        what: What,
        sync: int | None,
        compare: tuple[int, int] | None,
    ) -> None:
        self.memory = DirtyMemory(recording, side)
        self.order, self.what, self.sync, self.compare = order, what, sync, compare
        self.side = side
        self._range: tuple[int, int] | None = None
        self._tally = Tally(self.memory)
        self.first, self.pages, self.each = 0, 1, 1
        self.counts: Any = None
        parts = compare is not None
        self.figure = DirtyFigure(look, f"Dirty pages, {side}", hilbert=order == "hilbert", parts=parts)
        self.note = new_note(look)
        root = column(self.figure.plot, self.note, sizing_mode="stretch_width")
        super().__init__(recording, root, self._read, look)
        self.memory.update()
        self._draw()

    def zoom(self, first: int | None = None, pages: int | None = None) -> None:
        """Show *pages* pages from *first* on, counted anew; without arguments all of memory.

        :raises AddressError: such a range cannot be
        """
        self._range = zoomed(self.memory, first, pages)
        self._draw()

    def _read(self, at: int | None = None) -> bool:
        changed = self.memory.update(at)
        if changed:
            self._draw()
        return self._note() or changed

    # What is shown

    def _window(self) -> Window:
        self.first, self.pages = self._range or zoomed(self.memory, 0, None) or (0, 1)
        hilbert = self.order == "hilbert"
        most = (_SIDE, _SIDE) if hilbert else (_COLUMNS // 2, _COLUMNS)
        shown = window(self.first, self.pages, *most, square=hilbert)
        self.each = shown.each
        return shown

    def _draw(self) -> None:
        shown = self._window()

        def lie(values: NDArray[Any]) -> NDArray[Any]:
            return arrange(values, shown.rows, shown.columns, self.order)

        place = lie(shown.first + np.arange(shown.cells, dtype=np.int64) * shown.each)
        memory = lie(shown.overlap(self.memory.present))
        untracked = lie(shown.overlap(self.memory.untracked))
        data = {"first": place, "last": place + shown.each - 1, "memory": memory, "untracked": untracked}
        if self.compare is not None:
            compared = self.memory.compared(*self.compare)
            self.counts = {name: lie(self._count(spans, shown)) for name, spans in compared.items()}
            data |= self.counts
            parts = np.stack([self.counts[name] for name in PARTS])
            colours = np.where(parts.any(axis=0), parts.argmax(axis=0) + 1.0, 0.0)
        else:
            self.counts = data["count"] = lie(self._counted(shown)).copy()
            colours = self.counts.astype(np.float64)
            self.figure.scale(int(self.counts.max()))
        colours[memory == 0] = np.nan
        self.figure.show(shown, colours, data)
        self.figure.outline("blocks", self.memory.blocks, place, shown)
        self.figure.outline("skipped", self.memory.skipped, place, shown)
        self._text = self._told(data)
        self._note()

    def _note(self) -> bool:
        """Tell of the moment, too, which may be another one that shows the same; return whether it is."""
        moment = "" if self.memory.at is None else f"After access {self.memory.at:,}: "
        before, self.note.text = self.note.text, escaped(moment + self._text)
        return bool(self.note.text != before)

    def _counted(self, shown: Window) -> NDArray[np.int64]:
        if self.what == "now":
            return self._count(self.memory.now(), shown)
        if self.sync is not None:
            return self._count(self.memory.sync(self.sync).values(), shown)
        return self._tally.counts(shown)

    @staticmethod
    def _count(spans: Iterable[Span], shown: Window) -> NDArray[np.int64]:
        total = np.zeros(shown.cells, np.int64)
        shown.add(spans, total)
        return total

    def _told(self, data: dict[str, Any]) -> str:
        places = _unplaced(self.memory)
        if not self.memory.present:
            return f"the {self.side} has recorded no dirty pages yet{places}."
        if self.compare is not None:
            parts = [f"{int(data[name].sum()):,} {name}" for name in PARTS]
            found = (
                f"dirty pages of sync {self.compare[1]} against sync {self.compare[0]}: {', '.join(parts)}"
            )
        elif self.what == "now":
            found = f"{int(data['count'].sum()):,} pages dirty and not yet sent again"
        else:
            count = self.memory.syncs
            syncs = f"{count} sync{'s' * (count != 1)}" if self.sync is None else f"sync {self.sync}"
            found = f"pages found dirty in {syncs}: {int(data['count'].sum()):,} in all"
        chosen = self.compare or (() if self.sync is None else (self.sync,))
        found += "".join(
            f"; there is no sync {number} yet" for number in chosen if not self.memory.sync(number)
        )
        size = people_bytes(self.each * PAGE_SIZE)
        cell = f"one cell is {self.each:,} page{'s' * (self.each > 1)} ({size})"
        end = self.first + self.pages - 1
        memory = people_bytes(int(data["memory"].sum()) * PAGE_SIZE)
        where = f"pages {self.first:#x} to {end:#x}, {memory} of memory"
        lost = int(data["untracked"].sum())
        if not self.memory.tracked:
            track = "no device was asked for dirty pages yet"
        elif lost:
            track = f"no device was asked for {lost:,} of them ({people_bytes(lost * PAGE_SIZE)})"
        else:
            track = "a device was asked for each of them"
        return f"{found}; {where}; {cell}; {track}{places}."


def _unplaced(memory: DirtyMemory) -> str:
    names = memory.unplaced
    if not names:
        return ""
    some = ", ".join(brief(name, 40) for name in names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
    return f"; not shown: {some}, of which the recording does not tell where they lie"


def zoomed(memory: DirtyMemory, first: int | None, pages: int | None) -> tuple[int, int] | None:
    """Return a range to be shown, (first page, pages); None, for all of memory, without either.

    :raises AddressError: such a range cannot be
    """
    if first is None and pages is None:
        return None
    first = first or 0
    if pages is None:
        pages = max((stop for _, stop in memory.present), default=1) - first
    if first < 0 or pages < 1 or first + pages > MOST_PAGES:
        raise AddressError(f"zoom to {pages} pages from {first}", rule="page 0 and up, one page and more")
    return first, pages


def dirty(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    order: Order = "rows",
    what: What = "times",
    sync: int | None = None,
    compare: tuple[int, int] | None = None,
) -> DirtyPicture:
    """Return the heatmap of a side's dirty memory.

    :param order: cells in "rows", or on a "hilbert" curve, which keeps neighbours together
    :param what: "times" counts how often pages were found dirty; "now", which of them were not sent since
    :param sync: the number of one sync, from 0, -1 for the last; all of them if not given
    :param compare: two syncs: which pages are dirty in the second alone, the first alone, in both
    :raises AddressError: there is no such theme, order or *what*, or two of the choices exclude each other
    """
    if order not in ("rows", "hilbert") or what not in ("times", "now"):
        raise AddressError(f"order {order!r}, what {what!r}", hint="order rows or hilbert, what times or now")
    if (sync is not None) + (compare is not None) + (what == "now") > 1:
        raise AddressError(
            "a picture of what is dirty now, of one sync and of two", hint="choose one of them"
        )
    return DirtyPicture(recording, named(theme), side, order, what, sync, compare)
