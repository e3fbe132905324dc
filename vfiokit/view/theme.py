"""How pictures look: colours, sizes, axes, and the words of their hover texts.

Categories have the colours of Okabe and Ito, which people of every colour vision tell apart; intensities
have Cividis, whose lightness rises evenly. A theme is light or dark::

    look = theme("dark")
    plot = new_figure(look, title="Pending", x_label="time", y_label="pending")
    time_axis(plot.xaxis[0]); bytes_axis(plot.yaxis[0])

The page's numbers are doubles, exact to 53 bits. So what a reader must see exactly is a text made here:
`exact`, `exact_bytes`, `exact_ns`. Text of devices goes through `plain` (models) or `escaped` (HTML).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bokeh.models import Axis, HoverTool
from bokeh.models.annotations import Title
from bokeh.models.renderers import DataRenderer
from bokeh.models.widgets import Div
from bokeh.palettes import Cividis256
from bokeh.plotting import figure

from vfiokit.errors import AddressError
from vfiokit.view.axes import bytes_axis, hex_axis, time_axis
from vfiokit.view.legends import new_legend

__all__ = (
    "DARK",
    "LIGHT",
    "THEMES",
    "Theme",
    "add_hover",
    "brief",
    "bytes_axis",
    "escaped",
    "exact",
    "exact_bytes",
    "exact_ns",
    "hex_axis",
    "new_figure",
    "new_note",
    "people_bytes",
    "people_ns",
    "plain",
    "style_axis",
    "theme",
    "time_axis",
)

_BLUE, _ORANGE, _GREEN, _VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
_SKY, _PURPLE, _YELLOW = "#56B4E9", "#CC79A7", "#F0E442"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``, sizes as CSS lengths."""

    name: str
    background: str
    text: str
    muted: str  # text that stands back, borders
    grid: str
    good: str
    bad: str  # refused, failed; never the only sign of it
    lit: str  # the present one
    categories: tuple[str, ...]  # Okabe and Ito, those that stand out from the background first
    sequential: tuple[str, ...] = tuple(Cividis256)  # low to high
    font: str = "system-ui, 'DejaVu Sans', sans-serif"
    title_size: str = "16px"
    label_size: str = "13px"
    tick_size: str = "12px"

    def category(self, number: int) -> str:
        """Return the colour of the category *number*, from 0; they repeat after the last."""
        return self.categories[number % len(self.categories)]


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1b1f24",
    muted="#59636e",
    grid="#dfe3e8",
    good=_GREEN,
    bad=_VERMILLION,
    lit=_ORANGE,
    categories=(_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _VERMILLION, "#000000", _YELLOW),
)
DARK = Theme(
    name="dark",
    background="#15181d",
    text="#e8eaed",
    muted="#a2abb5",
    grid="#343a43",
    good="#2fc79a",
    bad="#ff7a33",
    lit=_YELLOW,
    categories=(_SKY, _ORANGE, _GREEN, _PURPLE, _YELLOW, _VERMILLION, "#ffffff", _BLUE),
)
THEMES = {look.name: look for look in (LIGHT, DARK)}


def theme(name: str | Theme) -> Theme:
    """Return the theme "light" or "dark"; a `Theme` is itself.

    :raises AddressError: there is no such theme
    """
    if isinstance(name, Theme):
        return name
    if name not in THEMES:
        raise AddressError(f"there is no theme {name!r}", hint=f"one of {', '.join(THEMES)}")
    return THEMES[name]


def plain(text: object) -> str:
    """Return *text* as a model may show it: one line, valid Unicode, none of the marks of TeX.

    Bokeh would fetch MathJax to set what stands between them.
    """
    told = str(text)
    if not told.isprintable():
        told = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in told)
    return told.replace("$$", "$\u200b$").replace("\\(", "\\\u200b(").replace("\\[", "\\\u200b[")


def brief(text: object, most: int) -> str:
    """Return `plain` text of at most *most* letters: the middle goes, as names differ at either end."""
    told = plain(text)
    head = most // 2
    return told if len(told) <= most else f"{told[:head]}…{told[head + 1 - most :]}"


def escaped(text: object) -> str:
    """Return *text* as HTML that shows it as it is."""
    return html.escape(plain(text))


def new_figure(
    look: Theme,
    *,
    title: str,
    x_label: str,
    y_label: str,
    legend: Literal["right", "below"] | None = "below",
    height: int = 360,
    tools: str = "xpan,xwheel_zoom,box_zoom,reset,save",
    active_scroll: str | None = None,
    **options: Any,
) -> figure:
    """Return an empty figure as wide as the page, in the colours of *look*.

    :param legend: "right" or "below", outside the data; None for none. Glyphs with a `legend_label` go
        into it; a click on an entry hides what it stands for
    :param height: pixels
    :param options: what bokeh's figure takes besides
    """
    plot = figure(
        title=Title(text=plain(title), text_color=look.text, text_font_size=look.title_size),
        x_axis_label=plain(x_label),
        y_axis_label=plain(y_label),
        sizing_mode="stretch_width",
        height=height,
        tools=tools,
        active_scroll=active_scroll,
        background_fill_color=look.background,
        border_fill_color=look.background,
        outline_line_color=look.grid,
        min_border_right=16,
        **options,
    )
    plot.title.text_font = look.font  # type: ignore[union-attr]
    plot.toolbar.logo = None
    for axis in plot.axis:
        style_axis(axis, look)
    plot.grid.grid_line_color = look.grid
    if legend is not None:
        colors = look.background, look.text
        plot.add_layout(new_legend(legend, *colors, look.font, look.tick_size), legend)
    return plot


def style_axis(axis: Axis, look: Theme) -> None:
    """Give an axis that was made apart the theme's colours and sizes."""
    axis.axis_label_text_color = look.text
    axis.axis_label_text_font = look.font
    axis.axis_label_text_font_size = look.label_size
    axis.axis_label_text_font_style = "normal"
    axis.major_label_text_color = look.text
    axis.major_label_text_font = look.font
    axis.major_label_text_font_size = look.tick_size
    axis.axis_line_color = axis.major_tick_line_color = look.muted
    axis.minor_tick_line_color = None


def new_note(look: Theme, text: str = "", *, strong: bool = False) -> Div:
    """Return a paragraph that wraps; set its text to what `escaped` gives."""
    styles: dict[str, str | None] = {
        "background": look.background,
        "color": look.text if strong else look.muted,
        "font-family": look.font,
        "font-size": "15px" if strong else "13px",
        "font-weight": "600" if strong else "400",
        "padding": "2px 8px",
        "box-sizing": "border-box",
        "overflow-wrap": "anywhere",
    }
    return Div(text=text, sizing_mode="stretch_width", styles=styles, margin=0, disable_math=True)


def add_hover(
    plot: figure, renderers: Sequence[DataRenderer], tips: Sequence[tuple[str, str]], **options: Any
) -> HoverTool:
    """Add a hover over *renderers*: (label, column) pairs. The columns' texts are shown, never run."""
    tool = HoverTool(
        renderers=list(renderers), tooltips=[(label, f"@{{{column}}}") for label, column in tips], **options
    )
    plot.add_tools(tool)
    return tool


# Words for people, and exact ones.
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def people_bytes(count: float) -> str:
    """Return bytes with the unit people read: ``1.50 MiB``."""
    unit = 0
    while unit < len(_BINARY) - 1 and abs(count) >= 1024 ** (unit + 1):
        unit += 1
    return f"{count:.0f} B" if unit == 0 else f"{count / 1024**unit:.2f} {_BINARY[unit]}"


def people_ns(ns: float) -> str:
    """Return nanoseconds with the unit people read: ``12.35 ms``."""
    for size, name, digits in ((1e9, "s", 3), (1e6, "ms", 2), (1e3, "µs", 1)):
        if abs(ns) >= size:
            return f"{ns / size:.{digits}f} {name}"
    return f"{ns:.0f} ns"


def exact(value: int) -> str:
    """Return a number exactly, in decimal and hex: ``4,096 (0x1000)``."""
    number = int(value)
    return f"{number:,} ({number:#x})"


def exact_bytes(count: int) -> str:
    """Return a number of bytes for people and exactly: ``4.00 KiB = 4,096 B (0x1000)``."""
    number = int(count)
    return f"{people_bytes(number)} = {number:,} B ({number:#x})"


def exact_ns(ns: int) -> str:
    """Return a time for people and exactly: ``12.35 ms = 12,345,678 ns``."""
    return f"{people_ns(int(ns))} = {int(ns):,} ns"
