"""Where a flow is: its generators, outermost first, as a debugger shows frames.

A flow is made of flows (``yield from``), so what it is doing stands in the chain of suspended generators:
nothing needs to be said by the flows themselves.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

__all__ = ("Frame", "callback", "stack")


class Frame(NamedTuple):
    """One generator of the chain."""

    function: str
    module: str
    line: int
    identity: int  # of the generator: another call of the same function is another frame

    def __str__(self) -> str:
        return f"{self.function} ({self.module.removeprefix('vfiokit.')}:{self.line})"


def stack(flow: Generator[Any, Any, Any]) -> list[Frame]:
    """Return the frames of a suspended *flow*, outermost first; empty when it has ended."""
    frames: list[Frame] = []
    inner: Any = flow
    while inner is not None:
        frame = getattr(inner, "gi_frame", None)
        if frame is None:
            break
        frames.append(Frame(inner.__name__, frame.f_globals.get("__name__", "?"), frame.f_lineno, id(inner)))
        inner = getattr(inner, "gi_yieldfrom", None)
    return frames


# One callback of the migration: a function of the series, RAM's counterpart, or a VM's change.
_CALLBACKS = (
    "save_setup", "save_pending", "save_iterate", "save_complete", "save_complete_precopy", "save_cleanup",
    "load_setup", "load_state", "load_cleanup", "vm_state_changed", "notify_status", "probe", "realize",
    "finalize", "sync",
)  # fmt: skip


def callback(frames: list[Frame]) -> Frame | None:
    """Return the outermost frame that is a callback of the migration, None between two."""
    return next((frame for frame in frames if frame.function in _CALLBACKS), None)
