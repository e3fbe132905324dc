"""Chapter 3: the states and the two flow charts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vfiokit.addresses import open_device
from vfiokit.course.exercises import Verdict, exercise, right, wrong
from vfiokit.course.runs import MIB, as_number, debugger, finished, register_values
from vfiokit.errors import VfioError
from vfiokit.uapi.migration_v5 import state_name

__all__ = ()

_SOURCE, _THERE = "emulated:v5?state=4M&dirty=5M/s&name=here", "emulated:v5?state=4M&name=there"


@exercise("03.1", "the walk above has them; a list such as [1, 2]")
def states_of_a_save(answer: object) -> Verdict:
    """Compare with the numbers that a whole migration writes to the source."""
    written = list(register_values(finished(_SOURCE, _THERE, memory=MIB), "Write", "device_state"))
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        return wrong("a list of numbers is wanted")
    if list(answer) == written:
        return right(" → ".join(state_name(number) for number in written))
    if sorted(answer) == sorted(written):
        return wrong("these are the numbers; the order is another")
    missing = len(set(written) - set(answer))
    return wrong(f"{missing} of the numbers written are missing" if missing else "some are never written")


@exercise("03.2", "the states picture has the last one; RUNNING alone would be 1, stopped 0")
def state_after_cancel(answer: object) -> Verdict:
    """Compare with what is written last when pre-copy is cancelled."""
    session = debugger(_SOURCE, _THERE)
    session.until("vfio_save_iterate")
    session.cancel()
    session.close()
    last = list(register_values(session.recording, "Write", "device_state"))[-1]
    if as_number(answer) != last:
        return wrong("the guest was never stopped: what must its device be able to do?")
    return right(f"{last}, {state_name(last)}: SAVING goes, the guest never noticed.")


@exercise("03.3", "try 0 to 7 with device.reset() before each; a set such as {1, 2}")
def refused_states(answer: object) -> Verdict:
    """Compare with the numbers that a fresh device refuses."""
    refused = set()
    with open_device("emulated:v5?state=4K") as device:
        for number in range(8):
            device.reset()
            try:
                device.pwrite(9, 0, number.to_bytes(4, "little"))
            except VfioError:
                refused.add(number)
    if not isinstance(answer, Collection) or isinstance(answer, str):
        return wrong("a set of numbers is wanted")
    given = set(answer)
    if given - refused:
        return wrong(f"{sorted(given - refused)} is taken; did you reset the device before each try?")
    if refused - given:
        return wrong(f"right so far; {len(refused - given)} more")
    return right("RESUMING goes with nothing else (v5 spec 3.1). The posting's own check let 7 through.")
