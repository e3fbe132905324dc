"""The page's side of our widgets: a script each, and before it what they share."""

from __future__ import annotations

from pathlib import Path

__all__ = ("STATIC", "script")

STATIC = Path(__file__).parent / "static"


def script(name: str) -> str:
    """Return a widget's script as one ES module; the page fetches nothing, so it cannot import the rest."""
    return "".join((STATIC / part).read_text("utf-8") for part in ("telling.js", name))
