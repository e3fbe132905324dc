"""The panel's buttons: the debugger's verbs, a place to run to, the pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from vfiokit.notebook.breakpoint_list import place_field

__all__ = ("PACES", "VERBS", "Toolbar")

# Verb, icon, key, what it does.
VERBS = (
    ("Step", "step-forward", "s", "Perform one access (s)"),
    (
        "Next",
        "forward",
        "n",
        "Go on to the next callback: save_pending, save_iterate, a state change (n)",
    ),
    ("Run", "play", "r", "Run at the chosen pace, to a breakpoint or to the end (r)"),
    ("Pause", "pause", "p", "Stop before the next access (p)"),
    ("Finish", "fast-forward", "f", "Run as fast as it can, to a breakpoint or to the end (f)"),
    ("Cancel", "stop", "", "Cancel the migration here; the cancel path is run"),
)
PACES = (
    ("2 accesses a second", 0.5),
    ("10 accesses a second", 0.1),
    ("100 accesses a second", 0.01),
    ("1,000 accesses a second", 0.001),
    ("as fast as it can", 0.0),
)
"""Names, and seconds between two accesses."""


class Toolbar:
    """The buttons' widget.

    :param actions: what each verb does, and "Until", which gets the place that is typed in
    """

    def __init__(self, actions: Mapping[str, Callable[[], Any]], until: Callable[[str], Any]) -> None:
        self.buttons = {
            name: widgets.Button(
                description=name, icon=icon, tooltip=told, layout=widgets.Layout(width="94px")
            )
            for name, icon, _, told in VERBS
        }
        for name, button in self.buttons.items():
            button.add_class(f"vfiokit-{name.lower()}")
            button.on_click(lambda _button, action=actions[name]: action())
        self.buttons["Cancel"].button_style = "warning"
        self.place = place_field("Where to run to")
        self.until = widgets.Button(
            description="Until", icon="flag", tooltip="Run until there, once (u)", layout={"width": "94px"}
        )
        self.until.add_class("vfiokit-until")
        self.until.on_click(lambda _button: until(self.place.value))
        self.pace = widgets.Dropdown(
            options=PACES,
            value=0.0,
            description="Pace of Run",
            style={"description_width": "initial"},
            tooltip="How fast Run goes",
            layout=widgets.Layout(width="270px"),
        )
        self.widget = widgets.VBox(
            [
                widgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap"}),
                widgets.HBox([self.until, self.place, self.pace], layout={"flex_flow": "row wrap"}),
            ]
        )

    def allow(self, *, busy: bool, ended: bool) -> None:
        """Let those buttons be pressed that can do something now."""
        for name, button in (*self.buttons.items(), ("Until", self.until)):
            wanted = not busy if name == "Pause" else busy or ended
            if button.disabled != wanted:
                button.disabled = wanted
