"""Convergence: what is pending over time, whether it falls below the threshold, and the downtime.

One line a handler (RAM, each device) and one for their sum, from the samples of the migration loop; the
threshold below which the loop stops the VM; on an axis of its own what went into the stream. Phases are
shaded: from the states of "migration" and "vm" (v5 spec 6.4). Downtime is from the source's VM entering
finish-migrate until a VM runs again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import Range

from vfiokit.view.estimate import Estimate, estimate
from vfiokit.view.pending_plot import PendingPlot
from vfiokit.view.phases import Downtime, Phase, downtime, phases
from vfiokit.view.picture import POINTS, Picture, decimate, fill, last_ns, origin_ns, row_counts
from vfiokit.view.samples import Samples
from vfiokit.view.theme import (
    LIGHT,
    Theme,
    escaped,
    exact_bytes,
    exact_ns,
    new_note,
    people_bytes,
    people_ns,
    theme,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vfiokit.recording import Recording
    from vfiokit.view.link import Link

__all__ = ("Estimate", "Phase", "convergence", "downtime", "estimate", "phases")

_FEW_TURNS = 200  # turns are marked up to as many
_RECENT = 512  # samples that an estimate looks at

# Of a live recording most points are those of the last refresh.
_time_text = lru_cache(1 << 14)(exact_ns)
_bytes_text = lru_cache(1 << 14)(exact_bytes)


def convergence(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    points: int = POINTS,
    x_range: Range | None = None,
    link: Link | None = None,
) -> Picture:
    """Return the picture of pending bytes, throughput, phases and downtime.

    :param side: whose samples and phases are shown
    :param points: at most as many a line
    :param x_range: the time axis of another picture, to be linked with it
    :param link: shares the moment with other pictures: a tap on a turn, on any line, chooses it
    :raises AddressError: there is no such theme
    """
    drawn = _Convergence(recording, _theme(theme), side, points, x_range, link)
    picture = Picture(recording, drawn.root, drawn.refresh, drawn.look, link)
    picture.update()
    return picture


_theme = theme


class _Convergence:
    def __init__(
        self,
        recording: Recording,
        look: Theme,
        side: str,
        points: int,
        x_range: Range | None,
        link: Link | None,
    ) -> None:
        self.recording, self.look, self.side, self.points = recording, look, side, points
        self._seen: tuple[int, ...] | None = None
        self.samples = Samples(recording, side)
        self.said, self.more = new_note(look, strong=True), new_note(look)
        self.drawn = PendingPlot(look, side, x_range, link)
        self.root = column(self.said, self.more, self.drawn.plot, sizing_mode="stretch_width")

    def refresh(self, at: int | None = None) -> bool:  # noqa: ARG002  all is shown at any moment
        counts = row_counts(self.recording)
        if counts == self._seen:
            return False
        self._seen = counts
        origin, end = origin_ns(self.recording), last_ns(self.recording)
        states = list(self.recording.states)
        found = phases(states, self.side, end)
        changed = self._show_phases(found, origin)
        if self.samples.update():
            changed |= self._show_samples(origin)
        down = downtime(states)
        changed |= self._show_downtime(down, origin, end)
        self.drawn.plot.visible = bool(len(self.samples) or found)
        said, more = self._words(found, down)
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
            self.drawn.strips,
            {
                "x0": [float(phase.start - origin) for phase in found],
                "x1": [float(phase.end - origin) for phase in found],
                "name": [phase.name for phase in found],
                "color": [colors[phase.name] for phase in found],
                "time": [exact_ns(phase.start - origin) for phase in found],
                "length": [exact_ns(phase.end - phase.start) for phase in found],
            },
        )

    def _show_samples(self, origin: int) -> bool:
        columns = self.samples.columns
        times, totals, count = columns["time_ns"] - origin, columns["total"], len(self.samples)

        def points(which: NDArray[np.intp], values: NDArray[Any]) -> dict[str, Any]:
            return {
                "seq": columns["seq"][which].astype(float),
                "x": times[which].astype(float),
                "bytes": values.astype(float),
                "time": [_time_text(time) for time in times[which].tolist()],
                "text": [_bytes_text(value) for value in values.tolist()],
                "turn": [str(turn) for turn in columns["turn"][which].tolist()],
            }

        changed = False
        for name, (where, values) in self.samples.handlers.items():
            kept = decimate(values, self.points)
            changed |= fill(self.drawn.line(f"pending {name}"), points(where[kept], values[kept]))
        for name in ("total", "threshold"):
            kept = decimate(columns[name], self.points)
            changed |= fill(self.drawn.line(name), points(kept, columns[name][kept]))
        few = np.arange(count if count <= _FEW_TURNS else 0)
        changed |= fill(self.drawn.turns, points(few, totals[few]))
        return changed | self._show_rate(times)

    def _show_rate(self, times: NDArray[Any]) -> bool:
        columns = self.samples.columns
        moved = np.diff(columns["transferred"].astype(np.int64))
        took = np.diff(times)
        told = np.flatnonzero(took > 0)
        rates = moved[told] / (took[told] / 1e9)
        measured = columns["bandwidth"][1:][told]
        kept = decimate(rates, self.points)
        spans = [(int(moved[told][k]), int(took[told][k])) for k in kept]
        return fill(
            self.drawn.rate,
            {
                "x": times[1:][told][kept].astype(float),
                "rate": rates[kept],
                "time": [_time_text(time) for time in times[1:][told][kept].tolist()],
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
            self.drawn.span,
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

    def _words(self, found: list[Phase], down: Downtime | None) -> tuple[str, str]:
        turns = len(self.samples)
        if not turns and not found:
            where = "The recording is empty" if not self.recording.seq + 1 else "Nothing of a migration"
            return escaped(f"{where}: there is nothing to show of the {self.side} yet."), ""
        names = [phase.name for phase in found]
        ended = next((name for name in ("failed", "cancelled") if name in names), None)
        if ended:
            said = f"The migration {'failed' if ended == 'failed' else 'was cancelled'}"
            said += f" after {turns} turns."
        elif "stop-and-copy" in names:
            before = sum(phase.end - phase.start for phase in found if phase.name == "pre-copy")
            said = f"Converged: the VM was stopped after {people_ns(before)} of pre-copy, {turns} turns."
        elif not turns:
            said = "No turn of the migration loop is recorded."
        else:
            said = str(estimate(self.samples.last(_RECENT)))
        if down is not None:
            said += f" Downtime {people_ns(down.end - down.start)}"
            said += "." if down.side == "destination" else " until the VM ran on the source again."
        elif "stop-and-copy" in names:
            said += " Downtime: the recording does not show a VM running again."
        more = " · ".join(f"{phase.name} {people_ns(phase.end - phase.start)}" for phase in found)
        if turns:
            last = {name: int(values[-1]) for name, values in self.samples.columns.items()}
            more += f" · turn {last['turn']}: {people_bytes(last['total'])} pending, threshold "
            more += f"{people_bytes(last['threshold'])}, {people_bytes(last['transferred'])} in the stream"
        return escaped(said), escaped(more)
