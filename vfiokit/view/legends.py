"""Legends: their look, and entries whose symbol is seen while they have no data."""

from __future__ import annotations

from typing import Any

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource
from bokeh.models.annotations import Legend, LegendItem
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

__all__ = ("add_key", "new_legend")


def new_legend(place: str, background: str, text: str, font: str, size: str) -> Legend:
    """Return an empty legend; a click on an entry hides what it stands for.

    :param place: "right" or "below"
    """
    return Legend(
        orientation="vertical" if place == "right" else "horizontal",
        ncols="auto" if place == "right" else 3,
        click_policy="hide",
        location="top_left",
        background_fill_color=background,
        border_line_color=None,
        inactive_fill_color=background,
        inactive_fill_alpha=0.7,
        label_text_color=text,
        label_text_font=font,
        label_text_font_size=size,
        spacing=8,
        margin=2,
    )


def add_key(plot: figure, label: str, *renderers: GlyphRenderer[Any]) -> None:
    """Give *renderers* an entry in the legend of *plot*, with the symbol of the first.

    A glyph without data has no symbol, so the entry has a glyph of its own, which lies nowhere: at NaN. A
    click on the entry hides that one, and *renderers*, which get the label as their name, with it.
    """
    first = renderers[0]
    columns = first.data_source.data  # type: ignore[attr-defined]  # ours are column data sources
    nowhere = ColumnDataSource({name: [float("nan")] for name in columns})
    key = plot.add_glyph(nowhere, first.glyph.clone())
    key.name, key.y_range_name = f"key of {label}", first.y_range_name
    for renderer in renderers:
        renderer.name = label
        key.js_link("visible", renderer, "visible")
    item = LegendItem(label=value(label), renderers=[key])
    plot.legend[0].items.append(item)  # type: ignore[arg-type]  # a list of items, or of pairs
