"""Replay: a recording drives the flows that made it, without the devices.

The same flows are made from the recording's metadata and sent what was recorded; each access they ask for
is held against the recorded one, and the first that differs ends the replay, with both. A replay is a
`Debugger` like any other: it steps, stops, and goes back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vfiokit import accesses as a
from vfiokit.accesses import Flow
from vfiokit.debugger.debugger import DESTINATION, SOURCE, Debugger
from vfiokit.debugger.ends import BrokenOff, End
from vfiokit.debugger.session import Plugs, destination_flow, source_flow
from vfiokit.errors import RecordingError
from vfiokit.protocol.v5.quirks import Profile
from vfiokit.recording import Recording
from vfiokit.recording.replay import Step
from vfiokit.version import __version__
from vfiokit.vmm.memory import layout
from vfiokit.vmm.outgoing import Parameters
from vfiokit.vmm.vm import Vm

__all__ = ("ReplayDifferenceError", "replay", "version_note")


class ReplayDifferenceError(RecordingError):
    """The flow asks for another access than was recorded.

    :param number: of the recorded access
    :param asked: what the flow asks for now
    :param recorded: what it asked for then; None when the recording has ended
    """

    def __init__(self, side: str, number: int, asked: a.Access, recorded: a.Access | None) -> None:
        then = "nothing more" if recorded is None else str(recorded)
        super().__init__(
            f"replay of the {side} differs at access {number}: now: {asked}; recorded: {then}",
            hint="was it made by another version, or edited?",
        )
        self.number = number
        self.asked = asked
        self.recorded = recorded


def version_note(recording: Recording) -> str:
    """Return a sentence when *recording* was made by another version of vfiokit, else ""."""
    made = recording.metadata.get("vfiokit", "an unknown version")
    if made == __version__:
        return ""
    return f"this recording was made by vfiokit {made}, this is {__version__}: its flows may differ"


def replay(source: Recording | Path | str) -> Debugger:
    """Return a debugger that replays *source*: a recording, or the folder of one.

    :raises RecordingError: it cannot be read, or was not made by a debugging session
    """
    recording = source if isinstance(source, Recording) else Recording.load(source)
    told = recording.metadata
    try:
        memory = int(told["memory"])
        profile = Profile(told["profile"], frozenset(filter(None, told["quirks"].split(","))))
        parameters = Parameters(
            int(told["downtime_limit_ns"]),
            int(told["bandwidth"]) if told["bandwidth"] else None,
            int(told["precopy_limit_ns"]),
        )
        names = {side: _plugs(told[side]) for side in (SOURCE, DESTINATION)}
    except (KeyError, ValueError) as error:
        raise RecordingError(
            f"{recording!r} does not say how it was made: {error}",
            hint="recordings of `vfiokit step` and `vfiokit.debug` can be replayed",
        ) from error
    feeds: dict[str, _Feed] = {}
    ends: dict[str, End] = {}
    for side, plugs in names.items():
        if not plugs:
            continue
        feed = feeds[side] = _Feed(recording, side)
        vm = Vm(layout(memory) if memory else (), profile=profile)

        def flow(
            transferred: Callable[[], int], side: str = side, vm: Vm = vm, plugs: Plugs = plugs
        ) -> Flow[Any]:
            if side == SOURCE:
                return source_flow(vm, plugs, parameters, transferred)
            return destination_flow(vm, plugs)

        ends[side] = End(side, flow, feed, now=feed.now)

    def order() -> str | None:
        waiting = {side: feed.seq for side, feed in feeds.items() if ends[side].next is not None}
        return min(waiting, key=lambda side: waiting[side]) if waiting else None

    return Debugger(ends, order=order, recording=recording)


def _plugs(text: str) -> Plugs:
    return [(name.removesuffix("!"), not name.endswith("!")) for name in text.split(",") if name]


class _Feed:
    """Gives recorded results for the accesses they were recorded for."""

    def __init__(self, recording: Recording, side: str) -> None:
        self._side = side
        self._steps: Iterator[Step] = iter(recording.steps(side))
        self._next = next(self._steps, None)
        self._began = self._next.time_ns if self._next is not None else 0
        self._time = self._began
        self._count = itertools.count()

    @property
    def seq(self) -> int:
        """Number of the next recorded access, over both sides."""
        return 1 << 64 if self._next is None else self._next.seq

    def now(self) -> int:
        """When the last access was recorded, ns since the first."""
        return self._time - self._began

    def perform(self, access: a.Access) -> Any:
        """Return or raise what was recorded for *access*; another one breaks the replay off."""
        step, number = self._next, next(self._count)
        if step is None or not _matches(step, access):
            recorded = step.access if step else None
            raise BrokenOff(ReplayDifferenceError(self._side, number, access, recorded))
        self._next = next(self._steps, None)
        self._time = step.time_ns
        if step.error is not None:
            raise step.error
        return step.result


def _matches(step: Step, access: a.Access) -> bool:
    if step.error is not None and isinstance(access, (a.Emit, a.Say, a.Enter, a.Sample)):
        # Of one that failed, as by a cancel in its place, the recording has the kind alone.
        return type(access).__name__ == step.kind
    return step.differs(access) is None
