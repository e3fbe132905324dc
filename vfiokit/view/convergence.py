"""Convergence: what is pending over time, whether it falls below the threshold, and the downtime.

One line a handler (RAM, each device) and one for their sum, from the samples of the migration loop; the
threshold below which the loop stops the VM; on an axis of its own what went into the stream. Phases are
shaded: from the states of "migration" and "vm" (v5 spec 6.4). Downtime is from the source's VM entering
finish-migrate until a VM runs again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, DataRange1d, LinearAxis, Range, Range1d
from bokeh.plotting import figure

from vfiokit.view.estimate import Estimate, estimate
from vfiokit.view.phases import Downtime, Phase, downtime, phases
from vfiokit.view.picture import POINTS, Picture, decimate, fill, frozen, last_ns, origin_ns, row_counts
from vfiokit.view.theme import (
    LIGHT,
    Theme,
    add_hover,
    brief,
    bytes_axis,
    escaped,
    exact_bytes,
    exact_ns,
    new_figure,
    new_note,
    people_bytes,
    people_ns,
    style_axis,
    theme,
    time_axis,
)

if TYPE_CHECKING:
    from bokeh.models.renderers import GlyphRenderer
    from numpy.typing import NDArray

    from vfiokit.recording import Recording

__all__ = ("Estimate", "Phase", "convergence", "downtime", "estimate", "phases")

_LONGEST = 14  # letters of a handler's name in the legend
_FEW_TURNS = 200  # turns are marked up to as many


def convergence(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    points: int = POINTS,
    x_range: Range | None = None,
) -> Picture:
    """Return the picture of pending bytes, throughput, phases and downtime.

    :param side: whose samples and phases are shown
    :param points: at most as many a line
    :param x_range: the time axis of another picture, to be linked with it
    :raises AddressError: there is no such theme
    """
    drawn = _Convergence(recording, _theme(theme), side, points, x_range)
    picture = Picture(recording, drawn.root, drawn.refresh, drawn.look)
    picture.update()
    return picture


_theme = theme


class _Convergence:
    def __init__(
        self, recording: Recording, look: Theme, side: str, points: int, x_range: Range | None
    ) -> None:
        self.recording, self.look, self.side, self.points = recording, look, side, points
        self._seen: tuple[int, ...] | None = None
        self.said, self.more = new_note(look, strong=True), new_note(look)
        self.plot = self._new_plot(x_range)
        self.lines: dict[str, ColumnDataSource] = {}
        self.renderers: list[GlyphRenderer[Any]] = []
        self.strips = self._new_phases()
        self.rate = self._new_rate()
        self.span = self._new_span()
        self.turns = ColumnDataSource({"x": [], "bytes": [], "time": [], "text": [], "turn": []})
        self.root = column(self.said, self.more, self.plot, sizing_mode="stretch_width")

    def _new_plot(self, x_range: Range | None) -> figure:
        self.bytes = DataRange1d(start=0, range_padding=0.35)
        plot = new_figure(
            self.look,
            title=f"Convergence: pending bytes of the {self.side}",
            x_label="time since the first record",
            y_label="pending",
            height=420,
            x_range=x_range or DataRange1d(range_padding=0.03),
            y_range=self.bytes,
        )
        time_axis(plot.xaxis[0])
        bytes_axis(plot.yaxis[0])
        # A range from 0 to 1 places what belongs to times alone.
        self.rates = DataRange1d(start=0, range_padding=0.8)
        plot.extra_y_ranges = {"rate": self.rates, "whole": Range1d(start=0, end=1)}
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
            legend_label="throughput",
        )
        self.rates.renderers = [line]
        add_hover(
            self.plot, [line], [("time", "time"), ("throughput", "text"), ("the loop measured", "measured")]
        )
        return source

    def _new_span(self) -> ColumnDataSource:
        names = ("x0", "x1", "at", "align", "label", "text")
        source = ColumnDataSource({name: [] for name in names})
        common: dict[str, Any] = {"source": source, "y_range_name": "whole"}
        ends = self.plot.segment(
            "x0", 0.9, "x1", 0.9, line_width=6, color=self.look.bad, legend_label="downtime", **common
        )
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

    def _line(self, name: str) -> ColumnDataSource:
        if name in self.lines:
            return self.lines[name]
        source = ColumnDataSource({"x": [], "bytes": [], "time": [], "text": [], "turn": []})
        color, width, dash = self.look.category(len(self.lines)), 2.0, "solid"
        if name == "total":
            color, width = self.look.text, 3.0
        elif name == "threshold":
            color, dash = self.look.bad, "dashed"
        label = f"pending {brief(name.removeprefix('pending '), _LONGEST)}" if " " in name else name
        self.lines[name] = source
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
            shown.append(
                self.plot.scatter(
                    "x", "bytes", source=self.turns, size=7, color=color, legend_label="turn of the loop"
                )
            )
        add_hover(self.plot, shown, [("turn", "turn"), ("time", "time"), (label, "text")])
        self.renderers += shown
        self.bytes.renderers = list(self.renderers)
        return source

    def refresh(self, at: int | None = None) -> bool:  # noqa: ARG002
        counts = row_counts(self.recording)
        if counts == self._seen:
            return False
        self._seen = counts
        origin, end = origin_ns(self.recording), last_ns(self.recording)
        states = list(self.recording.states)
        found = phases(states, self.side, end)
        changed = self._show_phases(found, origin)
        samples = frozen(self.recording.samples)
        rows = np.flatnonzero(samples.column("side") == self.side)
        if len(rows):
            changed |= self._show_samples(samples, rows, origin)
        down = downtime(states)
        changed |= self._show_downtime(down, origin, end)
        self.plot.visible = bool(len(rows) or found)
        said, more = self._words(samples, rows, found, down)
        changed |= (said, more) != (self.said.text, self.more.text)
        self.said.text, self.more.text = said, more
        return changed

    def _show_phases(self, found: list[Phase], origin: int) -> bool:
        colors = {
            "setup": self.look.muted,
            "pre-copy": LIGHT.categories[4],
            "stop-and-copy": LIGHT.categories[1],
            "resuming": LIGHT.categories[3],
            "completed": self.look.good,
            "failed": self.look.bad,
            "cancelled": self.look.bad,
        }
        return fill(
            self.strips,
            {
                "x0": [float(phase.start - origin) for phase in found],
                "x1": [float(phase.end - origin) for phase in found],
                "name": [phase.name for phase in found],
                "color": [colors[phase.name] for phase in found],
                "time": [exact_ns(phase.start - origin) for phase in found],
                "length": [exact_ns(phase.end - phase.start) for phase in found],
            },
        )

    def _show_samples(self, samples: Any, rows: NDArray[np.intp], origin: int) -> bool:
        times = samples.column("time_ns")[rows] - origin
        turns = samples.column("turn")[rows]
        totals = samples.column("total")[rows]

        def columns(which: NDArray[np.intp], values: NDArray[Any]) -> dict[str, Any]:
            return {
                "x": times[which].astype(float),
                "bytes": values[which].astype(float),
                "time": [exact_ns(time) for time in times[which]],
                "text": [exact_bytes(value) for value in values[which]],
                "turn": [str(turn) for turn in turns[which]],
            }

        changed = False
        for name, where, values in _by_handler(samples, rows):
            kept = where[decimate(values, self.points)]
            spread = np.zeros(len(rows), np.uint64)
            spread[where] = values
            changed |= fill(self._line(f"pending {name}"), columns(kept, spread))
        changed |= fill(self._line("total"), columns(decimate(totals, self.points), totals))
        thresholds = samples.column("threshold")[rows]
        changed |= fill(self._line("threshold"), columns(decimate(thresholds, self.points), thresholds))
        few = np.arange(len(rows) if len(rows) <= _FEW_TURNS else 0)
        changed |= fill(self.turns, columns(few, totals))
        return changed | self._show_rate(samples, rows, times)

    def _show_rate(self, samples: Any, rows: NDArray[np.intp], times: NDArray[Any]) -> bool:
        moved = np.diff(samples.column("transferred")[rows].astype(np.int64))
        took = np.diff(times)
        told = np.flatnonzero(took > 0)
        rates = moved[told] / (took[told] / 1e9)
        measured = samples.column("bandwidth")[rows][1:][told]
        kept = decimate(rates, self.points)
        spans = [(int(moved[told][k]), int(took[told][k])) for k in kept]
        return fill(
            self.rate,
            {
                "x": times[1:][told][kept].astype(float),
                "rate": rates[kept],
                "time": [exact_ns(time) for time in times[1:][told][kept]],
                "text": [
                    f"{people_bytes(rate)}/s: {moved:,} B in {took:,} ns"
                    for rate, (moved, took) in zip(rates[kept], spans, strict=True)
                ],
                "measured": [f"{people_bytes(rate)}/s" if rate else "not yet" for rate in measured[kept]],
            },
        )

    def _show_downtime(self, down: Downtime | None, origin: int, end: int) -> bool:
        found = [down] if down is not None else []
        late = [one.start - origin > (end - origin) / 2 for one in found]
        return fill(
            self.span,
            {
                "x0": [float(one.start - origin) for one in found],
                "x1": [float(one.end - origin) for one in found],
                "at": [
                    float((one.end if right else one.start) - origin)
                    for one, right in zip(found, late, strict=True)
                ],
                "align": ["right" if right else "left" for right in late],
                "label": [f"downtime {people_ns(one.end - one.start)}" for one in found],
                "text": [exact_ns(one.end - one.start) for one in found],
            },
        )

    def _words(
        self, samples: Any, rows: NDArray[np.intp], found: list[Phase], down: Downtime | None
    ) -> tuple[str, str]:
        if not len(rows) and not found:
            where = "The recording is empty" if not self.recording.seq + 1 else "Nothing of a migration"
            return escaped(f"{where}: there is nothing to show of the {self.side} yet."), ""
        names = [phase.name for phase in found]
        ended = next((name for name in ("failed", "cancelled") if name in names), None)
        if ended:
            said = f"The migration {'failed' if ended == 'failed' else 'was cancelled'}"
            said += f" after {len(rows)} turns."
        elif "stop-and-copy" in names:
            before = sum(phase.end - phase.start for phase in found if phase.name == "pre-copy")
            said = f"Converged: the VM was stopped after {people_ns(before)} of pre-copy, {len(rows)} turns."
        elif not len(rows):
            said = "No turn of the migration loop is recorded."
        else:
            recent = samples.rows(int(rows[-_RECENT:][0]), columns=_NEEDED)
            said = str(estimate([row for row in recent if row.side == self.side]))
        if down is not None:
            said += f" Downtime {people_ns(down.end - down.start)}"
            said += "." if down.side == "destination" else " until the VM ran on the source again."
        elif "stop-and-copy" in names:
            said += " Downtime: the recording does not show a VM running again."
        more = " · ".join(f"{phase.name} {people_ns(phase.end - phase.start)}" for phase in found)
        if len(rows):
            last = samples[int(rows[-1])]
            more += f" · turn {last.turn}: {people_bytes(last.total)} pending, threshold "
            more += f"{people_bytes(last.threshold)}, {people_bytes(last.transferred)} in the stream"
        return escaped(said), escaped(more)


_RECENT = 512  # samples that an estimate looks at
_NEEDED = ("time_ns", "side", "total", "threshold", "syncs")


def _by_handler(samples: Any, rows: NDArray[np.intp]) -> Iterable[tuple[str, NDArray[np.intp], NDArray[Any]]]:
    """Yield each handler's name, where among *rows* it has a figure, and the figures: RAM first."""
    values: dict[str, list[int]] = {}
    where: dict[str, list[int]] = {}
    wanted = samples.column("pending")[rows]
    for place, sizes in enumerate(wanted):
        for name, size in sizes:
            values.setdefault(name, []).append(size)
            where.setdefault(name, []).append(place)
    for name in values:
        yield name, np.array(where[name], np.intp), np.array(values[name], np.uint64)
