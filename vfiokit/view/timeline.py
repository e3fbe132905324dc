"""Trace events and accesses over time, on a lane a device and side; from seconds down to microseconds.

An access is a bar as long as it took, with a mark where it began, so that those of no length are seen;
refused ones are crosses. What no device is named in (the stream, pages, the clock) has the lane "vmm".
The newest are shown when there are more than the cap, and the picture says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range

from vfiokit.view.picture import Picture, fill, frozen, origin_ns, row_counts, texts
from vfiokit.view.theme import (
    Theme,
    add_hover,
    brief,
    escaped,
    exact,
    exact_ns,
    new_figure,
    new_note,
    plain,
    theme,
    time_axis,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfiokit.recording import Recording
    from vfiokit.recording.tables import Table

__all__ = ("MARKS", "timeline")

MARKS = 20_000  # accesses and events together, that a page draws well
_LONGEST = 24  # letters of a lane's name
_SIDES = {"source": "src", "destination": "dst"}


def timeline(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    marks: int = MARKS,
    x_range: Range | None = None,
) -> Picture:
    """Return the picture of all accesses and trace events.

    :param marks: at most as many are drawn, half of them accesses, half events: the newest
    :param x_range: the time axis of another picture, to be linked with it
    :raises AddressError: there is no such theme
    """
    drawn = _Timeline(recording, _theme(theme), marks, x_range)
    picture = Picture(recording, drawn.root, drawn.refresh, drawn.look)
    picture.update()
    return picture


_theme = theme

_COLUMNS = ("lane", "x", "end", "what", "time", "for", "text")


class _Timeline:
    def __init__(self, recording: Recording, look: Theme, marks: int, x_range: Range | None) -> None:
        self.recording, self.look, self.marks = recording, look, marks
        self._seen: tuple[int, ...] | None = None
        self.said = new_note(look)
        self.factors = FactorRange()
        self.accesses, self.refused, self.events = (
            ColumnDataSource({name: [] for name in _COLUMNS}) for _ in range(3)
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
        self._draw()
        self.root = column(self.said, self.plot, sizing_mode="stretch_width")

    def _draw(self) -> None:
        look, plot = self.look, self.plot
        blue, orange = look.categories[:2]
        tips = [("what", "what"), ("lane", "lane"), ("at", "time"), ("took", "for"), ("came back", "text")]
        bars = plot.hbar(
            y="lane",
            left="x",
            right="end",
            height=0.3,
            source=self.accesses,
            color=blue,
            alpha=0.6,
            legend_label="access",
        )
        starts = plot.scatter(
            "x", "lane", source=self.accesses, marker="dash", angle=np.pi / 2, size=14, color=blue
        )
        crosses = plot.scatter(
            "x",
            "lane",
            source=self.refused,
            marker="x",
            size=13,
            line_width=3,
            color=look.bad,
            legend_label="refused access",
        )
        events = plot.scatter(
            "x",
            "lane",
            source=self.events,
            marker="diamond",
            size=9,
            color=orange,
            legend_label="trace event",
        )
        add_hover(plot, [bars, starts], tips, limit=5)
        add_hover(plot, [crosses], tips, limit=5)
        tips = [("event", "what"), ("lane", "lane"), ("at", "time"), ("arguments", "text")]
        add_hover(plot, [events], tips, limit=5)

    def refresh(self, at: int | None = None) -> bool:  # noqa: ARG002
        counts = row_counts(self.recording)
        if counts == self._seen:
            return False
        self._seen = counts
        origin = origin_ns(self.recording)
        half = max(1, self.marks // 2)
        all_accesses, all_events = len(self.recording.accesses), len(self.recording.events)
        accesses = frozen(self.recording.accesses, max(0, all_accesses - half))
        events = frozen(self.recording.events, max(0, all_events - half))
        lanes, columns = _of_accesses(accesses, origin)
        event_lanes, event_columns = _of_events(events, origin, self._devices(accesses))
        found = dict.fromkeys([*lanes.tolist(), *event_lanes.tolist()])
        order = sorted(found, key=lambda lane: (lane.endswith("(src)"), lane), reverse=False)
        changed = order != list(self.factors.factors)
        if changed:
            self.factors.factors = order
            self.plot.height = 150 + 46 * max(2, len(order))
        wrong = np.array([error is not None for error in texts(accesses, "error")], np.bool_)
        changed |= fill(self.accesses, {name: values[~wrong] for name, values in columns.items()})
        changed |= fill(self.refused, {name: values[wrong] for name, values in columns.items()})
        changed |= fill(self.events, event_columns)
        self.plot.visible = bool(order)
        said = _words(len(accesses), all_accesses, len(events), all_events)
        changed |= said != self.said.text
        self.said.text = said
        return changed

    def _devices(self, accesses: Table) -> set[str]:
        """Return the devices that the recording names; none when it has trace events alone."""
        named = {*texts(accesses, "device").tolist(), *texts(self.recording.states, "machine").tolist()}
        return {name for name in named if name not in (None, "vm", "migration")}


def _words(accesses: int, all_accesses: int, events: int, all_events: int) -> str:
    if not all_accesses and not all_events:
        return escaped("No accesses and no trace events are recorded yet: there is nothing to show.")
    parts = []
    for shown, there, name in ((accesses, all_accesses, "accesses"), (events, all_events, "trace events")):
        parts.append(f"the newest {shown:,} of {there:,} {name}" if shown < there else f"{there:,} {name}")
    return escaped(f"Shown: {', '.join(parts)}. Scroll over the picture to zoom, drag to move.")


def _objects(values: list[str]) -> NDArray[Any]:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _lanes(devices: list[str | None], sides: NDArray[Any]) -> NDArray[Any]:
    names: dict[tuple[str | None, str], str] = {}
    for key in zip(devices, sides, strict=True):
        if key not in names:
            names[key] = f"{brief(key[0] or 'vmm', _LONGEST)} ({_SIDES.get(key[1], plain(key[1]))})"
    return _objects([names[key] for key in zip(devices, sides, strict=True)])


def _of_accesses(rows: Table, origin: int) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    times, took = rows.column("time_ns"), rows.column("duration_ns")
    lanes = _lanes(texts(rows, "device").tolist(), texts(rows, "side"))
    kinds, whats = texts(rows, "kind"), texts(rows, "what")
    values, known = rows.column("value"), rows.valid("value")
    errors, messages = texts(rows, "error"), texts(rows, "message")
    told = []
    for k in range(len(rows)):
        if errors[k] is not None:
            told.append(plain(f"{errors[k]}: {messages[k] or ''}"))
        else:
            told.append(exact(values[k]) if known[k] else "—")
    return lanes, {
        "lane": lanes,
        "x": (times - origin).astype(float),
        "end": (times - origin + took).astype(float),
        "what": _objects([plain(f"{kind} {what or ''}") for kind, what in zip(kinds, whats, strict=True)]),
        "time": _objects([exact_ns(time) for time in times - origin]),
        "for": _objects([exact_ns(time) for time in took]),
        "text": _objects(told),
    }


def _of_events(rows: Table, origin: int, known: set[str]) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    times, signatures = rows.column("time_ns"), texts(rows, "signature")
    numbers, strings = rows.column("args"), rows.column("texts")
    # An event that begins with a string begins with its device, or with a region (QEMU hw/vfio/trace-events).
    devices = [
        words[0] if signature.startswith("s") and words and (words[0] in known or not known) else None
        for signature, words in zip(signatures, strings, strict=True)
    ]
    lanes = _lanes(devices, texts(rows, "side"))
    told = [
        plain(", ".join([*words, *(f"{number:#x}" for number in args)]))
        for words, args in zip(strings, numbers, strict=True)
    ]
    x = (times - origin).astype(float)
    return lanes, {
        "lane": lanes,
        "x": x,
        "end": x,
        "what": _objects([plain(name) for name in texts(rows, "name")]),
        "time": _objects([exact_ns(time) for time in times - origin]),
        "for": _objects([exact_ns(0)] * len(rows)),
        "text": _objects(told),
    }
