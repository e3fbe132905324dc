"""Chapter 9: a real kernel's device. Its times are real, so checks look at the reader's own recording."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import wraps
from typing import Any

from vfiokit.course.exercises import OPEN, Verdict, exercise, right, wrong
from vfiokit.recording import Recording
from vfiokit.view.theme import people_ns

__all__ = ()

Question = Callable[[Recording, Any], Verdict]


def _of_a_recording(question: Question) -> Callable[[object], Verdict]:
    """Let *question* be asked with (recording, answer)."""

    @wraps(question)
    def ask(given: object) -> Verdict:
        if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Recording)):
            return wrong("give (dbg.recording, answer)")
        recording, answer = given
        return OPEN if answer is ... else question(recording, answer)

    return ask


@exercise("09.1", "recording.accesses has kind and errno; errno.errorcode tells an errno's name")
@_of_a_recording
def refused_map(recording: Recording, answer: object) -> Verdict:
    """The errno that mapping the data section came back with, as a number or by name."""
    found = {row.errno for row in recording.accesses if row.kind == "Map" and row.error is not None}
    if not found:
        return wrong("this recording has no Map that was refused: run the session to its end first")
    names = {errno.errorcode.get(number, str(number)) for number in found}
    if answer in found or answer in names:
        return right(
            f"{', '.join(names)}: memory of the guest's kernel cannot be mapped here; read and write do."
        )
    return wrong("look for rows of kind 'Map' with an error")


@exercise("09.2", "of the source's rows of kind Read and Write, the largest duration_ns")
@_of_a_recording
def slowest_register(recording: Recording, answer: object) -> Verdict:
    """The register whose access took longest."""
    rows = [row for row in recording.accesses if row.kind in ("Read", "Write") and row.side == "source"]
    if not rows:
        return wrong("this recording has no register access yet: step the session")
    slowest = max(rows, key=lambda row: row.duration_ns)
    if answer == slowest.what:
        return right(
            f"{slowest.what}, {people_ns(slowest.duration_ns)}: that read or write is work for the driver."
        )
    took = [row.duration_ns for row in rows if row.what == answer]
    if not took:
        return wrong("a register's name is wanted, such as 'pending_bytes'")
    return wrong(f"{answer} took {people_ns(max(took))} at most; another took longer")
