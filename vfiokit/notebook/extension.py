"""``%load_ext vfiokit``: BokehJS for pictures in cells, once, and the magics."""

from __future__ import annotations

from typing import Any

from IPython.display import HTML, display

from vfiokit.notebook.bokeh_js import script_html
from vfiokit.notebook.magics import VfioMagics

__all__ = ("load_ipython_extension",)


def load_ipython_extension(shell: Any) -> None:
    """Load the extension into an IPython shell."""
    shell.register_magics(VfioMagics)
    display(HTML(script_html()))  # type: ignore[no-untyped-call]
