"""Keys of the panel: while the focus is in it, a letter does what a button does.

JupyterLab's own shortcuts are held off there, or "c" would copy the cell. The widget brings the panel's CSS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from vfiokit.notebook.scripts import STATIC, script

__all__ = ("Keys",)


class Keys(anywidget.AnyWidget):
    """Listens to the keyboard within the panel that it is in, an element of the class ``vfiokit-panel``.

    :param actions: what each key does, by the name that a browser gives it: "s", "ArrowLeft"
    """

    _esm = script("keys.js")
    _css = STATIC / "panel.css"
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, actions: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(names=list(actions))
        self.actions = dict(actions)
        self.on_msg(self._pressed)

    def _pressed(self, _widget: Any, content: Any, _buffers: Any) -> None:
        action = self.actions.get(str(content.get("key"))) if isinstance(content, dict) else None
        if action is not None:
            action()
