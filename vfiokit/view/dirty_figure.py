"""The Bokeh models of a dirty picture: made once, given data by :mod:`vfiokit.view.dirty`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
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
    Segment,
    Text,
)
from bokeh.models.annotations import ColorBar
from bokeh.models.renderers import GlyphRenderer
from numpy.typing import NDArray

from vfiokit.view.dirty_cells import PAGE_SIZE, Window
from vfiokit.view.dirty_memory import Block
from vfiokit.view.legends import add_key
from vfiokit.view.theme import Theme, brief, hex_axis, new_figure, people_bytes

__all__ = ("PARTS", "DirtyFigure", "palette")

PARTS = ("added", "removed", "both")
"""Of two syncs compared: dirty in the second alone, in the first alone, in both."""

_HEX = "return '0x' + Math.round(value).toString(16)"
_STEPS_JS = """
const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
let value = tick * each * 4096, unit = 0
while (unit < 5 && value >= 1024) { value /= 1024; unit++ }
return `+${+value.toFixed(2)} ${units[unit]}`
"""
_CLEAR = "rgba(0,0,0,0)"
_MOST_OUTLINES = 64  # of more blocks than any VMM has, the first


def palette(look: Theme) -> list[str]:
    """Return the colours of counts, low to high; the scale's end close to the background goes."""
    return list(look.sequential[120:] if look.name == "dark" else look.sequential[:215])


class DirtyFigure:
    """The figure of a heatmap.

    :param hilbert: cells lie on a Hilbert curve, else in rows, the first on top
    :param parts: colours are those of :data:`PARTS` instead of counts
    :ivar cells: one row, of which each column is a grid: "image" and "marked" are drawn, others hovered
    """

    def __init__(self, look: Theme, title: str, *, hilbert: bool, parts: bool) -> None:
        self._hilbert = hilbert
        size: dict[str, Any] = {"height": 620, "max_width": 620} if hilbert else {"height": 440}
        self.plot = new_figure(
            look,
            title=title,
            x_label="along a Hilbert curve, from the lower left" if hilbert else "bytes into the row",
            y_label="" if hilbert else "first page frame number of the row",
            tools="pan,wheel_zoom,box_zoom,reset,save",
            x_range=Range1d(start=0, end=1),
            y_range=Range1d(start=0, end=1),
            **size,
        )
        self.plot.grid.visible = False
        self._axes()
        self.cells = ColumnDataSource({name: [] for name in ("image", "marked", "columns", "rows")})
        area: dict[str, Any] = {"x": 0, "y": 0, "dw": "columns", "dh": "rows"}
        part_colours = [look.category(number) for number in (0, 1, 3)]
        if parts:
            self.mapper: ColorMapper = LinearColorMapper(
                palette=[look.grid, *part_colours], low=-0.5, high=3.5, nan_color=_CLEAR
            )
        else:
            self.mapper = self._count_colours(look)
        heat = self.plot.add_glyph(self.cells, Image(image="image", color_mapper=self.mapper, **area))
        warn = LinearColorMapper(palette=[look.bad], low=0, high=2, nan_color=_CLEAR)
        marked = self.plot.add_glyph(
            self.cells, Image(image="marked", color_mapper=warn, global_alpha=0.4, **area)
        )
        if parts:
            for name, colour in zip(PARTS, part_colours, strict=True):
                self._swatch(name, colour, 1.0)
        self._swatch("clean", look.grid, 1.0)
        self._swatch("no device was asked", look.bad, 0.4, marked)
        self.outlines = {
            "blocks": self._outline(look, "RAM block", look.text, "solid"),
            "skipped": self._outline(look, "skipped section", look.bad, "dashed"),
        }
        self._hover(heat, parts)

    def show(self, window: Window, colours: Any, data: dict[str, Any]) -> None:
        """Draw a window of grids, int64 (rows, columns).

        :param colours: what the mapper colours, float; NaN where there is no memory
        :param data: the columns that are hovered; "first" and "untracked" are among them
        """
        marked = np.where(data["untracked"] > 0, 1.0, np.nan)
        images = {
            "image": [colours.astype(np.float32)],
            "marked": [marked.astype(np.float32)],
            "columns": [window.columns],
            "rows": [window.rows],
        }
        self.cells.data = images | {name: [_small(grid)] for name, grid in data.items()}
        self.plot.x_range.update(start=0, end=window.columns)
        top = (0, window.rows) if self._hilbert else (window.rows, 0)
        self.plot.y_range.update(start=top[0], end=top[1])
        self._ticks.args = {"first": window.first, "step": window.each * window.columns}
        self._steps.args = {"each": window.each}

    def scale(self, high: int) -> None:
        """Have colours reach to *high*."""
        self.mapper.update(low=1, high=max(2, high))
        self._bar_ticks.ticks = _ticks(max(2, high))

    def outline(self, what: str, blocks: Sequence[Block], place: Any, window: Window) -> None:
        """Draw the outlines of "blocks" or "skipped" ones, whose cells' first pages are *place*."""
        edges, names = self.outlines[what]
        edges.data, found = _outlines(blocks[:_MOST_OUTLINES], place, window)
        # In rows at the right; on the curve from the block's first cell on, towards where there is room.
        left = [self._hilbert and x * 2 <= window.columns for x in found["x"]]
        if not self._hilbert:
            found["x"] = [window.columns - 1] * len(left)
        found["x"] = [x if leads else x + 1 for x, leads in zip(found["x"], left, strict=True)]
        found["align"] = ["left" if leads else "right" for leads in left]
        found["by"] = [4 if leads else -4 for leads in left]
        names.data = found

    def _axes(self) -> None:
        self._ticks = CustomJSTickFormatter(code="return '0x' + Math.round(first + tick * step).toString(16)")
        self._steps = CustomJSTickFormatter(code=_STEPS_JS)
        for axis in self.plot.axis:
            hex_axis(axis)  # ticks at powers of two
            axis.ticker.update(desired_num_ticks=4)  # type: ignore[union-attr]
            if self._hilbert:
                axis.major_label_text_font_size = "0px"
                axis.major_tick_line_color = None
        self.plot.yaxis.formatter, self.plot.xaxis.formatter = self._ticks, self._steps

    def _outline(
        self, look: Theme, label: str, colour: str, dash: str
    ) -> tuple[ColumnDataSource, ColumnDataSource]:
        edges = ColumnDataSource({name: [] for name in ("x0", "y0", "x1", "y1")})
        names = ColumnDataSource({name: [] for name in ("x", "y", "text", "align", "by")})
        line = Segment(x0="x0", y0="y0", x1="x1", y1="y1", line_color=colour, line_width=1.5, line_dash=dash)
        text = Text(
            x="x", y="y", text="text", text_color=colour, text_font=value(look.font),
            text_font_size="12px", text_align="align",
            text_baseline="bottom" if self._hilbert else "top", x_offset="by",
            y_offset=-3 if self._hilbert else 3, background_fill_color=look.background,
            background_fill_alpha=0.8,
        )  # fmt: skip
        # The names go when the outlines do.
        add_key(self.plot, label, self.plot.add_glyph(edges, line), self.plot.add_glyph(names, text))
        return edges, names

    def _swatch(self, label: str, colour: str, alpha: float, *renderers: GlyphRenderer[Any]) -> None:
        """Give a colour of an image an entry in the legend."""
        sample = self.plot.scatter(
            [float("nan")], [float("nan")], marker="square", size=12, color=colour, fill_alpha=alpha,
            line_alpha=alpha,
        )  # fmt: skip
        add_key(self.plot, label, sample, *renderers)

    def _hover(self, heat: GlyphRenderer[Any], parts: bool) -> None:
        counts = [(name, name) for name in PARTS] if parts else [("dirty pages", "count")]
        tips = [("first page", "@first{custom}"), ("last page", "@last{custom}")]
        tips += [(label, f"@{name}{{0,0}}") for label, name in counts]
        tips += [("pages of memory", "@memory{0,0}"), ("no device asked", "@untracked{0,0}")]
        hexadecimal = CustomJSHover(code=_HEX)
        formatters: Any = {"@first": hexadecimal, "@last": hexadecimal}
        self.plot.add_tools(HoverTool(renderers=[heat], tooltips=tips, formatters=formatters))

    def _count_colours(self, look: Theme) -> ColorMapper:
        mapper = LogColorMapper(palette=palette(look), low=1, high=2, low_color=look.grid, nan_color=_CLEAR)
        self._bar_ticks = FixedTicker(ticks=[1, 2])  # no update makes models: the page knows these
        bar = ColorBar(
            color_mapper=mapper, ticker=self._bar_ticks, width=12, padding=6,
            background_fill_color=look.background,
            formatter=NumeralTickFormatter(format="0,0"),
            major_label_text_color=look.text, major_label_text_font=look.font,
            major_label_text_font_size=look.tick_size, major_tick_line_color=look.text,
        )  # fmt: skip
        self.plot.add_layout(bar, "right")
        return mapper


def _ticks(high: int) -> list[float]:
    """Return 1, 2, 5, 10 … up to *high*; of a long scale powers of ten alone."""
    steps = (1, 2, 5) if high < 10_000 else (1,)
    return [float(step * 10**power) for power in range(19) for step in steps if step * 10**power <= high]


def _small(grid: NDArray[np.int64]) -> NDArray[Any]:
    """Return numbers in the least that keeps them: the page has no 64-bit ones, doubles go to 2**53."""
    return grid.astype(np.uint32 if grid.max(initial=0) >> 32 == 0 else np.float64)


def _outlines(blocks: Sequence[Block], place: Any, window: Window) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the edges between cells of different blocks, and a name at each block's first cell."""
    owner = np.full((window.rows + 2, window.columns + 2), -1)
    inner = owner[1:-1, 1:-1]
    names: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for number, block in enumerate(blocks):
        stop = min(block.first + block.pages, window.end)
        mine = (place + window.each > block.first) & (place < stop)
        inner[mine] = number
        rows, columns = np.nonzero(mine)
        if len(rows):
            first = np.argmin(place[rows, columns])
            names["x"].append(int(columns[first]))
            names["y"].append(int(rows[first]))
            names["text"].append(f"{brief(block.name, 40)}, {people_bytes(block.pages * PAGE_SIZE)}")
    left_y, left_x = np.nonzero(owner[1:-1, :-1] != owner[1:-1, 1:])  # upright, left of a cell
    side_y, side_x = np.nonzero(owner[:-1, 1:-1] != owner[1:, 1:-1])  # level
    edges = {
        "x0": np.concatenate([left_x, side_x]), "y0": np.concatenate([left_y, side_y]),
        "x1": np.concatenate([left_x, side_x + 1]), "y1": np.concatenate([left_y + 1, side_y]),
    }  # fmt: skip
    return edges, names
