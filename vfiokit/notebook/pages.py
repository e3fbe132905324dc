"""The panel's pictures: one page a tab, of which only the one that is seen is drawn.

Each page's models are one document with a link of its own; the panel carries a chosen moment from one to
the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ipywidgets as widgets
from bokeh.layouts import column

from vfiokit.notebook.bokeh_pane import BokehPane
from vfiokit.notebook.dirty_page import DirtyPage
from vfiokit.recording import Recording
from vfiokit.view import Picture, convergence, inspector, regions, states, timeline
from vfiokit.view.inspector import InspectorPicture
from vfiokit.view.link import Link
from vfiokit.view.theme import Theme

__all__ = ("MARKS", "POINTS", "Page", "PanelPage", "Together", "new_pages")

_SIDE_BY_SIDE = {"flex": "1 1 420px", "min_width": "0"}
# Of a live line and a live timeline. Each point has its hover text: more of them and a page that is drawn ten
# times a second is busy with them alone.
POINTS, MARKS = 500, 4_000


class PanelPage(Protocol):
    """What the panel asks of a page."""

    title: str
    widget: Any

    def on_moment(self, chosen: Callable[[int | None], None]) -> None:
        """Call *chosen* with the number of the access that somebody selects in the page."""

    def draw(self, at: int | None, x: float, next_text: str) -> None:
        """Show the moment after access *at*, or what is newest, unless the page is busy with the last.

        :param x: the moment's time, ns since the first record
        :param next_text: the access that comes next, in words
        """

    def close(self) -> None:
        """Take it off the page."""


class Page:
    """Some pictures under one tab.

    :param title: the tab's
    :param pictures: made with *link*, for this page alone
    """

    def __init__(self, title: str, link: Link, pictures: Sequence[Picture]) -> None:
        self.title = title
        self.link = link
        self.pictures = tuple(pictures)
        root = self.pictures[0].root
        if len(self.pictures) > 1:
            root = column(*(picture.root for picture in self.pictures), sizing_mode="stretch_width")
        self.pane = BokehPane(root)
        self.widget = self.pane

    def on_moment(self, chosen: Callable[[int | None], None]) -> None:
        """As `PanelPage.on_moment`."""
        self.pane.on_moment(chosen)

    def draw(self, at: int | None, x: float, next_text: str) -> None:
        """As `PanelPage.draw`."""
        if not self.pane.ready():
            return
        with self.pane.changing():
            for picture in self.pictures:
                if isinstance(picture, InspectorPicture):
                    picture.next_text = next_text or None
                picture.update(at)
            self.link.show(at, x)

    def close(self) -> None:
        """As `PanelPage.close`."""
        self.pane.close()


class Together:
    """Two pages side by side under one tab, or one below the other where there is no room."""

    def __init__(self, title: str, *pages: PanelPage) -> None:
        self.title, self.pages = title, pages
        boxes = [widgets.Box([page.widget], layout=_SIDE_BY_SIDE) for page in pages]
        self.widget = widgets.HBox(boxes, layout={"flex_flow": "row wrap"})

    def on_moment(self, chosen: Callable[[int | None], None]) -> None:
        """As `PanelPage.on_moment`."""
        for page in self.pages:
            page.on_moment(chosen)

    def draw(self, at: int | None, x: float, next_text: str) -> None:
        """As `PanelPage.draw`."""
        for page in self.pages:
            page.draw(at, x, next_text)

    def close(self) -> None:
        """As `PanelPage.close`."""
        for page in self.pages:
            page.close()


def new_pages(recording: Recording, look: Theme, side: str) -> list[PanelPage]:
    """Return the pages: what is pending beside what is dirty first, then one for each view."""

    def page(title: str, *makers: Callable[..., Picture], **options: Any) -> Page:
        link = Link()
        return Page(title, link, [make(recording, theme=look, link=link, **options) for make in makers])

    return [
        Together(
            "Overview",
            page("", convergence, side=side, points=POINTS),
            DirtyPage(recording, look, side, small=True),
        ),
        page("States", states, side=side),
        page("Regions", regions, side=side),
        page("Registers", inspector, side=side),
        page("Timeline", timeline, marks=MARKS, newest=True),
        DirtyPage(recording, look, side),
    ]
