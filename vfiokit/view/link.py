"""What the pictures of one page share: the moment that they show.

::

    link = Link()
    pictures = convergence(recording, link=link), timeline(recording, link=link)

A moment is the number of an access, and its time. A tap on a mark in one picture makes its moment the
link's, and the cursors of all pictures with a time axis move there at once, in the page. What else changes
with the moment (registers, regions, states, dirty pages) has to be drawn anew by `Picture.update`: the live
panel is told of the choice and does so; a report has the pictures of its moments with it.

A link belongs to one document, like the pictures.
"""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, CustomJS, TapTool
from bokeh.models.annotations import Span
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

from vfiokit.view.theme import Theme

__all__ = ("MOMENT", "Link")

MOMENT = "vfiokit-moment"
"""Name of the moment's model: columns "seq" and "x" (ns since the first record), one row or none."""

# Of the marks that lie under the pointer the nearest in time is meant. The selection is dropped at once: it
# would go on to stand for another mark when the data changes, and the same mark could not be chosen twice.
_CHOOSE = """
const {source, geometries: {x}} = cb_data
const away = (k) => Math.abs(source.data.x[k] - x)
const at = source.selected.indices.reduce((best, k) => away(k) < away(best) ? k : best)
moment.data = {seq: [source.data.seq[at]], x: [source.data.x[at]]}
source.selected.indices = []
"""
_FOLLOW = """
const x = moment.data.x[0]
if (x !== undefined) cursor.location = x
cursor.visible = x !== undefined
"""


class Link:
    """The moment that the pictures of one document show.

    :ivar moment: the model that holds it, named :data:`MOMENT`
    """

    def __init__(self) -> None:
        self.moment = ColumnDataSource({"seq": [], "x": []}, name=MOMENT)
        self._cursors: list[Span] = []

    def show(self, seq: int | None, x: float = 0.0) -> None:
        """Make the time *x*, ns since the first record, the moment; without *seq* there is none."""
        data = {"seq": [], "x": []} if seq is None else {"seq": [seq], "x": [x]}
        if data != self.moment.data:
            self.moment.data = data
        for cursor in self._cursors:  # so that a page that is made now has them there
            cursor.update(location=x, visible=seq is not None)

    def cursor(self, plot: figure, look: Theme) -> None:
        """Draw an upright line in *plot*, whose x are ns since the first record, at the moment."""
        shown = list(self.moment.data["x"])
        cursor = Span(
            location=shown[0] if shown else 0,
            dimension="height",
            line_color=look.bad,
            line_width=2,
            line_dash="dashed",
            visible=bool(shown),
        )
        plot.add_layout(cursor)
        self._cursors.append(cursor)
        follow = CustomJS(args={"moment": self.moment, "cursor": cursor}, code=_FOLLOW)
        self.moment.js_on_change("data", follow)

    def tap(self, plot: figure, *renderers: GlyphRenderer[Any]) -> None:
        """Let a tap on a glyph of *renderers* choose its moment; their sources have columns "seq" and "x"."""
        tool = next((tool for tool in plot.tools if isinstance(tool, TapTool)), None)
        if tool is None:  # one for all, as only one of them is active
            choose = CustomJS(args={"moment": self.moment}, code=_CHOOSE)
            tool = TapTool(renderers=[], callback=choose)
            plot.add_tools(tool)
        tool.renderers = [*tool.renderers, *renderers]
        for renderer in renderers:  # what was not tapped stays as it is
            renderer.selection_glyph = renderer.nonselection_glyph = None
