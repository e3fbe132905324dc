"""A bokeh picture in a notebook that follows its models: one message a refresh, one way.

::

    pane = BokehPane(picture.root)          # show it in a cell, or in a box of ipywidgets
    if pane.ready():                        # else the page is still painting: draw later
        with pane.changing():               # alone with the models
            picture.update(at)
                                            # here the changes are sent, together

The page gets a snapshot of the document and after it numbered patches. It leaves out those that its snapshot
has, and asks for a new one when a number is missing: so it may be reloaded, or come late, at any moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import traitlets
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.document.events import (
    ColumnDataChangedEvent,
    DocumentChangedEvent,
    DocumentPatchedEvent,
    ModelChangedEvent,
)
from bokeh.models import ColumnDataSource
from bokeh.models.ui import UIElement
from bokeh.protocol import Protocol

from vfiokit.errors import StateError
from vfiokit.notebook import bokeh_js
from vfiokit.notebook.direct import DirectWidget
from vfiokit.notebook.in_flight import InFlight
from vfiokit.notebook.scripts import script
from vfiokit.view.link import MOMENT

__all__ = ("BokehPane",)


class BokehPane(DirectWidget):
    """Shows a tree of bokeh models and follows their changes.

    Any thread may call anything. Changes of the models are kept until `push`; make them inside `changing`,
    or in one thread only. What the page changes (zoom, selection) stays in the page, but for the moment.

    :param root: models made for this pane alone
    :param flight: counts what the page has not answered; for tests
    :raises StateError: the models are shown elsewhere
    """

    _esm = script("bokeh_pane.js")
    item = traitlets.Unicode().tag(sync=True)  # JSON: the snapshot, its number, what the page needs for it

    def __init__(self, root: UIElement, *, flight: InFlight | None = None, **options: Any) -> None:
        if root.document is not None:
            raise StateError(
                "show these models in a pane",
                "another document",
                ["no document"],
                rule="bokeh's models belong to one document: make a second picture",
            )
        self._lock = threading.RLock()  # over the document and what is pending
        self._flight = flight or InFlight()
        self._pending: list[DocumentPatchedEvent] = []
        self._unsent: list[tuple[dict[str, Any], list[bytes]]] = []
        self._chosen: dict[str, list[Any]] | None = None  # by the page, not yet in the document
        self._callbacks: list[Callable[[int | None], object]] = []
        self._root = root
        self._document = Document()
        self._document.add_root(root)
        super().__init__(item=self._snapshot(), **options)
        self._document.on_change(self._changed)
        self.on_msg(self._hear)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the document for changes by this thread alone, and `push` them at the end."""
        with self._lock:
            self._take_choice()
            yield
            self.push()

    def ready(self) -> bool:
        """Tell whether the page has painted what it was sent: if not, do not draw this time."""
        return self._flight.ready()

    def push(self) -> None:
        """Send what was changed since the last time, as one message; nothing if nothing was."""
        with self._lock:
            self._take_choice()
            self._write()
            unsent, self._unsent = self._unsent, []
            for content, buffers in unsent:
                self.send(content, buffers)

    def refresh(self) -> None:
        """Push, and bring the snapshot in the page up to date: before a notebook is saved or exported."""
        with self._lock:
            self.push()
            self.item = self._snapshot()

    def on_moment(self, callback: Callable[[int | None], object]) -> None:
        """Have *callback* told of each moment chosen in the page: the number of an access (``seq``), or None.

        It may be called in any thread and must not block. What the kernel sets is not told back.
        """
        self._callbacks.append(callback)

    def close(self) -> None:
        """Take the pane off the page and free its models for another one."""
        if self.comm is not None:
            with self._lock:
                self._document.remove_on_change(self._changed)
                self._document.clear()
                self._pending.clear()
        super().close()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """Return the traits for the page; one that asks for all has just been loaded."""
        if key is None and self.comm is not None:
            with self._lock:
                self._write()  # the snapshot has it; pages that are there already get it with the next push
                self._flight.present()
                self._trait_values["item"] = self._snapshot()  # not by the trait: that would send it, too
                return super().get_state(key, drop_defaults)
        return super().get_state(key, drop_defaults)

    def _write(self) -> None:
        """Make a patch of what is pending."""
        events, self._pending = self._pending, []
        if not events:
            return
        patch = Protocol().create("PATCH-DOC", events)
        content = {
            "kind": "patch",
            "seq": self._flight.sent(),
            "patch": patch.content_json,
            "ids": [buffer.id for buffer in patch.buffers],
        }
        self._unsent.append((content, [buffer.to_bytes() for buffer in patch.buffers]))

    def _snapshot(self) -> str:
        return serialize_json(
            {
                "doc": self._document.to_json(deferred=False),
                "root": self._root.id,
                "seq": self._flight.number,
                "moment": MOMENT,
                "version": bokeh_js.VERSION,
                "modules": bokeh_js.MODULES,
            }
        )

    def _changed(self, event: DocumentChangedEvent) -> None:
        if not isinstance(event, DocumentPatchedEvent):
            return
        with self._lock:
            # Unsent, an older value of the same property is of no use: what is pending stays small.
            for old in reversed(self._pending):
                if _replaced(old, event):
                    return
                if not isinstance(old, ModelChangedEvent | ColumnDataChangedEvent):
                    break  # streamed rows, say, come after the columns that they are added to
            self._pending.append(event)

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        """Take a message of the page, which is data: anything may be in it."""
        if not isinstance(content, dict):
            return
        if "ack" in content:
            self._flight.answered(content["ack"])
        elif content.get("want") == "bokehjs":
            self.send({"kind": "bokehjs", "version": bokeh_js.VERSION}, [bokeh_js.source().encode()])
        elif content.get("want") == "snapshot" and content.get("at") != self._flight.number:
            self.refresh()
        elif "moment" in content:
            self._choose(content["moment"], content.get("x"))

    def _choose(self, seq: object, x: object) -> None:
        if isinstance(seq, int) and isinstance(x, int | float):
            self._chosen = {"seq": [seq], "x": [x]}
        elif seq is None:
            self._chosen = {"seq": [], "x": []}
        else:
            return
        for callback in self._callbacks:
            callback(seq)

    def _take_choice(self) -> None:
        """Bring the document to what the page shows: a thread that hears it does not wait for the lock."""
        chosen, self._chosen = self._chosen, None
        moment = self._document.get_model_by_name(MOMENT) if chosen is not None else None
        if isinstance(moment, ColumnDataSource) and chosen is not None and moment.data != chosen:
            moment.data = chosen


def _replaced(old: DocumentPatchedEvent, new: DocumentPatchedEvent) -> bool:
    """Make *old* stand for *new* as well, if both set the same; bokeh does so but for whole columns."""
    if not (isinstance(old, ColumnDataChangedEvent) and isinstance(new, ColumnDataChangedEvent)):
        return old.combine(new)
    if old.model is not new.model or old.attr != new.attr or new.cols is not None:
        return False
    old.data, old.cols = new.data, None
    return True
