"""The regions of a device, drawn so that 64 bytes and a terabyte are both seen.

::

    regions(recording).save("regions.html")

A region is a lane, cut where something begins or ends: registers, mappable areas, the MSI-X table and PBA,
capabilities. A part is as wide as the logarithm of its size, so offsets are labelled rather than measured.
The migration region's registers have two lanes of their own, with what they last held; the window of
data_offset and data_size is lit where the flow is now. All of it is what a recording has: regions from
queries, the rest from config space, if it was read.
"""

from __future__ import annotations

from typing import Any

from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FixedTicker, Range1d, Text
from bokeh.plotting import figure

from vfiokit.recording import Recording
from vfiokit.uapi.pci_config import ConfigSpace
from vfiokit.view.device_facts import DeviceFacts, SideFacts
from vfiokit.view.legends import add_key
from vfiokit.view.link import Link
from vfiokit.view.picture import Picture, fill
from vfiokit.view.region_lanes import Lanes, color_of
from vfiokit.view.region_parts import Part, parts
from vfiokit.view.theme import Theme, add_hover, escaped, new_figure, new_note, plain
from vfiokit.view.theme import theme as named

__all__ = ("Part", "parts", "regions")

_LEGEND = {
    "trapped": "trapped", "mappable": "mappable", "registers, header": "header",
    "MSI-X table, capability": "capability", "PBA, extended": "MSI-X PBA",
}  # fmt: skip

_BOX = ("left", "right", "top", "bottom", "colour", "name", "below", "y", "middle")
_TOLD = ("what", "offset", "size", "more", "chunk")


class _RegionsPicture(Picture):
    def __init__(
        self, recording: Recording, look: Theme, side: str, device: str | None, link: Link | None
    ) -> None:
        self._facts, self._device, self._look, self._side = SideFacts(recording, side), device, look, side
        self._at: int | None = None
        self._labels: dict[float, str] | None = None
        self._boxes = ColumnDataSource({name: [] for name in _BOX + _TOLD})
        self._lit = ColumnDataSource({name: [] for name in ("left", "right", "top", "bottom", *_TOLD)})
        self.plot = _plot(look, self._boxes, self._lit)
        self.note = new_note(look)
        super().__init__(
            recording, column(self.plot, self.note, sizing_mode="stretch_width"), self._read, look, link
        )
        self._facts.update()
        self._draw()

    def _read(self, at: int | None = None) -> bool:
        changed = self._facts.update() or at != self._at
        self._at = at
        if changed:
            self._draw()
        return changed

    def _draw(self) -> None:
        facts = self._facts.device(self._device, self._at)
        lanes = Lanes(facts, self._look)
        fill(self._boxes, {name: [box[name] for box in lanes.boxes] for name in self._boxes.data})
        fill(self._lit, {name: [box[name] for box in lanes.lit] for name in self._lit.data})
        axis = self.plot.yaxis[0]
        if lanes.labels != self._labels:
            self._labels = lanes.labels
            axis.ticker = FixedTicker(ticks=list(lanes.labels))
            axis.major_label_overrides = dict(lanes.labels)  # type: ignore[arg-type]
        self.plot.y_range.update(start=max(lanes.count, 1) + 0.6, end=0.4)
        self.plot.height = 110 + 46 * max(lanes.count, 2)
        name = facts.name if facts else "no device yet"
        self.plot.title.text = plain(f"Regions of {name}, {self._side}")  # type: ignore[union-attr]
        self.note.text = _listed(facts, lanes.config)


def _plot(look: Theme, boxes: ColumnDataSource, lit: ColumnDataSource) -> figure:
    plot = new_figure(
        look, title="Regions", x_label="widths are logarithms of sizes; numbers are offsets", y_label="",
        x_range=Range1d(start=-0.005, end=1.005), y_range=Range1d(start=1, end=0),
    )  # fmt: skip
    plot.grid.visible = False
    plot.xaxis.ticker = FixedTicker(ticks=[])
    shape: dict[str, Any] = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
    quads = plot.quad(
        **shape, source=boxes, fill_color="colour", fill_alpha=0.45, line_color=look.muted, line_width=1
    )
    window = plot.quad(
        **shape, source=lit, fill_color=look.lit, fill_alpha=0.35, line_color=look.bad, line_width=3
    )
    add_key(plot, "window, last register", window)
    plot.legend.click_policy = "none"  # its entries are colours of one glyph
    font: Any = value(look.font)
    for text, baseline in (("name", "bottom"), ("below", "top")):
        plot.add_glyph(boxes, Text(
            x="middle", y="y", text=text, text_align="center", text_baseline=baseline, text_font=font,
            text_font_size="11px", text_color=look.text,
        ))  # fmt: skip
    for label, kind in _LEGEND.items():
        color = color_of(kind, look)
        key: dict[str, Any] = {"fill_color": color, "fill_alpha": 0.6, "line_color": look.muted}
        plot.scatter([-9], [-9], marker="square", size=12, **key, legend_label=label)
    tips = [("", "what"), ("offset", "offset"), ("size", "size"), ("now", "more"), ("chunk", "chunk")]
    add_hover(plot, [quads], tips)
    return plot


def _listed(facts: DeviceFacts | None, config: ConfigSpace | None) -> str:
    """Return the capabilities, of regions and of config space, as HTML."""
    if facts is None or not facts.regions:
        return "No region was asked for yet."
    lines = []
    for region in facts.regions.values():
        told = []
        if region.type is not None:
            told.append(f"type {region.type[0]:#x}, subtype {region.type[1]:#x}")
        if region.sparse is not None:
            told.append(
                "sparse mmap of " + ", ".join(f"[{a.offset:#x}, +{a.size:#x})" for a in region.sparse)
            )
        if region.msix_mappable:
            told.append("MSI-X mappable")
        told += [f"capability {number}" for number in region.other_capabilities]
        if told:
            lines.append(f"{region.name}: {'; '.join(told)}")
    for c in config.capabilities if config else ():
        lines.append(f"{c.offset:#05x} {'extended ' if c.extended else ''}{c.name}: {c.title}")
    lines += [f"problem at {problem}" for problem in config.problems] if config else []
    empty = [region.name for region in facts.regions.values() if not region.size]
    lines += [f"not there: {', '.join(empty)}"] if empty else []
    return "<b>Capabilities</b><br>" + "<br>".join(escaped(line) for line in lines)


def regions(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    device: str | None = None,
    side: str = "source",
    link: Link | None = None,
) -> Picture:
    """Return the picture of a device's regions.

    :param device: its name in the recording; the first with a migration region if not given
    :param side: "source" or "destination"
    :param link: the moment of the page; the regions follow it by `Picture.update`
    :raises AddressError: there is no such theme, or no such device among those that are recorded
    """
    return _RegionsPicture(recording, named(theme), side, device, link)
