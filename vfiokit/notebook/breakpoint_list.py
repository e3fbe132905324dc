"""The panel's breakpoints: a place typed in words is added; each can be switched off and deleted."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import ipywidgets as widgets

from vfiokit.console import parse_place
from vfiokit.debugger import Breakpoint, Debugger
from vfiokit.errors import AddressError, VfioError

__all__ = ("PLACES", "BreakpointList", "place_field", "place_of")

PLACES = (
    "vfio_save_iterate",
    "vfio_save_complete_precopy",
    "vfio_load_state",
    "vfio_vmstate_change",
    "write device_state",
    "read pending_bytes",
    "read data_offset",
    "state pre-copy",
    "state stop-and-copy",
    "state resuming",
    "pending < 1M",
    "turn 3",
)
"""Suggestions for a place; `vfiokit.console.places` has all that may be typed."""


def place_field(tooltip: str) -> widgets.Combobox:
    """Return a field to type a place in, with suggestions."""
    return widgets.Combobox(
        placeholder="an event, read REGISTER, state NAME, pending < 1M, if …",
        options=PLACES,
        ensure_option=False,
        tooltip=tooltip,
        layout=widgets.Layout(width="360px"),
    )


def place_of(text: str) -> Breakpoint:
    """Return a breakpoint at the place that *text* names, as ``break`` in the terminal.

    :raises AddressError: it is no place
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise AddressError(f"{text!r}: {error}") from None
    return Breakpoint(**parse_place(words))


class BreakpointList:
    """The widget and what it does to *debugger*.

    :param failed: called with an error when a place cannot be understood
    """

    def __init__(self, debugger: Debugger, failed: Callable[[str, VfioError], None]) -> None:
        self.debugger, self._failed = debugger, failed
        self.place = place_field("Where to stop")
        self.button = widgets.Button(description="Add", icon="plus", tooltip="Add a breakpoint there")
        self.button.on_click(lambda _button: self.add())
        self.rows = widgets.VBox()
        self.widget = widgets.VBox([widgets.HBox([self.place, self.button]), self.rows])
        self._shown: list[Breakpoint] = []
        self.update()

    def add(self) -> None:
        """Add a breakpoint at the place that is typed in."""
        try:
            self.debugger.add(place_of(self.place.value))
        except VfioError as error:
            self._failed("break", error)
            return
        self.place.value = ""
        self.update()

    def update(self) -> None:
        """Show the breakpoints that there are, with their hits."""
        points = list(self.debugger.breakpoints)
        if points != self._shown:
            self._shown = points
            self.rows.children = [self._row(point) for point in points]
        for row, point in zip(self.rows.children, points, strict=True):
            row.children[0].description = str(point)

    def _row(self, point: Breakpoint) -> widgets.HBox:
        box = widgets.Checkbox(
            value=point.enabled, indent=False, description=str(point), layout=widgets.Layout(width="auto")
        )
        box.observe(lambda change: setattr(point, "enabled", change["new"]), "value")
        delete = widgets.Button(icon="trash", tooltip="Delete it", layout=widgets.Layout(width="40px"))

        def remove(_button: widgets.Button) -> None:
            if point in self.debugger.breakpoints:
                self.debugger.breakpoints.remove(point)
            self.update()

        delete.on_click(remove)
        return widgets.HBox([box, delete])
