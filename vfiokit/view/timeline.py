"""Trace events and accesses over time, on a lane a device and side; from seconds down to microseconds.

An access is a bar as long as it took, with a mark where it began, so that those of no length are seen;
refused ones are crosses. What no device is named in (the stream, pages, the clock) has the lane "vmm".
When there are more than the cap, those that are shown are spread over the whole run, or are the newest, as
the picture says. With the newest, only what is new is read and sent to the page, as a live one needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range

from vfiokit.view.legends import add_key
from vfiokit.view.marks import COLUMNS, of_accesses, of_events, spread
from vfiokit.view.picture import Picture, origin_ns, row_counts, texts
from vfiokit.view.theme import Theme, add_hover, escaped, new_figure, new_note, theme, time_axis

if TYPE_CHECKING:
    from vfiokit.recording import Recording
    from vfiokit.recording.tables import Table
    from vfiokit.view.link import Link

__all__ = ("MARKS", "timeline")

MARKS = 20_000  # accesses and events together, that a page draws well


def timeline(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    marks: int = MARKS,
    newest: bool = False,
    x_range: Range | None = None,
    link: Link | None = None,
) -> Picture:
    """Return the picture of all accesses and trace events.

    :param marks: at most as many are drawn, half of them accesses, half events. A live page of a fast device
        wants fewer, as all that are new go to the browser ten times a second: 4000
    :param newest: draw the newest, which costs what is new. Else they are spread over the run: evenly over
        time and over the accesses, and every refused access first
    :param x_range: the time axis of another picture, to be linked with it
    :param link: shares the moment with other pictures: a tap on a mark chooses it
    :raises AddressError: there is no such theme
    """
    drawn = _Timeline(recording, _theme(theme), marks, newest, x_range, link)
    picture = Picture(recording, drawn.root, drawn.refresh, drawn.look, link)
    picture.update()
    return picture


_theme = theme


class _Timeline:
    def __init__(
        self,
        recording: Recording,
        look: Theme,
        marks: int,
        newest: bool,
        x_range: Range | None,
        link: Link | None,
    ) -> None:
        self.recording, self.look, self.half = recording, look, max(1, marks // 2)
        self.newest = newest
        self._seen: tuple[int, ...] | None = None
        self._accesses_read = self._events_read = 0  # rows
        self._refused_rows = np.zeros(0, np.int64)  # of those shown
        self._named: set[str | None] = set()  # devices that the accesses name
        self._known: set[str] = set()
        self.said = new_note(look)
        self.factors = FactorRange()
        self.accesses, self.refused, self.events = (
            ColumnDataSource({name: [] for name in COLUMNS}) for _ in range(3)
        )
        self.plot = new_figure(
            look,
            title="Timeline: accesses and trace events",
            x_label="time since the first record",
            y_label="",
            tools="xpan,xwheel_zoom,box_zoom,reset,save",
            active_scroll="xwheel_zoom",
            output_backend="webgl",
            x_range=x_range or DataRange1d(range_padding=0.03),
            y_range=self.factors,
        )
        time_axis(self.plot.xaxis[0])
        self._draw(link)
        self.root = column(self.said, self.plot, sizing_mode="stretch_width")

    def _draw(self, link: Link | None) -> None:
        look, plot = self.look, self.plot
        blue, orange = look.categories[:2]
        bars = plot.hbar(
            y="lane", left="x", right="end", height=0.3, source=self.accesses, color=blue, alpha=0.6
        )
        starts = plot.scatter(
            "x", "lane", source=self.accesses, marker="dash", angle=np.pi / 2, size=14, color=blue
        )
        crosses = plot.scatter(
            "x", "lane", source=self.refused, marker="x", size=13, line_width=3, color=look.bad
        )
        events = plot.scatter("x", "lane", source=self.events, marker="diamond", size=9, color=orange)
        add_key(plot, "access", bars, starts)
        add_key(plot, "refused access", crosses)
        add_key(plot, "trace event", events)
        tips = [("what", "what"), ("lane", "lane"), ("at", "time"), ("took", "for"), ("came back", "text")]
        add_hover(plot, [bars, starts], tips, limit=5)
        add_hover(plot, [crosses], tips, limit=5)
        tips = [("event", "what"), ("lane", "lane"), ("at", "time"), ("arguments", "text")]
        add_hover(plot, [events], tips, limit=5)
        if link is not None:
            link.tap(plot, bars, starts, crosses, events)
            link.cursor(plot, look)

    def refresh(self, at: int | None = None) -> bool:  # noqa: ARG002  all is shown at any moment
        counts = row_counts(self.recording)
        if counts == self._seen:
            return False
        self._seen = counts
        origin = origin_ns(self.recording)
        if self.newest:
            accesses, events = self._read_accesses(origin), self._read_events(origin)
        else:
            accesses, events = self._spread(origin)
        lanes = {
            lane for source in (self.accesses, self.refused, self.events) for lane in source.data["lane"]
        }
        order = sorted(lanes, key=lambda lane: (lane.endswith("(src)"), lane))
        if order != list(self.factors.factors):
            self.factors.factors = order
            self.plot.height = 150 + 46 * max(2, len(order))
        self.plot.visible = bool(order)
        self.said.text = _words(*accesses, *events, self.newest)
        return True

    def _spread(self, origin: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Show what there is anew; return how many accesses and events are shown, and how many there are."""
        accesses, events = self.recording.accesses.tail(0), self.recording.events.tail(0)
        refused = np.flatnonzero(accesses.valid("error")) if len(accesses) else ()
        some = accesses.take(spread(accesses.column("time_ns"), self.half, refused))
        few = events.take(spread(events.column("time_ns"), self.half))
        columns, wrong = of_accesses(some, origin)
        self.accesses.data = {name: values[~wrong] for name, values in columns.items()}
        self.refused.data = {name: values[wrong] for name, values in columns.items()}
        self.events.data = of_events(few, origin, self._devices(accesses))
        return (len(some), len(accesses)), (len(few), len(events))

    def _devices(self, *tables: Table) -> set[str]:
        """Return the devices that are named; "vm" and "migration" are none."""
        self._named.update(*(texts(table, "device").tolist() for table in tables))
        return {*self._named, *texts(self.recording.states, "machine").tolist()} - {None, "vm", "migration"}

    def _read_accesses(self, origin: int) -> tuple[int, int]:
        """Read on; return how many are shown, and how many there are."""
        first, rows = _newest(self.recording.accesses, self._accesses_read, self.half)
        total = self._accesses_read = first + len(rows)
        shown = min(total, self.half)
        if len(rows):
            self._devices(rows)
            columns, wrong = of_accesses(rows, origin)
            numbers = np.concatenate([self._refused_rows, first + np.flatnonzero(wrong)])
            self._refused_rows = numbers[numbers >= total - shown]
            refused = len(self._refused_rows)
            _append(self.accesses, {name: some[~wrong] for name, some in columns.items()}, shown - refused)
            _append(self.refused, {name: some[wrong] for name, some in columns.items()}, refused)
        return shown, total

    def _read_events(self, origin: int) -> tuple[int, int]:
        """Read on; return how many are shown, and how many there are."""
        known = self._devices()
        if known != self._known:  # whose lane an event is on may be told only now
            self._known, self._events_read = known, 0
            self.events.data = {name: [] for name in COLUMNS}
        first, rows = _newest(self.recording.events, self._events_read, self.half)
        total = self._events_read = first + len(rows)
        shown = min(total, self.half)
        if len(rows):
            _append(self.events, of_events(rows, origin, known), shown)
        return shown, total


def _newest(table: Table, seen: int, most: int) -> tuple[int, Table]:
    """Return the newest of the rows from *seen* on, at most as many, and the number of the first."""
    first = max(seen, len(table) - most)
    return first, table.tail(first)


def _append(source: ColumnDataSource, new: dict[str, Any], keep: int) -> None:
    """Append rows to a source, and let the oldest go until *keep* are left."""
    count = len(new["x"])
    if not count and len(source.data["x"]) <= keep:
        return
    if count >= keep:
        source.data = {name: values[count - keep :] for name, values in new.items()}
    else:
        source.stream(new, rollover=keep)


def _words(accesses: int, all_accesses: int, events: int, all_events: int, newest: bool) -> str:
    if not all_accesses and not all_events:
        return escaped("No accesses and no trace events are recorded yet: there is nothing to show.")
    parts = []
    for shown, there, name in ((accesses, all_accesses, "accesses"), (events, all_events, "trace events")):
        some = f"the newest {shown:,}" if newest else f"{shown:,}, spread over the run,"
        parts.append(f"{some} of {there:,} {name}" if shown < there else f"{there:,} {name}")
    return escaped(f"Shown: {', '.join(parts)}. Scroll over the picture to zoom, drag to move.")
