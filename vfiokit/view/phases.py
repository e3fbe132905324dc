"""The phases of a migration and its downtime, as the states table tells them.

Statuses are QEMU's MigrationStatus, run states its RunState (v5 spec 6.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ("Downtime", "Phase", "downtime", "phases")

_PHASE_OF_STATUS = {
    "setup": "setup",
    "active": "pre-copy",
    "completed": "completed",
    "failed": "failed",
    "cancelling": "cancelled",
    "cancelled": "cancelled",
}


class Phase(NamedTuple):
    """A phase of a migration on one side; times in ns."""

    name: str
    start: int
    end: int


def phases(states: Iterable[Any], side: str, end: int) -> list[Phase]:
    """Return the phases that the states table tells of *side*, in order.

    :param states: rows of the states table
    :param end: when the last one ends, ns: what is known last
    """
    found: list[Phase] = []
    vm = ""
    for row in states:
        if row.side != side or row.machine not in ("vm", "migration"):
            continue
        name: str | None
        if row.machine == "vm":
            vm = row.state
            going_on = bool(found) and found[-1].name == "pre-copy"
            name = "stop-and-copy" if vm == "finish-migrate" and going_on else None
        else:
            name = _PHASE_OF_STATUS.get(row.state)
            if name == "pre-copy" and vm == "inmigrate":
                name = "resuming"
        if name is None or (found and found[-1].name == name):
            continue
        if found:
            found[-1] = found[-1]._replace(end=row.time_ns)
        found.append(Phase(name, row.time_ns, max(end, row.time_ns)))
    return found


class Downtime(NamedTuple):
    """From the stop of the source's VM to a VM running again: times in ns, and on which side it ran."""

    start: int
    end: int
    side: str


def downtime(states: Iterable[Any]) -> Downtime | None:
    """Return the last downtime that the states table shows to its end; None when it shows none."""
    stopped, found = None, None
    for row in sorted((row for row in states if row.machine == "vm"), key=lambda row: (row.time_ns, row.seq)):
        if row.side == "source" and row.state == "finish-migrate":
            stopped = row.time_ns
        elif row.state == "running" and stopped is not None:
            found, stopped = Downtime(stopped, row.time_ns, row.side), None
    return found
