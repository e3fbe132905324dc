"""One thread at a time: whoever comes second is told so, and does not wait."""

from __future__ import annotations

import threading

from vfiokit.errors import StateError

__all__ = ("Alone",)


class Alone:
    """A lock that is never waited for; the thread that has it may take it again.

    ::

        with alone.only("step"):
            ...

    Made without a generator, since a debugger takes it at every step.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def only(self, verb: str) -> Alone:
        """Take the lock for *verb*; let it go at the end of a ``with``.

        :raises StateError: another thread has it
        """
        if not self._lock.acquire(blocking=False):
            raise StateError(verb, "a debugger that another thread runs", ("one that stands: pause() it",))
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        self._lock.release()
