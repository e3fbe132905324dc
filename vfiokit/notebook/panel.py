"""The live panel: a debugger's verbs as buttons, and the pictures of its recording.

::

    vfiokit.panel(vfiokit.debug(source, destination))
    vfiokit.panel("bringup.vfk")            # a saved session, replayed

It has two threads: one performs accesses ("vfiokit-stepper"), one draws what is newest, ten times a second
("vfiokit-painter"). They meet in the recording: a flood of accesses neither waits for the page nor stalls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import ipywidgets as widgets

from vfiokit.console.display import fact_text
from vfiokit.debugger import Debugger, Stop, replay
from vfiokit.errors import VfioError
from vfiokit.notebook.breakpoint_list import BreakpointList, place_of
from vfiokit.notebook.direct import heard_directly
from vfiokit.notebook.fault_switch import FaultSwitch
from vfiokit.notebook.keep import Keep
from vfiokit.notebook.keys import Keys
from vfiokit.notebook.pages import new_pages
from vfiokit.notebook.painter import Painter
from vfiokit.notebook.rewind import Rewind
from vfiokit.notebook.static_figures import static_html
from vfiokit.notebook.status import message_html, next_html, status_html
from vfiokit.notebook.stepper import Stepper
from vfiokit.notebook.toolbar import VERBS, Toolbar
from vfiokit.recording import Recording
from vfiokit.view.moments import time_of
from vfiokit.view.theme import Theme, escaped
from vfiokit.view.theme import theme as named

__all__ = ("Panel", "panel")

_panels: WeakKeyDictionary[Debugger, Panel] = WeakKeyDictionary()


class Panel(widgets.VBox):
    """The panel of one debugger; another one of the same debugger ends it.

    :param debugger: what its buttons drive
    :param look: its theme
    :param hz: how often it is drawn, a second
    :param side: the side whose pictures are shown
    """

    def __init__(self, debugger: Debugger, look: Theme, hz: float, side: str) -> None:
        self.debugger, self.look, self.side = debugger, look, side
        self.recording: Recording = debugger.recording
        self.stepper = Stepper(debugger, self._ended)
        self._came: tuple[str, Stop | Exception | None] = ("", None)
        self._times: dict[int, float] = {}
        verbs: dict[str, Callable[[], Any]] = {name: getattr(self, name.lower()) for name, *_ in VERBS}
        self.toolbar = Toolbar(verbs, self.until)
        self.rewind = Rewind(self._draw_soon)
        self.breakpoints = BreakpointList(debugger, self._failed)
        self.faults = FaultSwitch(debugger, self._failed)
        self.keep = Keep(self.recording, look, self._failed)
        self.status, self.next_line, self.message = (widgets.HTML() for _ in range(3))
        self.next_line.add_class("vfiokit-next-line")
        self.pages = new_pages(self.recording, look, side)
        for page in self.pages:
            page.on_moment(self.show_access)
        self.tabs = widgets.Tab([page.widget for page in self.pages], titles=[p.title for p in self.pages])
        self.tabs.observe(lambda _change: self._draw_soon(), "selected_index")
        self.more = widgets.Accordion(
            [self.breakpoints.widget, self.faults.widget, self.keep.widget],
            titles=["Breakpoints", "Faults", "Report and recording"],
        )
        keys = Keys({
            **{key: verbs[name] for name, _, key, _ in VERBS if key},
            "u": lambda: self.until(self.toolbar.place.value),
            "[": lambda: self.rewind.by(-1),
            "]": lambda: self.rewind.by(1),
            "\\": lambda: self.rewind.to(None),
        })  # fmt: skip
        self.painter = Painter(self._draw, hz=hz, on_error=lambda error: self._failed("draw", error))
        super().__init__(
            [
                keys,
                self.toolbar.widget,
                self.next_line,
                self.status,
                self.message,
                self.rewind.widget,
                self.tabs,
                self.more,
            ]
        )
        self.add_class("vfiokit-panel").add_class(f"vfiokit-{look.name}")
        self._draw()
        self.painter.start()

    # The verbs; each starts and returns

    def step(self) -> None:
        """Perform one access."""
        self._start("step", self.debugger.step)

    def next(self) -> None:
        """Go on to the next callback."""
        self._start("next", self.debugger.next)

    def run(self) -> None:
        """Run at the chosen pace, to a breakpoint or to the end."""
        self._start("run", self.debugger.finish, self.toolbar.pace.value)

    def finish(self) -> None:
        """Run as fast as it can, to a breakpoint or to the end."""
        self._start("finish", self.debugger.finish)

    def pause(self) -> None:
        """Stop what runs before its next access."""
        self.stepper.pause()

    def cancel(self) -> None:
        """Cancel the migration here."""
        self._start("cancel", self.debugger.cancel)

    def until(self, place: str) -> None:
        """Run until *place*, as typed after ``until`` in the terminal."""
        try:
            point = place_of(place)
        except VfioError as error:
            self._failed("until", error)
            return
        point.temporary = True
        self._start("until", lambda: self.debugger.run_to(point))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs, at most *timeout* seconds; return whether that is so."""
        return self.stepper.join(timeout)

    def show_access(self, seq: int | None) -> None:
        """Show the moment after the access of that number; the newest without one."""
        self.rewind.to(None if seq is None else seq + 1)

    def close(self) -> None:
        """Stop drawing; what runs is paused. The debugger and its recording stay."""
        self.stepper.pause()
        self.painter.stop()
        for page in self.pages:
            page.close()
        super().close()

    # How

    def _start(self, name: str, verb: Callable[[], Stop], pace: float = 0.0) -> None:
        if self.stepper.busy:
            return
        self.rewind.to(None)
        self._came = "", None
        self.debugger.pace = pace
        self.stepper.start(name, verb)
        self._draw_soon()

    def _ended(self, verb: str, came: Stop | Exception) -> None:
        self._came = verb, came
        self._draw_soon()

    def _failed(self, verb: str, error: Exception) -> None:
        self._came = verb, error
        self._say(self.message, message_html(*self._came, self.look))

    def _draw_soon(self) -> None:
        if self.painter.running:
            self.painter.draw_now()

    def _draw(self) -> None:
        self.stepper.ask_again()
        debugger, busy = self.debugger, self.stepper.busy
        count = len(debugger.history)
        self.rewind.grow(count)
        at = self.rewind.at
        self.toolbar.allow(busy=busy, ended=debugger.ended)
        moment = debugger.moment if at is None else debugger.at(min(at, count))
        self._say(self.status, status_html(moment, self.look))
        next_text = ""
        if at is not None and at < count:
            next_text = fact_text(debugger.history[at])
            self._say(self.next_line, f"<b>rewound</b>: then came {escaped(next_text)}")
        elif busy:
            self._say(self.next_line, f"<b>{self.stepper.verb}</b> runs …")
        else:
            next_text = str(debugger.next_access or "")
            self._say(self.next_line, next_html(debugger, self.look))
        self._say(self.message, message_html(*self._came, self.look))
        if not busy:
            self.breakpoints.update()
        page = self.pages[self.tabs.selected_index or 0]
        seq = self._seq(at, count)
        page.draw(seq, self._time(seq), next_text)
        heard_directly(*_all_within(self))  # this thread may have changed any of them

    def _seq(self, at: int | None, count: int) -> int | None:
        """Return the number of the last access to be shown; None for the newest."""
        # A replay's recording is ahead of the replay.
        if at is None and self.recording.seq + 1 > count and self.debugger.replays:
            at = count
        return None if at is None else at - 1

    def _time(self, seq: int | None) -> float:
        if seq is None:
            return 0.0
        if seq not in self._times:
            self._times = {seq: time_of(self.recording, seq)}
        return self._times[seq]

    def _say(self, place: widgets.HTML, text: str) -> None:
        if place.value != text:
            place.value = text

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the panel where there are widgets, and figures as they are now where there are none."""
        data = super()._repr_mimebundle_(**options)
        if isinstance(data, dict):
            data["text/html"] = static_html(self.recording, self.look, self.side)
        return data


def _all_within(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _all_within(child)


def panel(
    what: Debugger | Recording | Path | str,
    *,
    theme: str | Theme = "light",
    hz: float = 10.0,
    side: str | None = None,
) -> Panel:
    """Return the live panel of a debugger, or of a recording, which is replayed; show it as a cell's value.

    Keys, while the focus is in it: s step, n next, r run, p pause, f finish, u until, [ and ] back and on.

    :param what: a debugger; a recording or its folder, as a session left it
    :param theme: "light" or "dark"
    :param hz: how often it is drawn, a second; a page shows some 15
    :param side: whose pictures: "source" if there is one
    :raises RecordingError: it cannot be read, or was not made by a session
    """
    debugger = what if isinstance(what, Debugger) else replay(what)
    old = _panels.pop(debugger, None)
    if old is not None:
        with suppress(VfioError):
            old.close()
    made = Panel(debugger, named(theme), hz, side or next(iter(debugger.ends)))
    _panels[debugger] = made
    return made
