"""The state machine of a device, the path that it took, and what else had a state meanwhile.

The graph has the arcs that a VMM may ask for (v5 spec 3.2); the present state is lit, the arcs taken are
numbered in order, writes of ``device_state`` that were refused, by the device or by the VMM itself, are
red and dashed. The lanes show over time the VM's run state, the migration's status, and of each device
what was asked for (written), what was read back, where it was, and where it came to after a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models import Range

from vfiokit.view.picture import Picture, last_ns, origin_ns, row_counts
from vfiokit.view.state_accesses import StateAccess, StateAccesses
from vfiokit.view.state_chart import Chart, few
from vfiokit.view.state_lanes import Lanes
from vfiokit.view.theme import Theme, escaped, new_note, theme

if TYPE_CHECKING:
    from vfiokit.recording import Recording
    from vfiokit.view.link import Link

__all__ = ("states",)


def states(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    device: str | None = None,
    x_range: Range | None = None,
    link: Link | None = None,
) -> Picture:
    """Return the picture of a device's states, and of all states over time.

    :param side: whose device the graph shows; the lanes show both sides
    :param device: its name in the recording; the first that has a state when not given
    :param x_range: the time axis of another picture, to be linked with the lanes
    :param link: shares the moment with other pictures: a tap on a bar or a cross chooses it. The graph
        follows by `Picture.update`
    :raises AddressError: there is no such theme
    """
    drawn = _States(recording, _theme(theme), side, device, x_range, link)
    picture = Picture(recording, drawn.root, drawn.refresh, drawn.look, link)
    picture.update()
    return picture


_theme = theme


class _States:
    def __init__(
        self,
        recording: Recording,
        look: Theme,
        side: str,
        device: str | None,
        x_range: Range | None,
        link: Link | None,
    ) -> None:
        self.recording, self.look, self.side, self.device = recording, look, side, device
        self._seen: tuple[int, ...] | None = None
        self._at: int | None = None
        self._rows: list[Any] = []
        self._accesses = StateAccesses(recording)
        self.said, self.more = new_note(look, strong=True), new_note(look)
        self.graph = Chart(look, side)
        self.lanes = Lanes(look, x_range, link)
        self.pictures = row(
            self.graph.plot,
            self.lanes.plot,
            sizing_mode="stretch_width",
            styles={"flex-wrap": "wrap"},
            spacing=8,
        )
        self.root = column(self.said, self.more, self.pictures, sizing_mode="stretch_width")

    def refresh(self, at: int | None = None) -> bool:
        counts = row_counts(self.recording)
        if (counts, at) == (self._seen, self._at):
            return False
        origin, changed = origin_ns(self.recording), False
        if counts != self._seen:
            self._accesses.update()
            self._rows = list(self.recording.states)
            changed = self.lanes.show(self._rows, self._accesses.all, origin, last_ns(self.recording))
        self._seen, self._at = counts, at
        there = bool(self._rows or self._accesses.all)
        self.pictures.visible = there
        if not there:
            return changed | self._say("No states are recorded yet: there is nothing to show.", "")
        return changed | self._show_moment(origin)

    def _show_moment(self, origin: int) -> bool:
        at, device = self._at, self.device or self._first_device(self._rows)
        path = [
            one
            for one in self._rows
            if (one.side, one.machine) == (self.side, device) and (at is None or one.seq <= at)
        ]
        refused = [
            one
            for one in self._accesses.all
            if one.error
            and (one.side, one.device) == (self.side, device)
            and one.write
            and (at is None or one.seq <= at)
        ]
        changed = self.graph.show(path, refused, origin)
        return changed | self._say(*self._words(device, path, refused))

    def _first_device(self, rows: Iterable[Any]) -> str | None:
        for one in rows:
            if one.side == self.side and one.machine not in ("vm", "migration"):
                return str(one.machine)
        return next((one.device for one in self._accesses.all if one.side == self.side), None)

    def _words(self, device: str | None, path: list[Any], refused: list[StateAccess]) -> tuple[str, str]:
        moment = f", after access {self._at}" if self._at is not None else ""
        if device is None:
            said = f"No device of the {self.side} has a state yet."
        elif not path:
            said = f"{device} ({self.side}): no state entered yet{moment}."
        else:
            said = f"{device} ({self.side}) is in {path[-1].state}{moment}."
        if refused:
            said += f" Refused: {len(refused)} write{'s' if len(refused) > 1 else ''} of device_state."
        return said, "Path: " + few([one.state for one in path], 12, " → ") if path else ""

    def _say(self, said: str, more: str) -> bool:
        words = escaped(said), escaped(more)
        changed = words != (self.said.text, self.more.text)
        self.said.text, self.more.text = words
        return changed
