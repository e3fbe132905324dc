"""Dirty guest memory as a heatmap: pages to cells, counts exact, from a terabyte down to single pages.

::

    picture = dirty(recording, order="hilbert")
    picture.zoom(0x80000, 0x1000)        # a range of pages: counted anew, not magnified
    dirty(recording, compare=(3, 4)).save("what-changed.html")

A cell holds a power of two of pages, as few as the range allows. Colour is how many pages were found dirty
in the cell; grey is clean, no colour is no memory. RAM blocks have an outline and a name, and memory that
no device was asked for is marked: what a device dirties there nobody learns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import (
    ColorMapper,
    ColumnDataSource,
    CustomJSHover,
    CustomJSTickFormatter,
    FixedTicker,
    HoverTool,
    Image,
    LinearColorMapper,
    LogColorMapper,
    NumeralTickFormatter,
    Range1d,
    Text,
)
from bokeh.models.annotations import ColorBar
from numpy.typing import NDArray

from vfiokit.errors import AddressError
from vfiokit.recording import Recording
from vfiokit.view.dirty_cells import PAGE_SIZE, Block, DirtyMemory, Span, arrange, cells, overlap
from vfiokit.view.picture import Picture
from vfiokit.view.theme import Theme, escaped, hex_axis, new_figure, new_note, people_bytes, plain
from vfiokit.view.theme import theme as named

__all__ = ("Block", "DirtyPicture", "Span", "cells", "dirty")

Order = Literal["rows", "hilbert"]
_COLUMNS, _SIDE = 256, 128  # most cells in a row; on a side of a Hilbert curve
_HEX = "return '0x' + Math.round(value).toString(16)"
_PARTS = ("added", "removed", "both")


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
        what: Literal["times", "now"],
        sync: int | None,
        compare: tuple[int, int] | None,
    ) -> None:
        self.memory = DirtyMemory(recording, side)
        self.order, self.what, self.sync, self.compare = order, what, sync, compare
        self.side = side
        self._range: tuple[int, int] | None = None
        self.first, self.pages, self.each = 0, 1, 1
        self.counts: Any = None
        self._build(look)
        super().__init__(
            recording, column(self.plot, self.note, sizing_mode="stretch_width"), self._read, look
        )
        self.memory.update()
        self._draw()

    def zoom(self, first: int | None = None, pages: int | None = None) -> None:
        """Show *pages* pages from *first* on, counted anew; without arguments all of memory.

        :raises AddressError: such a range cannot be
        """
        if first is None and pages is None:
            self._range = None
        else:
            first, pages = first or 0, self._end() - (first or 0) if pages is None else pages
            if first < 0 or pages < 1 or first + pages > 1 << 52:
                raise AddressError(
                    f"zoom to {pages} pages from {first}", rule="page 0 and up, one page and more"
                )
            self._range = first, pages
        self._draw()

    def _read(self, at: int | None = None) -> bool:  # noqa: ARG002
        changed = self.memory.update()
        if changed:
            self._draw()
        return changed

    def _end(self) -> int:
        return max((stop for _, stop in self.memory.mapped), default=1)

    # What is shown

    def _shape(self) -> tuple[int, int]:
        """Set range and pages in a cell; return rows and columns."""
        self.first, self.pages = self._range or (0, self._end())
        most = _SIDE * _SIDE if self.order == "hilbert" else _COLUMNS * _COLUMNS // 2
        self.each = 1 << max(0, (-(-self.pages // most) - 1).bit_length())
        needed = -(-self.pages // self.each)
        if self.order == "hilbert":
            side = 1 << ((needed - 1).bit_length() + 1) // 2
            return side, side
        columns = min(_COLUMNS, 1 << (needed.bit_length() + 1) // 2)
        return -(-needed // columns), columns

    def _draw(self) -> None:
        rows, columns = self._shape()
        window = (self.first, rows * columns * self.each)

        end = self.first + self.pages  # the last cells may reach beyond it

        def count(spans: Iterable[Span]) -> NDArray[np.int64]:
            cut = (Span(s.first, min(s.pages, end - s.first), s.bitmap) for s in spans)
            return cells(cut, *window, rows, columns, self.order)

        def lie(ranges: list[tuple[int, int]]) -> NDArray[np.int64]:
            cut = [(a, min(b, end)) for a, b in ranges if a < end]
            return arrange(overlap(cut, *window, rows * columns), rows, columns, self.order)

        memory = lie(self.memory.mapped)
        first = self.first + np.arange(rows * columns, dtype=np.int64) * self.each
        place = arrange(first, rows, columns, self.order)
        data = {
            "first": place,
            "last": place + self.each - 1,
            "memory": memory,
            "untracked": lie(self.memory.untracked),
        }
        if self.compare is not None:
            self.counts = {name: count(s) for name, s in self.memory.compared(*self.compare).items()}
            data |= self.counts
            parts = np.stack([self.counts[name] for name in _PARTS])
            colours = np.where(parts.any(axis=0), parts.argmax(axis=0) + 1.0, 0.0)
        else:
            now = self.what == "now"
            self.counts = count(self.memory.now() if now else self.memory.times(self.sync))
            data["count"] = self.counts
            colours = self.counts.astype(np.float64)
            high = max(2, int(self.counts.max()))
            self.mapper.update(low=1, high=high)
            self.bar.ticker = FixedTicker(ticks=_ticks(high))
        colours[memory == 0] = np.nan
        self._show(rows, columns, colours, data)

    def _show(self, rows: int, columns: int, colours: Any, data: dict[str, Any]) -> None:
        marked = np.where(data["untracked"] > 0, 1.0, np.nan)
        images = {
            "image": [colours.astype(np.float32)],
            "marked": [marked.astype(np.float32)],
            "columns": [columns],
            "rows": [rows],
        }
        self.cells.data = images | {name: [_small(grid)] for name, grid in data.items()}
        self.plot.x_range.update(start=0, end=columns)
        down = self.order == "rows"
        self.plot.y_range.update(start=rows if down else 0, end=0 if down else rows)
        self.ticks.args = {"first": self.first, "step": self.each * columns}
        self.steps.args = {"each": self.each}
        self.edges.data, self.names.data = _outlines(self.memory.blocks, data["first"], data["memory"])
        if down:
            self.names.data["x"] = [columns] * len(self.names.data["x"])
        self.note.text = self._told(data)

    def _told(self, data: dict[str, Any]) -> str:
        if self.compare is not None:
            parts = [f"{int(data[name].sum()):,} {name}" for name in _PARTS]
            found = (
                f"dirty pages of sync {self.compare[1]} against sync {self.compare[0]}: {', '.join(parts)}"
            )
        elif self.what == "now":
            found = f"{int(data['count'].sum()):,} pages dirty and not yet sent again"
        else:
            syncs = f"{self.memory.syncs} syncs" if self.sync is None else f"sync {self.sync}"
            found = f"pages found dirty in {syncs}: {int(data['count'].sum()):,} in all"
        size = people_bytes(self.each * PAGE_SIZE)
        cell = f"one cell is {self.each:,} page{'s' * (self.each > 1)} ({size})"
        end = self.first + self.pages - 1
        memory = people_bytes(int(data["memory"].sum()) * PAGE_SIZE)
        where = f"pages {self.first:#x} to {end:#x}, {memory} of memory"
        lost = int(data["untracked"].sum())
        track = (
            f"no device was asked for {lost:,} of them ({people_bytes(lost * PAGE_SIZE)})"
            if self.memory.tracked
            else "no device was asked for dirty pages yet"
        )
        if not self.memory.mapped:
            return escaped(f"The {self.side} has recorded no dirty pages yet.")
        return escaped(f"{found}; {where}; {cell}; {track}.")

    # Models, made once

    def _build(self, look: Theme) -> None:
        hilbert = self.order == "hilbert"
        size: dict[str, Any] = {"height": 620, "max_width": 620} if hilbert else {"height": 440}
        self.plot = new_figure(
            look,
            title=f"Dirty pages, {self.side}",
            x_label="along a Hilbert curve, from the lower left" if hilbert else "bytes into the row",
            y_label="" if hilbert else "first page frame number of the row",
            tools="pan,wheel_zoom,box_zoom,reset,save",
            x_range=Range1d(start=0, end=1),
            y_range=Range1d(start=0, end=1),
            **size,
        )
        self.plot.grid.visible = False
        self.ticks = CustomJSTickFormatter(code="return '0x' + Math.round(first + tick * step).toString(16)")
        self.steps = CustomJSTickFormatter(code=_STEPS_JS)
        for axis in self.plot.axis:
            hex_axis(axis)  # ticks at powers of two
            axis.ticker.update(desired_num_ticks=4)  # type: ignore[union-attr]
            if hilbert:
                axis.major_label_text_font_size = "0px"
                axis.major_tick_line_color = None
        self.plot.yaxis.formatter, self.plot.xaxis.formatter = self.ticks, self.steps
        self.cells = ColumnDataSource({name: [] for name in ("image", "marked", "columns", "rows")})
        self.edges = ColumnDataSource({name: [] for name in ("x0", "y0", "x1", "y1")})
        self.names = ColumnDataSource({name: [] for name in ("x", "y", "text")})
        self.mapper = self._mapper(look)
        area: dict[str, Any] = {"x": 0, "y": 0, "dw": "columns", "dh": "rows"}
        heat = self.plot.add_glyph(self.cells, Image(image="image", color_mapper=self.mapper, **area))
        warn = LinearColorMapper(palette=[look.bad], low=0, high=2, nan_color="rgba(0,0,0,0)")
        marked = Image(image="marked", color_mapper=warn, global_alpha=0.4, **area)
        self.plot.add_glyph(self.cells, marked)
        self.plot.segment(
            "x0",
            "y0",
            "x1",
            "y1",
            source=self.edges,
            line_color=look.text,
            line_width=1.5,
            legend_label="RAM block",
        )
        label = Text(
            x="x", y="y", text="text", text_color=look.text, text_font=value(look.font),
            text_font_size="12px", text_align="left" if hilbert else "right",
            text_baseline="bottom" if hilbert else "top", x_offset=4 if hilbert else -4,
            y_offset=-3 if hilbert else 3, background_fill_color=look.background, background_fill_alpha=0.8,
        )  # fmt: skip
        names = self.plot.add_glyph(self.names, label)
        item: Any = self.plot.legend[0].items[-1]
        item.renderers.append(names)  # they go when the outlines do
        self._legend("no device was asked", look.bad, 0.4)
        hexadecimal = CustomJSHover(code=_HEX)
        counts = [(name, name) for name in _PARTS] if self.compare else [("dirty pages", "count")]
        tips = [("first page", "@first{custom}"), ("last page", "@last{custom}")]
        tips += [(label, f"@{name}{{0,0}}") for label, name in counts]
        tips += [("pages of memory", "@memory{0,0}"), ("no device asked", "@untracked{0,0}")]
        formatters: Any = {"@first": hexadecimal, "@last": hexadecimal}
        self.plot.add_tools(HoverTool(renderers=[heat], tooltips=tips, formatters=formatters))
        self.note = new_note(look)

    def _mapper(self, look: Theme) -> ColorMapper:
        if self.compare is not None:
            colours = [look.category(0), look.category(1), look.category(3)]
            for name, colour in zip(_PARTS, colours, strict=True):
                self._legend(name, colour, 1.0)
            palette = [look.grid, *colours]
            return LinearColorMapper(palette=palette, low=-0.5, high=3.5, nan_color="rgba(0,0,0,0)")
        # Of the scale's ends, the one close to the background is left out.
        palette = list(look.sequential[90:] if look.name == "dark" else look.sequential[:215])
        mapper = LogColorMapper(
            palette=palette, low=1, high=2, low_color=look.grid, nan_color="rgba(0,0,0,0)"
        )
        self.bar = ColorBar(
            color_mapper=mapper, width=12, padding=6, background_fill_color=look.background,
            formatter=NumeralTickFormatter(format="0,0"),
            major_label_text_color=look.text, major_label_text_font=look.font,
            major_label_text_font_size=look.tick_size, major_tick_line_color=look.text,
        )  # fmt: skip
        self.plot.add_layout(self.bar, "right")
        self._legend("clean", look.grid, 1.0)
        return mapper

    def _legend(self, label: str, colour: str, alpha: float) -> None:
        self.plot.scatter(
            [-1e9],  # out of sight
            [-1e9],
            marker="square",
            size=12,
            color=colour,
            fill_alpha=alpha,
            line_alpha=alpha,
            legend_label=label,
        )


_STEPS_JS = """
const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
let value = tick * each * 4096, unit = 0
while (unit < 5 && value >= 1024) { value /= 1024; unit++ }
return `+${+value.toFixed(2)} ${units[unit]}`
"""


def _ticks(high: int) -> list[float]:
    """Return 1, 2, 5, 10 … up to *high*; of a long scale powers of ten alone."""
    steps = (1, 2, 5) if high < 10_000 else (1,)
    return [float(step * 10**power) for power in range(19) for step in steps if step * 10**power <= high]


def _small(grid: NDArray[np.int64]) -> NDArray[Any]:
    """Return numbers in the least that keeps them: the page has no 64-bit ones, doubles go to 2**53."""
    return grid.astype(np.uint32 if grid.max(initial=0) >> 32 == 0 else np.float64)


def _outlines(blocks: tuple[Block, ...], place: Any, memory: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the edges between cells of different blocks, and a name at each block's first cell."""
    rows, columns = place.shape
    owner = np.full((rows + 2, columns + 2), -1)
    inner = owner[1:-1, 1:-1]
    names: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for number, block in enumerate(blocks):
        each = int(place.max() - place.min()) // (rows * columns - 1) if place.size > 1 else 1
        mine = (place + each > block.first) & (place < block.first + block.pages) & (memory > 0)
        inner[mine] = number
        if mine.any():
            y, x = np.unravel_index(np.where(mine, place, np.iinfo(np.int64).max).argmin(), place.shape)
            names["x"].append(int(x))
            names["y"].append(int(y))
            names["text"].append(plain(f"{block.name}, {people_bytes(block.pages * PAGE_SIZE)}"))
    left_y, left_x = np.nonzero(owner[1:-1, :-1] != owner[1:-1, 1:])  # upright, left of a cell
    side_y, side_x = np.nonzero(owner[:-1, 1:-1] != owner[1:, 1:-1])  # level
    edges = {
        "x0": np.concatenate([left_x, side_x]), "y0": np.concatenate([left_y, side_y]),
        "x1": np.concatenate([left_x, side_x + 1]), "y1": np.concatenate([left_y + 1, side_y]),
    }  # fmt: skip
    return edges, names


def dirty(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    order: Order = "rows",
    what: Literal["times", "now"] = "times",
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
