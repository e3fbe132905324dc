"""The thread that draws: at a steady rate, what is newest then.

Stepping a device never waits for drawing, and drawing never touches a device: the two meet in the recording.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable

from vfiokit.errors import AddressError

__all__ = ("Pace", "Painter")


class Pace:
    """When to draw next: every *period* seconds. Who is late skips and does not catch up."""

    def __init__(self, period: float, start: float) -> None:
        self._period, self._due = period, start

    def wait(self, now: float) -> float:
        """Return the seconds until the next drawing is due, not below 0."""
        return max(0.0, self._due - now)

    def drawn(self, begun: float, now: float) -> None:
        """Plan the next drawing, after one that was *begun* and is done *now*."""
        # One that was asked for early starts the period anew; a late one keeps to the grid if it can.
        self._due = max(min(self._due, begun) + self._period, now)


class Painter:
    """Calls *draw* again and again, in a thread of its own; one per panel.

    :param draw: draws what is newest; it never asks a device
    :param hz: how often; more than 15 nobody sees, and a page with several pictures cannot keep up
    :param on_error: told what *draw* raised, in the thread it was raised in; the painter has stopped then.
        A dead painter that says nothing looks like a device that has converged
    :raises AddressError: the rate is not above 0
    """

    def __init__(
        self,
        draw: Callable[[], object],
        *,
        hz: float = 10.0,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        if not hz > 0:
            raise AddressError(f"a painter cannot draw at {hz} Hz", hint="hz=10")
        self._draw, self._on_error = draw, on_error
        self._period = 1 / hz
        self._control = threading.Lock()  # over who runs
        self._drawing = threading.Lock()  # over the canvas: one draws at a time
        self._run: _Run | None = None

    @property
    def running(self) -> bool:
        """Whether the thread draws."""
        run = self._run
        return run is not None and not run.stopping

    def start(self) -> None:
        """Draw from now on; nothing if it does already."""
        with self._control:
            if self.running:
                return
            self._run = run = _Run()
            atexit.register(self.stop)
        threading.Thread(target=self._paint_on, args=(run,), name="vfiokit-painter", daemon=True).start()

    def stop(self) -> None:
        """Draw no more. A drawing that has begun is ended by its thread; nobody waits for it."""
        run = self._run
        if run is not None:
            self._end(run)

    def restart(self) -> None:
        """Stop and start, as after an error."""
        self.stop()
        self.start()

    def draw_now(self) -> None:
        """Draw without waiting for the next turn: in the painter's thread if it runs, else here."""
        run = self._run
        if run is not None and not run.stopping:
            run.wake.set()
        else:
            self._paint()

    def _end(self, run: _Run) -> None:
        with self._control:
            run.stopping = True
            run.wake.set()
            if self._run is run:
                self._run = None
                atexit.unregister(self.stop)

    def _paint_on(self, run: _Run) -> None:
        pace = Pace(self._period, time.monotonic())
        while True:
            run.wake.wait(pace.wait(time.monotonic()))
            run.wake.clear()
            if run.stopping:
                return
            begun = time.monotonic()
            self._paint(run)
            pace.drawn(begun, time.monotonic())

    def _paint(self, run: _Run | None = None) -> None:
        try:
            with self._drawing:
                self._draw()
        except Exception as error:
            if run is not None:
                self._end(run)
            if self._on_error is None:
                raise
            self._on_error(error)


class _Run:
    """One life of the thread."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.stopping = False
