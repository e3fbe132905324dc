"""Widgets that hear the page while a cell runs, and after the page was reloaded.

JupyterLab sends what a page tells a widget to a thread of the kernel of its own, a subshell, which is free
while a cell runs. ipykernel 7.4 sends it elsewhere (`ipykernel/comm/comm.py`, `_reply_subshell_for`): to the
thread of the request that the kernel was at when the widget last sent something. That is the main thread for
a cell, which is busy until the cell ends; and for a thread of ours it is the last request of all, which after
a reload is one of a subshell that is gone: then every click is dropped.
"""

from __future__ import annotations

from typing import Any

import anywidget
import ipywidgets

__all__ = ("DirectWidget", "heard_directly")


def heard_directly(*widgets: ipywidgets.Widget) -> None:
    """Have what the page tells these widgets go where the page sent it, until they next send something.

    For controls: after a cell or a thread has changed one of their traits.
    """
    for widget in widgets:
        if widget.comm is not None:
            vars(widget.comm).pop("_reply_subshell_id", None)


class DirectWidget(anywidget.AnyWidget):
    """A widget that is always heard directly."""

    def open(self) -> None:
        """Open the way to the page."""
        super().open()
        heard_directly(self)

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers=buffers)
        heard_directly(self)
