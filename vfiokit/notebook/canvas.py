"""A heatmap on a canvas: one byte a cell and one message a frame, a quarter of what bokeh costs the page.

::

    canvas = DirtyCanvas(["#dfe3e8", "#0072B2"], ["clean", "dirty"])
    if canvas.ready():                             # else the page is still painting
        canvas.show(levels, first=0x100, each=16)  # uint8, rows x columns

It knows nothing of recordings: a level is an index of the palette, a cell is *each* guest pages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from vfiokit.errors import AddressError
from vfiokit.notebook.direct import DirectWidget
from vfiokit.notebook.in_flight import InFlight
from vfiokit.notebook.scripts import STATIC, script

__all__ = ("DirtyCanvas",)


class DirtyCanvas(DirectWidget):
    """Shows levels as coloured cells, row by row, the lowest page top left.

    Where there are more cells than pixels, a pixel has the highest level of its cells.

    Hover, or focus and arrow keys, tell of a cell its pages, its address and what its level means. Any
    thread may call anything.

    :param palette: colours as CSS has them, of the levels from 0; a level beyond has the last one's
    :param meanings: what the levels mean, as many; levels of one meaning share an entry of the legend
    :param page_size: bytes
    :param height: of the canvas, pixels; it is as wide as its place
    :param label: what the canvas is, for who cannot see it
    :param flight: counts what the page has not answered; for tests
    """

    _esm = script("canvas.js")
    _css = STATIC / "canvas.css"
    levels = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List(traitlets.Int(), [0, 0]).tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    palette = traitlets.List(traitlets.Unicode()).tag(sync=True)
    meanings = traitlets.List(traitlets.Unicode()).tag(sync=True)
    first = traitlets.Int(0).tag(sync=True)
    each = traitlets.Int(1).tag(sync=True)
    page_size = traitlets.Int(4096).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(320).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    asks = traitlets.Bool(False).tag(sync=True)  # whether somebody answers for a cell

    def __init__(
        self,
        palette: Sequence[str] = (),
        meanings: Sequence[str] = (),
        *,
        page_size: int = 4096,
        height: int = 320,
        label: str = "Dirty pages of guest memory",
        flight: InFlight | None = None,
        **options: Any,
    ) -> None:
        self._lock = threading.RLock()  # a frame is several traits
        self._flight = flight or InFlight()
        self._on_cell: Callable[[int, int], str] | None = None
        super().__init__(
            palette=list(palette),
            meanings=list(meanings),
            page_size=page_size,
            height=height,
            label=label,
            **options,
        )
        self.on_msg(self._hear)

    def ready(self) -> bool:
        """Tell whether the page has painted the last frames: if not, leave this one out."""
        return self._flight.ready()

    def show(
        self,
        levels: NDArray[np.uint8],
        *,
        first: int | None = None,
        each: int | None = None,
        note: str | None = None,
    ) -> None:
        """Send a frame; it stays in the widget's state for a page that is reloaded, saved or exported.

        :param levels: uint8, rows x columns
        :param first: number of the first cell's first page
        :param each: pages a cell
        :param note: a line below, shown as it is
        :raises AddressError: the array is another
        """
        if levels.dtype != np.uint8 or levels.ndim != 2:
            raise AddressError(
                f"a canvas cannot show an array of {levels.ndim} dimensions of {levels.dtype}",
                hint="uint8, rows x columns",
            )
        changed = {"first": first, "each": each, "note": note}
        with self._lock, self.hold_sync():
            for name, value in changed.items():
                if value is not None:
                    setattr(self, name, value)
            self.shape = list(levels.shape)
            self.levels = levels.tobytes()
            self.seq = self._flight.sent()

    def on_cell(self, callback: Callable[[int, int], str] | None) -> None:
        """Have *callback* say more of a cell that is looked at: the first page and the pages to a text.

        It is asked when hover or cursor have rested, may be called in any thread and must be quick.
        """
        with self._lock:
            self._on_cell = callback
            self.asks = callback is not None

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """Return the traits for the page, of one frame; a page that asks for all has just been loaded."""
        with self._lock:
            if key is None and self.comm is not None:
                self._flight.present()
            return super().get_state(key, drop_defaults)

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        """Take a message of the page, which is data: anything may be in it."""
        if not isinstance(content, dict):
            return
        if "ack" in content:
            self._flight.answered(content["ack"])
        elif self._on_cell is not None and isinstance(content.get("cell"), int):
            with self._lock:
                cell, (rows, columns), each = content["cell"], self.shape, self.each
                first = self.first + cell * each
            if 0 <= cell < rows * columns:
                text = self._on_cell(first, each)
                self.send({"kind": "cell", "cell": cell, "text": str(text)})
