"""A migration stream in a cell: all of it as a bar, and its bytes with what each of them means.

::

    items = list(read_items(Path("stream.bin").read_bytes()))
    stream_bar(items)
    stream_table(item for item in items if "vfio" in item.section)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from vfiokit.units import show_size
from vfiokit.view.theme import Theme, escaped, theme
from vfiokit.vmm.stream_items import Item

__all__ = ("Shown", "stream_bar", "stream_table")

_RAM = ("ram word", "ram page", "ram fill byte")
_FEW = 6  # items of RAM pages that are shown one by one
_KINDS = (
    "framing of QEMU's",
    "marker of the device's part",
    "PCI config state",
    "device data",
    "guest memory",
)
_FRAMING, _MARKER, _CONFIG, _DATA, _MEMORY = range(5)


class Shown:
    """HTML for a cell; *text* is the same without it."""

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = text

    def _repr_html_(self) -> str:
        return self._html

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def stream_table(items: Iterable[Item], *, look: str | Theme = "light") -> Shown:
    """Return the items as rows: place, bytes, name, meaning. Long runs of guest pages are one row."""
    themed = theme(look)
    rows = list(_rows(items))
    style = f"font:12.5px/1.5 'DejaVu Sans Mono',monospace;color:{themed.text};background:{themed.background}"
    cells = "".join(_row(row, themed) for row in rows)
    html = (
        f'<div style="{style};max-height:560px;overflow:auto">{_legend(rows, themed)}'
        f'<table style="border-collapse:collapse;margin:0">{cells}</table></div>'
    )
    return Shown(html, "\n".join(f"{place:#08x}  {data:<36}  {said}" for _, place, data, said, _ in rows))


def stream_bar(items: Iterable[Item], *, look: str | Theme = "light") -> Shown:
    """Return the whole stream as a bar of its sections, wide as they are long; those after the stop apart."""
    themed = theme(look)
    parts = [part for part in _sections(items) if part[0]]
    running = [part for part in parts if " END " not in part[0]]
    stopped = [part for part in parts if " END " in part[0]]
    groups = [("guest runs", running), ("guest stopped", stopped)]
    html = "".join(_group(title, group, themed) for title, group in groups if group)
    text = "; ".join(
        f"{title}: {show_size(sum(size for _, size in group))} in {len(group)} sections"
        for title, group in groups
    )
    font = f"font:13px {escaped(themed.font)};color:{themed.text};background:{themed.background}"
    return Shown(
        f'<div style="{font};padding:4px">{_bar_legend(themed)}'
        f'<div style="display:flex;gap:10px">{html}</div></div>',
        text,
    )


def _sections(items: Iterable[Item]) -> Iterator[tuple[str, int]]:
    for name, group in groupby(items, key=lambda item: item.section):
        yield name, sum(item.size for item in group)


def _group(title: str, group: list[tuple[str, int]], look: Theme) -> str:
    total = sum(size for _, size in group)
    bars = "".join(
        f'<div title="{escaped(name)}: {escaped(show_size(size))}" '
        f'style="flex:{size} 1 0;min-width:2px;background:{_section_color(name, look)}"></div>'
        for name, size in group
    )
    return (
        f'<div style="flex:{total} 1 260px"><div style="display:flex;gap:1px;height:44px">{bars}</div>'
        f'<div style="color:{look.muted};border-top:2px solid {look.muted};margin-top:4px;padding-top:2px">'
        f"{title}: {escaped(show_size(total))}, {len(group)} sections</div></div>"
    )


def _section_color(name: str, look: Theme) -> str:
    return _color(_DATA if name.endswith("/vfio") else _MEMORY, look)


def _bar_legend(look: Theme) -> str:
    return _keys({_MEMORY: "guest memory", _DATA: "the device"}, look, "each side to its own scale")


def _color(kind: int, look: Theme) -> str:
    return (look.muted, look.category(0), look.category(3), look.category(2), look.category(4))[kind]


def _kind(item: Item) -> int:
    if item.what == "marker" or item.what == "data size":
        return _MARKER
    if item.what == "device data":
        return _DATA
    if item.what in _RAM or "block" in item.what:
        return _MEMORY
    if item.section.endswith("/vfio") and not item.what.startswith(("footer", "section")):
        return _CONFIG
    return _FRAMING


_Row = tuple[int, int, str, str, bool]


def _rows(items: Iterable[Item]) -> Iterator[_Row]:
    """Yield (kind, place, bytes in hex, what is said, whether a section begins)."""
    for pages, group in groupby(items, key=lambda item: item.what in _RAM):
        found = list(group)
        if pages and len(found) > _FEW:
            size = sum(item.size for item in found)
            count = sum(item.what != "ram word" for item in found)
            yield _MEMORY, found[0].offset, "…", f"{count} pages of guest memory, {show_size(size)}", False
            continue
        for item in found:
            said = f"{item.what}: {item.meaning}" if item.meaning else item.what
            yield _kind(item), item.offset, item.hex, said, item.what == "section type"


def _row(row: _Row, look: Theme) -> str:
    kind, place, data, said, begins = row
    line = f"border-top:1px solid {look.grid};" if begins else ""
    color = _color(kind, look)
    cell = f"{line}padding:0 12px 0 8px;text-align:left;white-space:nowrap;vertical-align:top"
    return (
        f'<tr style="background:none"><td style="{cell};color:{look.muted};border-left:5px solid {color}">'
        f'{place:#08x}</td><td style="{cell}">{escaped(data)}</td>'
        f'<td style="{cell};white-space:normal">{escaped(said)}</td></tr>'
    )


def _legend(rows: list[_Row], look: Theme) -> str:
    kinds = sorted({row[0] for row in rows})
    return _keys({kind: _KINDS[kind] for kind in kinds}, look)


def _keys(named: dict[int, str], look: Theme, note: str = "") -> str:
    keys = "".join(
        f'<span style="border-left:12px solid {_color(kind, look)};padding:0 14px 0 6px">{name}</span>'
        for kind, name in named.items()
    )
    told = f'<span style="color:{look.muted}">{note}</span>'
    return f'<div style="margin:2px 0 8px">{keys}{told}</div>'
