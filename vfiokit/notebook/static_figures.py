"""Figures that need no front end: what a notebook shows that was executed by a program, and its export."""

from __future__ import annotations

from vfiokit.recording import Recording
from vfiokit.view import convergence, dirty, regions, states
from vfiokit.view.theme import Theme

__all__ = ("static_html",)


def static_html(recording: Recording, look: Theme, side: str) -> str:
    """Return the pictures of *recording* as it is now, as HTML for a page that has BokehJS."""
    pictures = [make(recording, theme=look, side=side) for make in (convergence, states, regions, dirty)]
    return "\n".join(picture._repr_html_() for picture in pictures)
