"""The panel's dirty memory: a heatmap on a canvas, zoomed by buttons around the cell that was looked at last.

The pictures of reports and cells are bokeh's; a canvas is a quarter of their work for the page, so that it
is redrawn live with a million cells.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from vfiokit.notebook.canvas import DirtyCanvas
from vfiokit.recording import Recording
from vfiokit.view.dirty_levels import DirtyLevels
from vfiokit.view.theme import Theme

__all__ = ("DirtyPage",)

_CLOSER = 4  # times, at a press


class DirtyPage:
    """The page of dirty memory, a `vfiokit.notebook.pages.PanelPage`.

    :param small: the heatmap alone, to stand beside another picture
    """

    title = "Dirty pages"

    def __init__(self, recording: Recording, look: Theme, side: str, *, small: bool = False) -> None:
        self.levels = DirtyLevels(recording, side)
        self.canvas = DirtyCanvas(
            self.levels.palette(look),
            self.levels.legend,
            page_size=self.levels.page_size,
            height=320 if small else 480,
            label=f"Dirty pages of the {side}'s memory",
        )
        self._looked_at: int | None = None  # first page of the cell
        self.canvas.on_cell(self._told)
        self.closer, self.wider, self.whole = (
            widgets.Button(description=text, icon=icon, tooltip=told)
            for text, icon, told in (
                ("Closer", "search-plus", "Zoom in on the cell that was looked at last; counts stay exact"),
                ("Wider", "search-minus", "Zoom out"),
                ("All of memory", "expand", "Show all of memory"),
            )
        )
        self.closer.on_click(lambda _button: self._zoom(self.levels.pages // _CLOSER))
        self.wider.on_click(lambda _button: self._zoom(self.levels.pages * _CLOSER))
        self.whole.on_click(lambda _button: self._zoom(None))
        self.what = widgets.Dropdown(
            options=(("found dirty, in all syncs", "times"), ("dirty now", "now"), ("one sync", "sync")),
            tooltip="What is counted",
            layout=widgets.Layout(width="220px"),
        )
        self.sync = widgets.IntSlider(
            min=0, max=0, description="Sync", tooltip="Which one", disabled=True, layout={"width": "320px"}
        )
        self.what.observe(lambda _change: self._choose(), "value")
        self.sync.observe(lambda _change: self._choose(), "value")
        row = {"flex_flow": "row wrap"}
        controls = [
            widgets.HBox([self.closer, self.wider, self.whole], layout=row),
            widgets.HBox([self.what, self.sync], layout=row),
        ]
        self.widget = widgets.VBox([*([] if small else controls), self.canvas], layout={"width": "100%"})
        self._stale = True

    def on_moment(self, chosen: Callable[[int | None], None]) -> None:
        """Nothing of a bitmap is chosen as a moment."""

    def draw(self, at: int | None, x: float, next_text: str) -> None:  # noqa: ARG002
        """Show what was dirty after access *at*, or is now, unless the page is busy with the last frame."""
        if not self.canvas.ready():
            return
        stale, self._stale = self._stale, False
        levels = self.levels
        if levels.update(at) or stale:
            most = max(levels.memory.syncs - 1, 0)
            if self.sync.max < most:
                self.sync.max = most
            if self.canvas.meanings != levels.legend:
                self.canvas.meanings = levels.legend
            self.canvas.show(levels.levels, first=levels.first, each=levels.each, note=levels.note)

    def close(self) -> None:
        """Take the canvas off the page."""
        self.canvas.close()

    def _told(self, first: int, pages: int) -> str:
        self._looked_at = first
        return self.levels.told(first, pages)

    def _choose(self) -> None:
        chosen = self.what.value
        self.sync.disabled = chosen != "sync"
        if chosen == "sync":
            self.levels.choose(sync=self.sync.value)
        else:
            self.levels.choose(what=chosen)
        self._stale = True

    def _zoom(self, pages: int | None) -> None:
        """Show so many pages around the cell that was looked at last, or all of them."""
        levels = self.levels
        if pages is None:
            levels.zoom()
        else:
            middle = self._looked_at if self._looked_at is not None else levels.first + levels.pages // 2
            pages = max(1, min(pages, levels.end))
            levels.zoom(max(0, min(middle - pages // 2, levels.end - pages)), pages)
        self._stale = True
