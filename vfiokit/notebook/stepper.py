"""The thread that performs accesses while the front end's loop draws: a debugger's verbs, one after another.

A button's callback may come on any thread and must not wait (a cell that runs would hold up all others), so
it only starts a verb here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from vfiokit.debugger import Debugger, Stop
from vfiokit.errors import VfioError

__all__ = ("Stepper",)


class Stepper:
    """Runs one verb of *debugger* at a time on a thread of its own.

    :param ended: called with what came of each verb, on that thread
    """

    def __init__(self, debugger: Debugger, ended: Callable[[str, Stop | Exception], None]) -> None:
        self.debugger = debugger
        self._ended = ended
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pausing = False
        self.verb = ""

    @property
    def busy(self) -> bool:
        """A verb runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self, name: str, verb: Callable[[], Stop]) -> bool:
        """Start *verb*, called *name* in messages; False, and nothing is done, while another runs."""
        with self._lock:
            if self.busy:
                return False
            self.verb, self._pausing = name, False
            self._thread = threading.Thread(
                target=self._run, args=(name, verb), name="vfiokit-stepper", daemon=True
            )
            self._thread.start()
            return True

    def _run(self, name: str, verb: Callable[[], Stop]) -> None:
        came: Stop | Exception
        try:
            came = verb()
        except VfioError as error:
            came = error
        except Exception as error:  # a thread that dies in silence looks like a device that hangs
            came = error
        self._ended(name, came)

    def pause(self) -> None:
        """Ask what runs to stop before its next access; it does so once it has begun."""
        self._pausing = self.busy
        self.ask_again()

    def ask_again(self) -> None:
        """Repeat a `pause` that may have come before the verb had begun; call it on a clock."""
        if self._pausing and self.busy:
            self.debugger.pause()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs, at most *timeout* seconds; return whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return not self.busy
