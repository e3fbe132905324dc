"""Chapter 1: attach, look, step."""

from __future__ import annotations

from vfiokit.course.exercises import OPEN, Verdict, exercise, right, wrong
from vfiokit.course.runs import MIB, as_number, debugger
from vfiokit.debugger import Debugger
from vfiokit.uapi.migration_v5 import REGISTERS, state_name

__all__ = ()

_SOURCE = "emulated:v5?state=8M&dirty=10M/s&chunk=256K&name=here"


@exercise("01.1", "%vfio status shows the registers; device_state is one of them")
def state_in_pre_copy(answer: object) -> Verdict:
    """Compare with device_state at the first vfio_save_iterate."""
    session = debugger(_SOURCE)
    session.until("vfio_save_iterate")
    state = session.moment.side("source").devices["here"].state
    session.close()
    number = as_number(answer)
    if number is None:
        return wrong("a number is wanted")
    if number != state:
        return wrong(f"{number:g} is not what device_state was written last; is the debugger in pre-copy?")
    return right(f"{state} is {state_name(state)}. Chapter 3 takes the number apart.")


@exercise("01.2", 'run until access="read data_offset", then step twice and look at stop.access')
def register_after_data_offset(answer: object) -> Verdict:
    """Compare with the access that follows a read of data_offset."""
    session = debugger(_SOURCE)
    session.until(access="read data_offset")
    session.step()
    following = getattr(session.next_access, "field", "")
    session.close()
    name = str(answer).strip()
    if name not in REGISTERS:
        return wrong(f"the registers are {', '.join(REGISTERS)}")
    if name != following:
        return wrong(f"{name} is read at another moment")
    return right("where the chunk is, then how long it is; then the chunk itself is read.")


@exercise("01.3", "mine.until(…) takes pending_below=, in bytes")
def below_a_mebibyte(answer: object) -> Verdict:
    """Hold the reader's debugger: it stands after the first read of less than 1 MiB."""
    if not isinstance(answer, Debugger):
        return wrong("a debugger is wanted: mine")
    if not answer.history:
        return OPEN
    reads = [fact.value for fact in answer.history if fact.kind == "Read" and fact.name == "pending_bytes"]
    low = [value for value in reads if value < MIB]
    if not low:
        return wrong("it has not come so far: pending_bytes was never below 1 MiB")
    last = answer.history[-1]
    if len(low) > 1 or (last.kind, last.name) != ("Read", "pending_bytes"):
        return wrong("it went on after that read; begin again with a new debugger")
    return right(f"pending_bytes is {low[0]:,}, after {len(answer.history):,} accesses.")
