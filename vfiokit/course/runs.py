"""Migrations that the checks run to find what is right; and the reader's answers as what they should be."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from vfiokit.addresses import open_device
from vfiokit.debugger import Debugger, debug
from vfiokit.recording import Recording
from vfiokit.vmm.outgoing import Parameters

__all__ = ("MIB", "as_number", "debugger", "finished", "register_values")

MIB = 1 << 20


def debugger(
    source: str, destination: str | None = None, *, memory: int = MIB, parameters: Parameters | None = None
) -> Debugger:
    """Return a debugger before the first access; both ends are addresses, *memory* is bytes."""
    there = open_device(destination) if destination is not None else None
    return debug(open_device(source), there, memory=memory, parameters=parameters)


@cache
def finished(
    source: str, destination: str | None = None, *, memory: int = MIB, parameters: Parameters | None = None
) -> Recording:
    """Return the recording of a migration that went to its end, or failed; run once for each question."""
    session = debugger(source, destination, memory=memory, parameters=parameters)
    session.finish()
    session.close()
    recording: Recording = session.recording
    return recording


def register_values(recording: Recording, kind: str, register: str, side: str = "source") -> Iterable[int]:
    """Yield what *side* read from a register ("Read") or wrote to it ("Write"), in order; no failures."""
    for row in recording.accesses:
        if row.kind == kind and row.what == register and row.side == side and row.error is None:
            yield int(row.value)


def as_number(answer: object) -> float | None:
    """Return an answer as a number; None if it is none."""
    try:
        return float(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
