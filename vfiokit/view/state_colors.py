"""Colours of states, the same in the graph and in the lanes."""

from __future__ import annotations

from vfiokit.view.theme import LIGHT

__all__ = ("color_of", "text_over")

_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY = LIGHT.categories[:5]
# States that mean the same wear the same; what is not named here is grey.
_COLORS = {
    "running": _BLUE,
    "pre-copy": _SKY,
    "active": _SKY,
    "stop-and-copy": _ORANGE,
    "finish-migrate": _ORANGE,
    "device": _ORANGE,
    "resuming": _PURPLE,
    "inmigrate": _PURPLE,
    "completed": _GREEN,
    "failed": LIGHT.bad,
    "cancelling": LIGHT.bad,
    "cancelled": LIGHT.bad,
}
_GREY = "#9aa3ad"


def color_of(state: str) -> str:
    """Return the colour of a state of a VM, a migration or a device."""
    return _COLORS.get(state, _GREY)


def text_over(color: str) -> str:
    """Return black or white, whichever reads better over a colour (luma of ITU-R BT.601)."""
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "#ffffff"
