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

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FixedTicker, Range1d, Text
from bokeh.plotting import figure

from vfiokit.recording import Recording
from vfiokit.uapi.info import Area, Region
from vfiokit.uapi.migration_v5 import HEADER_SIZE, REGISTERS
from vfiokit.uapi.pci_config import ConfigSpace, decode
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX
from vfiokit.view.device_facts import DeviceFacts, SideFacts, meaning
from vfiokit.view.picture import Picture
from vfiokit.view.theme import (
    Theme,
    add_hover,
    escaped,
    exact_bytes,
    new_figure,
    new_note,
    people_bytes,
    plain,
)
from vfiokit.view.theme import theme as named

__all__ = ("Part", "parts", "regions")

# Kinds of parts, in the order in which one covers another, and the number of their colour.
_KINDS = {
    "trapped": None, "mappable": 4, "registers": 1, "MSI-X table": 2, "MSI-X PBA": 3, "header": 1,
    "capability": 2, "extended capability": 3,
}  # fmt: skip
_LEGEND = {
    "trapped": "trapped", "mappable": "mappable", "registers, header": "header",
    "MSI-X table, capability": "capability", "PBA, extended": "MSI-X PBA",
}  # fmt: skip
_SHORT = {"MSI-X table": "table", "MSI-X PBA": "PBA", "registers": "header"}
_LETTER = 0.0138  # of the lane, as wide as a letter where the page is 600 pixels wide
_HEIGHT = 0.36  # half of a lane's


class Part(NamedTuple):
    """A part of a region, bytes from its start."""

    name: str
    kind: str
    offset: int
    size: int

    @property
    def weight(self) -> float:
        """How wide it is drawn."""
        return 5 + math.log2(1 + self.size)


def parts(region: Region, config: ConfigSpace | None = None, *, migration: bool = False) -> list[Part]:
    """Return the parts of *region*, ascending, without gaps: what is trapped, what may be mapped, the rest.

    :param config: the device's config space: where the MSI-X table and PBA lie, and what it itself has
    :param migration: the region starts with the migration registers (v5 spec 1.2)
    """
    found = [Part(f"area {n}", "mappable", area.offset, area.size) for n, area in enumerate(region.areas)]
    if migration:
        found.append(Part("registers", "registers", 0, HEADER_SIZE))
    if config is not None and region.index == VFIO_PCI_CONFIG_REGION_INDEX:
        found += _config_parts(config)
    elif config is not None:
        found += [
            Part(kind, kind, area.offset, area.size)
            for kind, bar, area in _msix(config)
            if bar == region.index
        ]
    edges = {0, region.size}
    for part in found:
        edges |= {min(max(edge, 0), region.size) for edge in (part.offset, part.offset + part.size)}
    ordered = sorted(edges)
    return [_covering(found, a, b) for a, b in pairwise(ordered)]


def _covering(found: list[Part], start: int, stop: int) -> Part:
    """Return the part of [start, stop) with the most to say."""
    here = [part for part in found if part.offset <= start and stop <= part.offset + part.size]
    ranks = list(_KINDS)
    best = max(here, key=lambda part: ranks.index(part.kind), default=None)
    return Part(best.name if best else "", best.kind if best else "trapped", start, stop - start)


def _msix(config: ConfigSpace) -> Iterator[tuple[str, int, Area]]:
    """Yield what MSI-X has in BARs: (kind, BAR, place); PCI 3.0, 6.8.2."""
    msix = config.capability("MSIX")
    try:
        if msix is not None:
            count = msix.field("PCI_MSIX_FLAGS", "QSIZE") + 1
            table, pba = msix.value("PCI_MSIX_TABLE"), msix.value("PCI_MSIX_PBA")
            yield "MSI-X table", table & 7, Area(table & ~7, 16 * count)
            yield "MSI-X PBA", pba & 7, Area(pba & ~7, -(-count // 64) * 8)
    except KeyError:
        return  # cut short: config space was not read so far


def _config_parts(config: ConfigSpace) -> Iterator[Part]:
    yield Part("header", "header", 0, 64)
    for capability in config.capabilities:
        ends = [v.offset + v.register.width for v in capability.values] + [capability.offset + 4]
        size = max(ends) - capability.offset + len(capability.data)
        kind = "extended capability" if capability.extended else "capability"
        yield Part(capability.name, kind, capability.offset, size)


class _Lanes:
    """Boxes and labels of all lanes."""

    def __init__(self, facts: DeviceFacts | None, look: Theme) -> None:
        self.look = look
        self.boxes: list[dict[str, Any]] = []
        self.lit: list[dict[str, Any]] = []
        self.labels: dict[float, str] = {}
        self.config = decode(bytes(facts.config)) if facts and facts.config else None
        self.count = 0
        if facts is None:
            return
        present = [region for _, region in sorted(facts.regions.items()) if region.size]
        migration = facts.migration
        cut = {r.index: parts(r, self._config(facts), migration=r == migration) for r in present}
        # A common scale, so that a longer lane is a larger region; the widest fills the picture.
        widest = max((sum(part.weight for part in some) for some in cut.values()), default=1.0)
        for region in present:
            self._region(facts, region, cut[region.index], widest)
            if region == migration:
                self._registers(facts, 0, 32)
                self._registers(facts, 32, 64)

    def _config(self, facts: DeviceFacts) -> ConfigSpace | None:
        return self.config if facts.is_pci else None

    def _lane(self, label: str) -> float:
        self.count += 1
        self.labels[float(self.count)] = plain(label)
        return float(self.count)

    def _region(self, facts: DeviceFacts, region: Region, some: list[Part], widest: float) -> None:
        y = self._lane(f"{region.name}, {people_bytes(region.size)}")
        left = 0.0
        window = facts.window if region == facts.migration else None
        for part in some:
            width = part.weight / widest
            area = next((n for n, a in enumerate(region.areas) if a.offset <= part.offset < a.end), None)
            state = "trapped" if area is None else f"mappable, area {area}"
            if area is not None and (region.index, area) in facts.mapped:
                state += ", mapped now"
            chunk = "none here"
            if window is not None and window[0] < part.offset + part.size and part.offset < sum(window):
                chunk = f"[{window[0]:#x}, +{window[1]:#x}), {window[1]:,} bytes"
            name = f"{part.name}, {people_bytes(part.size)}" if part.kind == "mappable" else part.name
            self._box(
                y, left, left + width, part.kind, name or people_bytes(part.size), f"{part.offset:#x}",
                offset=exact_bytes(part.offset), size=exact_bytes(part.size),
                what=f"{region.name}: {part.name or part.kind}", more=state, chunk=chunk,
            )  # fmt: skip
            if window is not None:
                self._window(y, left, width, part, *window)
            left += width

    def _window(self, y: float, left: float, width: float, part: Part, offset: int, size: int) -> None:
        start, stop = max(offset, part.offset), min(offset + size, part.offset + part.size)
        if start < stop:
            a, b = (left + width * (edge - part.offset) / part.size for edge in (start, stop))
            self.lit.append({"left": a, "right": max(b, a + 0.004), "top": y - 0.44, "bottom": y + 0.44,
                             "offset": exact_bytes(offset), "size": exact_bytes(size),
                             "what": "data_offset, data_size", "more": "the chunk last staged",
                             "chunk": ""})  # fmt: skip

    def _registers(self, facts: DeviceFacts, start: int, stop: int) -> None:
        y = self._lane(f"  registers {start:#x}")
        some = [register for register in REGISTERS.values() if start <= register.offset < stop]
        whole = float(sum(8 + register.width for register in some))
        left = 0.0
        for register in some:
            known = facts.registers.get(register.name)
            more = "not accessed yet"
            short = ""
            if known is not None:
                said = meaning(register.name, known.value)
                short = said if register.name == "device_state" else f"{known.value:#x}"
                how = "written" if known.written else "read"
                more = f"{known.value:#x}{f' ({said})' if said else ''}, {how} by access {known.seq}"
            right = left + (8 + register.width) / whole
            self._box(
                y, left, right, "registers", register.name, short,
                offset=exact_bytes(register.offset), size=exact_bytes(register.width),
                what=f"{register.name}: {register.meaning}", more=more, chunk="",
            )  # fmt: skip
            if facts.last_register == register.name:
                self.lit.append({"left": left, "right": right, "top": y - 0.44, "bottom": y + 0.44,
                                 "offset": f"{register.offset:#x}", "size": f"{register.width} bytes",
                                 "what": register.name, "more": "the last access", "chunk": ""})  # fmt: skip
            left = right

    def _box(
        self, y: float, left: float, right: float, kind: str, name: str, below: str, **told: str
    ) -> None:
        number = _KINDS[kind]
        colour = self.look.grid if number is None else self.look.category(number)
        room = int((right - left) / _LETTER)
        short = _SHORT.get(name, name.partition(",")[0])
        words = [
            next((plain(text) for text in some if len(text) <= room), "")
            for some in ((name, short), (below,))
        ]
        self.boxes.append({
            "left": left, "right": right, "top": y - _HEIGHT, "bottom": y + _HEIGHT, "colour": colour,
            "name": words[0], "below": words[1], "y": y, "middle": (left + right) / 2,
            **{key: plain(text) for key, text in told.items()},
        })  # fmt: skip


_BOX = ("left", "right", "top", "bottom", "colour", "name", "below", "y", "middle")
_TOLD = ("what", "offset", "size", "more", "chunk")


class _RegionsPicture(Picture):
    def __init__(self, recording: Recording, look: Theme, side: str, device: str | None) -> None:
        self._facts, self._device, self._look, self._side = SideFacts(recording, side), device, look, side
        self._boxes = ColumnDataSource({name: [] for name in _BOX + _TOLD})
        self._lit = ColumnDataSource({name: [] for name in ("left", "right", "top", "bottom", *_TOLD)})
        self.plot = _plot(look, self._boxes, self._lit)
        self.note = new_note(look)
        super().__init__(
            recording, column(self.plot, self.note, sizing_mode="stretch_width"), self._read, look
        )
        self._facts.update()
        self._draw()

    def _read(self, at: int | None = None) -> bool:  # noqa: ARG002
        changed = self._facts.update()
        if changed:
            self._draw()
        return changed

    def _draw(self) -> None:
        facts = self._facts.device(self._device)
        lanes = _Lanes(facts, self._look)
        self._boxes.data = {name: [box[name] for box in lanes.boxes] for name in self._boxes.data}
        self._lit.data = {name: [box[name] for box in lanes.lit] for name in self._lit.data}
        axis = self.plot.yaxis[0]
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
    plot.quad(
        **shape, source=lit, fill_color=look.lit, fill_alpha=0.35, line_color=look.bad, line_width=3,
        legend_label="window, last register",
    )  # fmt: skip
    font: Any = value(look.font)
    for text, baseline in (("name", "bottom"), ("below", "top")):
        plot.add_glyph(boxes, Text(
            x="middle", y="y", text=text, text_align="center", text_baseline=baseline, text_font=font,
            text_font_size="11px", text_color=look.text,
        ))  # fmt: skip
    for label, kind in _LEGEND.items():
        number = _KINDS[kind]
        colour = look.grid if number is None else look.category(number)
        plot.scatter([-9], [-9], marker="square", size=12, color=colour, alpha=0.6, legend_label=label)
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
    recording: Recording, *, theme: str | Theme = "light", device: str | None = None, side: str = "source"
) -> Picture:
    """Return the picture of a device's regions.

    :param device: its name in the recording; the first with a migration region if not given
    :param side: "source" or "destination"
    :raises AddressError: there is no such theme, or no such device among those that are recorded
    """
    return _RegionsPicture(recording, named(theme), side, device)
