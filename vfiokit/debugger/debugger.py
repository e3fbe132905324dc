"""Step a migration: one access, one callback, until something, to the end.

Before an access is performed it is there to be seen, as `next_access`, with what it means. Source and
destination are stepped together, the destination as soon as the stream has something for it, or one at a
time. Every verb returns a `Stop`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vfiokit import accesses as a
from vfiokit.debugger import flow_stack
from vfiokit.debugger.alone import Alone
from vfiokit.debugger.breakpoints import Breakpoint
from vfiokit.debugger.dirtied import dirtied
from vfiokit.debugger.ends import End, Override
from vfiokit.debugger.moment import Fact, Moment
from vfiokit.debugger.stops import Stop
from vfiokit.errors import AddressError, MigrationCancelledError, StateError, VfioError
from vfiokit.protocol.v5.meanings import explain
from vfiokit.runner import StarvedError
from vfiokit.streams import Pipe

if TYPE_CHECKING:
    from vfiokit.emulated import FaultyDevice

__all__ = ("Debugger",)

SOURCE, DESTINATION = "source", "destination"
_CHECKPOINT = 2048  # facts between two kept moments, so that a rewind folds few


class Debugger:
    """Steps one end of a migration, or both.

    :param ends: "source", "destination" or both
    :param pipe: the stream between the two
    :param order: tells which side is due, instead of the pipe: a replay keeps the recorded order
    :param faulty: emulated devices whose faults can be switched, by side and name
    :param close: called by `close`, to take sides and devices apart
    :ivar pace: seconds to wait between two accesses while it runs, 0 for as fast as can be

    One thread at a time: a verb that is called while another runs raises StateError. `pause` and what only
    looks may be called from any thread.
    """

    def __init__(
        self,
        ends: dict[str, End],
        *,
        pipe: Pipe | None = None,
        order: Callable[[], str | None] | None = None,
        recording: Any = None,
        faulty: Mapping[tuple[str, str], FaultyDevice] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.ends = ends
        self.pipe = pipe
        self._order = order
        self.recording = recording
        self.breakpoints: list[Breakpoint] = []
        self.moment = Moment()
        self.history: list[Fact] = []
        self._checkpoints: list[Moment] = [self.moment.copy()]
        self.faulty = dict(faulty or {})
        self.pace = 0.0
        self._close = close
        self._alone = Alone()
        self._paused = threading.Event()

    # What is seen

    @property
    def side(self) -> str:
        """The side whose access is due: the destination when it can go on, else the source."""
        ordered = self._order() if self._order is not None else None
        if ordered is not None and self.ends[ordered].next is not None:
            return ordered
        there, here = self.ends.get(DESTINATION), self.ends.get(SOURCE)
        if there is not None and there.next is not None and not self._starved(there):
            return DESTINATION
        if here is not None and here.next is not None:
            return SOURCE
        return DESTINATION if there is not None and there.next is not None else next(iter(self.ends))

    @property
    def next_access(self) -> a.Access | None:
        """What the next `step` performs; None when all has ended."""
        return self.ends[self.side].next

    @property
    def replays(self) -> bool:
        """It replays a recording, which is then ahead of what was stepped."""
        return self._order is not None

    @property
    def ended(self) -> bool:
        """Every end has ended."""
        return all(end.next is None for end in self.ends.values())

    def explain(self, side: str | None = None) -> str:
        """Return what the next access means, "" when it says so itself."""
        side = side or self.side
        access = self.ends[side].next
        if access is None:
            return ""
        device = getattr(access, "device", "")
        known = self.moment.side(side).devices.get(device)
        return explain(access, known.state if known else 0)

    def where(self, side: str | None = None) -> list[flow_stack.Frame]:
        """Return the flow's frames, outermost first."""
        return flow_stack.stack(self.ends[side or self.side].flow)

    def at(self, count: int) -> Moment:
        """Return the moment after *count* accesses: the session rewound, to be looked at."""
        if not 0 <= count <= len(self.history):
            raise AddressError(f"moment {count}: the session has 0 to {len(self.history)}")
        moment = self._checkpoints[count // _CHECKPOINT].copy()
        for fact in self.history[count // _CHECKPOINT * _CHECKPOINT : count]:
            moment.apply(fact)
        return moment

    def dirtied(self, count: int | None = None, side: str = SOURCE) -> list[tuple[int, int]]:
        """Return the runs of guest pages that devices had reported dirty after *count* accesses, or by now.

        Each is (first page number, pages), of 4 KiB or as the device was asked for; from the recording's
        bitmaps, all reports so far taken together.
        """
        return dirtied(self.recording, side, len(self.history) if count is None else count)

    # The verbs

    def step(
        self, side: str | None = None, *, value: int | None = None, errno: int | None = None, count: int = 1
    ) -> Stop:
        """Perform one access, or *count*; what the VMM gets back may be forced.

        :param value: the number that a register read gives instead
        :param errno: the access fails with it and is not performed
        """
        override = Override(value, errno) if value is not None or errno is not None else None
        with self._alone.only("step"):
            stop = Stop("step", side or self.side)
            for _ in range(count):
                stop = self._one(side, override)
                if stop.reason != "step":
                    break
            return stop

    def next(self, side: str | None = None) -> Stop:
        """Go on to the next callback: a save_pending, a save_iterate, a state change."""
        name = side or self.side
        start = flow_stack.callback(self.where(name))

        def moved(_stop: Stop) -> bool:
            here = flow_stack.callback(self.where(name))
            return here is not None and here != start and (start is None or here.identity != start.identity)

        return self._go(moved, side)

    def until(
        self,
        event: str | None = None,
        *,
        access: str | None = None,
        state: str | None = None,
        condition: str | None = None,
        pending_below: int | None = None,
        turn: int | None = None,
        time_ns: int | None = None,
        device: str | None = None,
        side: str | None = None,
    ) -> Stop:
        """Run until a trace event, an access, a state, a condition, a turn of the loop or a time.

        :param event: a glob, ``vfio_save_iterate``
        :param access: a glob over words as ``read data_offset``; stops before it
        :param pending_below: stop once a pending_bytes read gave less, bytes
        :param time_ns: a time of the session's clock
        """
        register = None
        if pending_below is not None:
            register, condition = "pending_bytes", f"value < {pending_below}"
        if turn is not None:
            condition = f"turn >= {turn}"
        if time_ns is not None:
            condition = f"time >= {time_ns}"
        if not (event or access or state or condition):
            raise AddressError("until what?", hint="an event, access=, state=, condition=, turn= or time_ns=")
        temporary = Breakpoint(
            access, event, state, register, condition=condition, device=device, side=side, temporary=True
        )
        return self.run_to(temporary)

    def run_to(self, breakpoint: Breakpoint) -> Stop:  # noqa: A002 - it is what the field calls it
        """Run to *breakpoint*, to another one, or to the end; it is there for this run only."""
        with self._alone.only("run"):  # or what another thread runs would stop there
            self.breakpoints.append(breakpoint)
            try:
                return self.finish()
            finally:
                self.breakpoints.remove(breakpoint)

    def finish(self) -> Stop:
        """Run to the end, or to a breakpoint."""
        return self._go(lambda _stop: False, None)

    def cancel(self) -> Stop:
        """Cancel in place of the source's next access, and run the cancel path to its end.

        The recording has that access as failed by the cancel, so that a replay cancels there, too.
        """
        here = self.ends.get(SOURCE)
        if here is None or here.done:
            raise StateError("cancel", "a migration that has ended", ("one that goes on",))
        with self._alone.only("cancel"):
            self._perform(SOURCE, Override(error=MigrationCancelledError("cancelled in the debugger")))
            for name in (SOURCE, DESTINATION):
                self._drain(name)
            return self._ended(SOURCE)

    def _drain(self, name: str) -> None:
        end = self.ends.get(name)
        while end is not None and not end.done:
            self._perform(name, None)

    def add(self, breakpoint: Breakpoint) -> Breakpoint:  # noqa: A002 - it is what the field calls it
        """Add a breakpoint and return it."""
        self.breakpoints.append(breakpoint)
        return breakpoint

    def pause(self) -> None:
        """Stop, before its next access, what another thread runs; it returns a `Stop` for "paused"."""
        self._paused.set()

    def close(self) -> None:
        """Take everything apart; the recording stays."""
        self._close()

    # How

    def _go(self, done: Callable[[Stop], bool], side: str | None) -> Stop:
        with self._alone.only("run"):
            self._paused.clear()
            return self._run(done, side)

    def _run(self, done: Callable[[Stop], bool], side: str | None) -> Stop:
        first = True
        while True:
            name = side or self.side
            access = self.ends[name].next
            if access is not None and not first:
                for point in self.breakpoints:
                    if point.before(name, access, self.moment):
                        return self._stopped(point, name)
            if not first and (self._paused.wait(self.pace) if self.pace else self._paused.is_set()):
                return Stop("paused", name)
            first = False
            stop = self._one(side, None)
            if stop.reason != "step" or done(stop):
                return stop

    def _one(self, side: str | None, override: Override | None) -> Stop:
        """Perform one access of the side that is due."""
        name = side or self.side
        if self.ends[name].next is None:
            return self._ended(name)
        try:
            performed = self._perform(name, override)
        except StarvedError:
            return Stop("starved", name)
        access, result, refused = performed
        for point in list(self.breakpoints):
            if point.after(name, access, result, self.moment):
                return self._stopped(point, name, access, result)
        if self.ended:
            return self._ended(name, access, result)
        return Stop("step", name, access, result, refused)

    def _perform(self, name: str, override: Override | None) -> tuple[a.Access, Any, VfioError | None]:
        end = self.ends[name]
        fact = end.step(override)
        self.history.append(fact)
        self.moment.apply(fact)
        if len(self.history) % _CHECKPOINT == 0:
            self._checkpoints.append(self.moment.copy())
        if name == SOURCE and end.next is None and self.pipe is not None:
            self.pipe.close()
        return end.performed

    def _stopped(self, point: Breakpoint, name: str, access: Any = None, result: Any = None) -> Stop:
        if point.temporary and point in self.breakpoints:
            point.enabled = False
        return Stop("breakpoint", name, access, result, breakpoint=point)

    def _ended(self, name: str, access: Any = None, result: Any = None) -> Stop:
        error = next((end.error for end in self.ends.values() if end.error is not None), None)
        return Stop("failed" if error else "ended", name, access, result, error=error)

    def _starved(self, end: End) -> bool:
        access, pipe = end.next, self.pipe
        return (
            isinstance(access, a.Take) and pipe is not None and not pipe.closed and pipe.backlog < access.size
        )
