"""What the pictures of one page share: the moment that they show.

::

    link = Link()
    pictures = convergence(recording, link=link), timeline(recording, link=link)

A moment is the number of an access, and its time. Selecting a mark in one picture makes its moment the
link's, and the cursors of all pictures with a time axis move there at once, in the page. What else changes
with the moment (registers, regions, states, dirty pages) has to be drawn anew by `Picture.update`: the live
panel is told of the choice and does so; a report has the pictures of its moments with it.

A link belongs to one document, like the pictures.
"""

from __future__ import annotations

from bokeh.models import ColumnDataSource, CustomJS
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from vfiokit.view.theme import Theme

__all__ = ("MOMENT", "Link")

MOMENT = "vfiokit-moment"
"""Name of the moment's model: columns "seq" and "x" (ns since the first record), one row or none."""

_CHOOSE = """
const at = source.selected.indices[0]
if (at === undefined) return
moment.data = {seq: [source.data.seq[at]], x: [source.data.x[at]]}
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

    def show(self, seq: int | None, x: float = 0.0) -> None:
        """Make the time *x*, ns since the first record, the moment; without *seq* there is none."""
        data = {"seq": [], "x": []} if seq is None else {"seq": [seq], "x": [x]}
        if data != self.moment.data:
            self.moment.data = data

    def cursor(self, plot: figure, look: Theme) -> None:
        """Draw an upright line in *plot*, whose x are ns since the first record, at the moment."""
        cursor = Span(
            location=0,
            dimension="height",
            line_color=look.bad,
            line_width=2,
            line_dash="dashed",
            visible=False,
        )
        plot.add_layout(cursor)
        follow = CustomJS(args={"moment": self.moment, "cursor": cursor}, code=_FOLLOW)
        self.moment.js_on_change("data", follow)

    def choose(self, source: ColumnDataSource) -> None:
        """Let a selection in *source*, which has columns "seq" and "x", choose the moment.

        The figure needs a tap tool for it.
        """
        code = CustomJS(args={"moment": self.moment, "source": source}, code=_CHOOSE)
        source.selected.js_on_change("indices", code)
