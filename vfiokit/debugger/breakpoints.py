"""Breakpoints and watchpoints: where a run stops, on which side and device, after how many hits.

A breakpoint on an *access* stops before it; one on an *event*, a *state* or a *condition*, and a
watchpoint, stop after what made them true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

from vfiokit import accesses as a
from vfiokit.debugger.conditions import Condition, parse_condition
from vfiokit.debugger.moment import Moment
from vfiokit.uapi.migration_v5 import state_name

__all__ = ("Breakpoint", "access_words")

_numbers = count(1)


def access_words(access: a.Access) -> str:
    """Return an access as a breakpoint matches it: ``read pending_bytes``, ``put END_OF_STATE``, ``map``."""
    match access:
        case a.Read():
            return f"read {access.field}"
        case a.Write():
            return f"write {access.field}"
        case a.Put() | a.Take():
            return f"{type(access).__name__.lower()} {access.what}"
        case a.Emit():
            return f"trace {access.event}"
    return type(access).__name__.lower()


@dataclass
class Breakpoint:
    """One breakpoint; give one of *access*, *event*, *state*, *register*, *watch*, or a *condition* alone.

    :param access: a glob over `access_words`, as ``write device_state`` or ``read*``
    :param event: a glob over trace events, as ``vfio_save_*``
    :param state: of a device (``stop-and-copy``), the VM or the migration (``active``)
    :param register: a register; stops after it was read or written
    :param watch: a register; stops when its value changes
    :param condition: text of :mod:`~vfiokit.debugger.conditions`, or a function of its names
    :param ignore: how many hits to pass over first
    :param actions: called with the breakpoint and the moment at each hit, before it is decided to stop
    """

    access: str | None = None
    event: str | None = None
    state: str | None = None
    register: str | None = None
    watch: str | None = None
    condition: str | Condition | None = None
    device: str | None = None
    side: str | None = None
    ignore: int = 0
    temporary: bool = False
    enabled: bool = True
    stops: bool = True
    actions: list[Callable[[Breakpoint, Moment], None]] = field(default_factory=list)
    hits: int = 0
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        text = self.condition
        self._holds: Condition | None = parse_condition(text) if isinstance(text, str) else text
        self._last: int | None = None

    def __str__(self) -> str:
        kinds = ("access", "event", "state", "register", "watch", "condition")
        what = ", ".join(f"{kind} {getattr(self, kind)}" for kind in kinds if getattr(self, kind))
        where = "".join(f" on {place}" for place in (self.device, self.side) if place)
        extra = (f", {self.ignore} to ignore" if self.ignore else "") + (
            "" if self.enabled or self.temporary else ", disabled"
        )
        return f"{self.number}: {what}{where}, {self.hits} hits{extra}"

    def before(self, side: str, access: a.Access, moment: Moment) -> bool:
        """Tell whether to stop before *access*."""
        if self.access is None or not self._here(side, access):
            return False
        if not fnmatchcase(access_words(access), self.access):
            return False
        return self._condition(side, access, None, moment) and self._hit(moment)

    def after(self, side: str, access: a.Access, result: Any, moment: Moment) -> bool:
        """Tell whether to stop after *access* gave *result*; *moment* has it already."""
        if self.access is not None or not self._here(side, access):
            return False
        if self.event is not None and not (
            isinstance(access, a.Emit) and fnmatchcase(access.event, self.event)
        ):
            return False
        if self.state is not None and not self._entered(access):
            return False
        if self.register is not None and getattr(access, "field", None) != self.register:
            return False
        if self.watch is not None and not self._changed(access, result):
            return False
        return self._condition(side, access, result, moment) and self._hit(moment)

    def _here(self, side: str, access: a.Access) -> bool:
        if not self.enabled or self.side not in (None, side):
            return False
        if self.device is None:
            return True
        name = getattr(access, "device", None)
        if isinstance(access, a.Emit):
            name = access.args[0]
        elif isinstance(access, a.Enter):
            name = access.machine
        return name == self.device

    def _entered(self, access: a.Access) -> bool:
        if isinstance(access, a.Enter):
            return access.state == self.state
        return (
            isinstance(access, a.Write)
            and access.field == "device_state"
            and self.state in (str(access.value), state_name(access.value))
        )

    def _changed(self, access: a.Access, result: Any) -> bool:
        if getattr(access, "field", None) != self.watch:
            return False
        value = access.value if isinstance(access, a.Write) else result
        before, self._last = self._last, value
        return before is not None and value != before

    def _condition(self, side: str, access: a.Access, result: Any, moment: Moment) -> bool:
        return self._holds is None or self._holds(moment.names(side, access, result))

    def _hit(self, moment: Moment) -> bool:
        self.hits += 1
        for action in self.actions:
            action(self, moment)
        if self.ignore:
            self.ignore -= 1
            return False
        return self.stops
