"""A performer that records: it stands between a flow and whoever performs its accesses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from vfiokit.accesses import Access
from vfiokit.errors import VfioError
from vfiokit.recording.recording import Recording
from vfiokit.recording.sections import Section
from vfiokit.recording.writers import MISFITS

__all__ = ("Recorder",)


class Performer(Protocol):
    """Who performs; :class:`vfiokit.runner.Performer`."""

    def perform(self, access: Access) -> Any:
        """Return the access's result, or raise."""
        ...


class Clock(Protocol):
    """Who tells the time, ns."""

    def now(self) -> int:
        """Nanoseconds."""
        ...


class Recorder:
    """Performs through *performer* and records what came of each access.

    :param side: "source" or "destination"
    :param clock: tells when and how long; a simulated one says how long in simulated time
    :param memory: where guest memory lies; recorded with the first access
    :ivar perform: performs one access, returns or raises what came. Not recorded: what is raised that is
        not a VfioError, as StarvedError, after which the same access comes again.
    """

    perform: Callable[[Access], Any]

    def __init__(
        self,
        performer: Performer,
        recording: Recording,
        side: str,
        clock: Clock,
        memory: Iterable[Section] = (),
    ) -> None:
        self.performer = performer
        self.recording = recording
        self.side = side
        number, by_type = recording.fast_path(side)
        inner, now, record = performer.perform, clock.now, recording.access

        def perform(access: Access) -> Any:
            start = now()
            try:
                result = inner(access)
            except VfioError as error:
                record(side, access, None, error, start, now() - start)
                raise
            try:
                by_type[type(access)](number, access, result, start, now() - start)
            except MISFITS:
                record(side, access, result, None, start, now() - start)
            return result

        waiting = list(memory)

        def first(access: Access) -> Any:
            # Whoever has taken this function as `perform` comes here each time.
            if waiting:
                recording.place(side, waiting, now())
                waiting.clear()
                self.perform = perform
            return perform(access)

        self.perform = first if waiting else perform
