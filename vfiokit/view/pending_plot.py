"""The figure of convergence: lines of pending bytes, the threshold, throughput, phases, the downtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, DataRange1d, LinearAxis, Range, Range1d
from bokeh.plotting import figure

from vfiokit.view.legends import add_key
from vfiokit.view.theme import (
    Theme,
    add_hover,
    brief,
    bytes_axis,
    new_figure,
    style_axis,
    time_axis,
)

if TYPE_CHECKING:
    from bokeh.models.renderers import GlyphRenderer

    from vfiokit.view.link import Link

__all__ = ("PendingPlot",)

_LONGEST = 14  # letters of a handler's name in the legend
_TAPPED = 12  # pixels around a point of a line where a tap chooses it
_LINE = ("seq", "x", "bytes", "time", "text", "turn")


class PendingPlot:
    """The figure and its sources.

    :ivar strips: phases
    :ivar rate: throughput
    :ivar span: the downtime
    :ivar turns: the samples, where there are few enough to mark them
    """

    def __init__(self, look: Theme, side: str, x_range: Range | None, link: Link | None) -> None:
        self.look, self.link = look, link
        self.plot = self._new_plot(side, x_range)
        self._lines: dict[str, ColumnDataSource] = {}
        self._renderers: list[GlyphRenderer[Any]] = []
        self.strips = self._new_phases()
        self.rate = self._new_rate()
        self.span = self._new_span()
        self.turns = ColumnDataSource({name: [] for name in _LINE})
        if link is not None:
            link.cursor(self.plot, look)

    def _new_plot(self, side: str, x_range: Range | None) -> figure:
        self._bytes = DataRange1d(start=0, range_padding=0.35)
        plot = new_figure(
            self.look,
            title=f"Convergence: pending bytes of the {side}",
            x_label="time since the first record",
            y_label="pending",
            height=420,
            x_range=x_range or DataRange1d(range_padding=0.03),
            y_range=self._bytes,
        )
        time_axis(plot.xaxis[0])
        bytes_axis(plot.yaxis[0])
        # A range from 0 to 1 places what belongs to times alone.
        self._rates = DataRange1d(start=0, range_padding=0.8)
        plot.extra_y_ranges = {"rate": self._rates, "whole": Range1d(start=0, end=1)}
        axis = LinearAxis(y_range_name="rate", axis_label="throughput (dotted)")
        style_axis(axis, self.look)
        bytes_axis(axis, per_second=True)
        plot.add_layout(axis, "right")
        return plot

    def _new_phases(self) -> ColumnDataSource:
        names = ("x0", "x1", "name", "color", "time", "length")
        source = ColumnDataSource({name: [] for name in names})
        strip = self.plot.vstrip(
            x0="x0",
            x1="x1",
            source=source,
            fill_color="color",
            fill_alpha=0.16,
            line_color="color",
            line_alpha=0.5,
            legend_field="name",
            level="underlay",
        )
        add_hover(self.plot, [strip], [("phase", "name"), ("from", "time"), ("for", "length")])
        return source

    def _new_rate(self) -> ColumnDataSource:
        source = ColumnDataSource({"x": [], "rate": [], "time": [], "text": [], "measured": []})
        line = self.plot.step(
            "x",
            "rate",
            source=source,
            mode="before",
            y_range_name="rate",
            color=self.look.muted,
            line_dash="dotted",
            line_width=2,
        )
        add_key(self.plot, "throughput", line)
        self._rates.renderers = [line]
        add_hover(
            self.plot, [line], [("time", "time"), ("throughput", "text"), ("the loop measured", "measured")]
        )
        return source

    def _new_span(self) -> ColumnDataSource:
        names = ("x0", "x1", "at", "align", "label", "text")
        source = ColumnDataSource({name: [] for name in names})
        common: dict[str, Any] = {"source": source, "y_range_name": "whole"}
        ends = self.plot.segment("x0", 0.9, "x1", 0.9, line_width=6, color=self.look.bad, **common)
        add_key(self.plot, "downtime", ends)
        self.plot.text(
            "at",
            0.92,
            text="label",
            text_align="align",
            text_baseline="bottom",
            text_color=self.look.text,
            text_font=value(self.look.font),
            text_font_size=self.look.label_size,
            **common,
        )
        add_hover(self.plot, [ends], [("downtime", "text")])
        return source

    def line(self, name: str) -> ColumnDataSource:
        """Return the source of a line, which is drawn the first time that it is asked for."""
        if name in self._lines:
            return self._lines[name]
        source = ColumnDataSource({name: [] for name in _LINE})
        color, width, dash = self.look.category(len(self._lines)), 2.0, "solid"
        if name == "total":
            color, width = self.look.text, 3.0
        elif name == "threshold":
            color, dash = self.look.bad, "dashed"
        label = f"pending {brief(name.removeprefix('pending '), _LONGEST)}" if " " in name else name
        self._lines[name] = source
        line = self.plot.line(
            "x",
            "bytes",
            source=source,
            color=color,
            line_width=width,
            line_dash=dash,
            legend_label=label,
        )
        shown: list[GlyphRenderer[Any]] = [line]
        if name == "total":
            turns = self.plot.scatter("x", "bytes", source=self.turns, size=7, color=color)
            add_key(self.plot, "turn of the loop", turns)
            shown.append(turns)
        add_hover(self.plot, shown, [("turn", "turn"), ("time", "time"), (label, "text")])
        if self.link is not None:
            # A line has no points to tap on, so they lie over it unseen.
            points = self.plot.scatter("x", "bytes", source=source, size=_TAPPED, alpha=0)
            self.link.tap(self.plot, points)
            line.selection_glyph = line.nonselection_glyph = None
        self._renderers += shown
        self._bytes.renderers = list(self._renderers)
        return source
