"""The panel's slider over the moments of a session, from its first access to the newest."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

__all__ = ("Rewind",)


class Rewind:
    """The slider's widget.

    :param moved: called when somebody has chosen another moment
    :ivar at: accesses up to the moment that is shown; None for the newest, whatever comes
    """

    def __init__(self, moved: Callable[[], None]) -> None:
        self.at: int | None = None
        self._moved = moved
        self._count = 0
        self.slider = widgets.IntSlider(
            value=0,
            min=0,
            max=0,
            description="Moment",
            tooltip="How many accesses to look back to; the right end follows the newest",
            layout=widgets.Layout(width="min(100%, 640px)"),
        )
        self.slider.add_class("vfiokit-moment")
        self.back, self.forth, self.newest = (
            widgets.Button(icon=icon, description=text, tooltip=told, layout=widgets.Layout(width=width))
            for icon, text, told, width in (
                ("chevron-left", "", "One access back ([)", "40px"),
                ("chevron-right", "", "One access on (])", "40px"),
                ("", "Newest", "Follow what is newest (\\)", "80px"),
            )
        )
        self.back.on_click(lambda _button: self.by(-1))
        self.forth.on_click(lambda _button: self.by(1))
        self.newest.on_click(lambda _button: self.to(None))
        self.slider.observe(self._dragged, "value")
        self.widget = widgets.HBox(
            [self.slider, self.back, self.forth, self.newest], layout={"flex_flow": "row wrap"}
        )

    def _dragged(self, change: dict[str, int]) -> None:
        wanted = change["new"] if change["new"] < self.slider.max else None
        if wanted != self.at:
            self.at = wanted
            self._moved()

    def by(self, accesses: int) -> None:
        """Go on by some accesses, or back."""
        now = self._count if self.at is None else self.at
        self.to(now + accesses)

    def to(self, count: int | None) -> None:
        """Show the moment after *count* accesses; from the last on, and with None, the newest."""
        self.at = None if count is None or count >= self._count else max(0, count)
        value = self._count if self.at is None else self.at
        if self.slider.value != value:
            self.slider.value = value
        self._moved()

    def grow(self, count: int) -> None:
        """Let the slider reach to *count* accesses."""
        self._count = count
        if self.slider.max != count:
            self.slider.max = count
        if self.at is None and self.slider.value != count:
            self.slider.value = count
