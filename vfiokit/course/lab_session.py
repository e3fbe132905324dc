"""The session of chapter 9: two devices of the lab's guest, or a recording that was made there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from vfiokit import lab
from vfiokit.addresses import open_device
from vfiokit.debugger import Debugger, debug, replay
from vfiokit.errors import DeviceBusyError, LabError
from vfiokit.recording import Recording
from vfiokit.vmm.outgoing import Parameters

__all__ = ("DESTINATION", "MEMORY", "RECORDING", "SOURCE", "LabSession", "attach", "record")

SOURCE, DESTINATION = "lab:v5?dma=2M/s&dirty=512K/s&pattern=hot&param=64", "lab:v5-2"
MEMORY = 4 << 20
# On a machine that is very busy pre-copy may not converge; then it is given up, and that is seen.
LIMITS = Parameters(downtime_limit_ns=150_000_000, bandwidth=8 << 20, precopy_limit_ns=20_000_000_000)
RECORDING = Path(__file__).parent / "recordings" / "lab-v5.vfk"


@dataclass
class LabSession:
    """A debugger before its first access.

    :ivar live: it steps the guest's kernel; else it replays the recording
    """

    debugger: Debugger
    live: bool
    _undo: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Let devices go, and end the guest if this session began it; twice is allowed."""
        self._undo.close()


def attach(say: Callable[[str], None]) -> LabSession:
    """Start the lab's guest if none is up and return a session with two of its devices.

    Where the lab cannot start, or somebody else has a device of it open, *say* is told so, and the session
    replays a recording instead.
    """
    why = lab.available()
    if why is None:
        try:
            return _live(say)
        except (LabError, DeviceBusyError) as error:
            why = str(error)
    say(f"there is no lab for this session: {why}")
    say("so this is a recording that was made there; every cell works on it as well")
    session = replay(RECORDING)
    undo = ExitStack()
    undo.callback(session.close)
    return LabSession(session, live=False, _undo=undo)


def record(folder: Path = RECORDING) -> Recording:
    """Make the recording that is shown where the lab cannot start; *folder* is replaced.

    :raises LabError: the lab cannot start here
    """
    why = lab.available()
    if why is not None:
        raise LabError(why)
    session = _live(print)
    try:
        session.debugger.finish()
        recording: Recording = session.debugger.recording
        running = lab.status()
        assert running is not None
        recording.metadata["kernel"] = running.release  # the guest's is meant, not the host's
        shutil.rmtree(folder, ignore_errors=True)
        recording.save(folder)
    finally:
        session.close()
    return recording


def _live(say: Callable[[str], None]) -> LabSession:
    with ExitStack() as undo:
        found = lab.status()
        if found is None or not found.alive:
            undo.callback(lab.down)
            found = lab.up(say, machine="mdev")  # the quickest to start that has our devices
        say(f"a guest with Linux {found.release}; stepping {SOURCE} and {DESTINATION}")
        source = undo.enter_context(open_device(SOURCE))
        there = undo.enter_context(open_device(DESTINATION))
        session = debug(source, there, memory=MEMORY, parameters=LIMITS)
        undo.callback(session.close)
        return LabSession(session, live=True, _undo=undo.pop_all())
