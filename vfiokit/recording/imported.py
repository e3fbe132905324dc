"""A log of QEMU's as a recording, so that every picture and the report can be made of it.

What the log tells is there: the trace events, the device's states that they name, and the lines that are no
events, as messages. What it does not tell is not: accesses, samples of the loop, bitmaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vfiokit.accesses import Access, Emit, Enter, Say
from vfiokit.errors import RecordingError
from vfiokit.recording.recording import Recording
from vfiokit.uapi.migration_v5 import state_name

if TYPE_CHECKING:
    from vfiokit.trace import Record, Unknown

__all__ = ("EVENT_SETS", "import_log")

EVENT_SETS = ("v5", "v5-as-posted")
"""Whose formats a log is read with, the first that fits."""

_STATE = "vfio_migration_set_state"  # name, state: v5 spec 7.2
_APART = 1000  # ns between two lines of a log without times


def import_log(path: Path | str, *, side: str = "source", events: Iterable[str] = EVENT_SETS) -> Recording:
    """Return a recording of what a log of QEMU's tells.

    :param path: of the log, as ``-D FILE`` or stderr gave it, with or without times; to the microsecond.
        Without times a line is a microsecond after the one before
    :param side: whose log it is, "source" or "destination"
    :param events: names of event sets, of `vfiokit.trace.load`
    :raises RecordingError: it cannot be read, or has no event of these sets
    """
    from vfiokit.trace import Unknown, load, read_log

    try:
        # A log may have anything between its events; nothing in it is fatal.
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = list(read_log(file, *(load(name) for name in events)))
    except OSError as error:
        raise RecordingError(f"read the log {path}: {error.strerror}") from error
    count = sum(not isinstance(line, Unknown) for line in lines)
    if not count:
        raise RecordingError(
            f"{path}: none of {len(lines):,} lines is a trace event of {' or '.join(events)}",
            hint="QEMU writes them with -trace 'vfio_*' -D FILE",
        )
    recording = Recording(
        metadata={"imported": str(Path(path).name), "lines": str(len(lines)), "events": str(count)}
    )
    for time_ns, line in _timed(lines):
        for access in _told(line):
            recording.access(side, access, None, None, time_ns, 0)
    recording.close()
    return recording


def _timed(lines: Iterable[Record | Unknown]) -> list[tuple[int, Record | Unknown]]:
    """Return the lines with their times, rising: threads of QEMU's may have written them out of order."""
    timed, last = [], 0
    for line in lines:
        last = line.time_ns if line.time_ns is not None else last + _APART
        timed.append((last, line))
    return sorted(timed, key=lambda pair: pair[0])


def _told(line: Record | Unknown) -> Iterable[Access]:
    from vfiokit.trace import Unknown

    if isinstance(line, Unknown):
        if line.line.strip():
            yield Say("log", line.line)
        return
    yield Emit(line.name, cast("tuple[int | str, ...]", line.args))  # a NULL string stays one
    if line.name == _STATE:
        device, state = line.args
        yield Enter(str(device), state_name(int(state or 0)))
