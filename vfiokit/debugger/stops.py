"""Why a debugger stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vfiokit import accesses as a
from vfiokit.debugger.breakpoints import Breakpoint
from vfiokit.errors import VfioError

__all__ = ("Stop",)


@dataclass(frozen=True)
class Stop:
    """Where a debugger stands after a command.

    ``reason`` is "step", "breakpoint", "starved" (the destination waits for the source), "paused",
    "ended", or "failed", with *error* then.
    """

    reason: str
    side: str
    access: a.Access | None = None  # the last one that was performed
    result: Any = None
    refused: VfioError | None = None  # what that access came back with
    breakpoint: Breakpoint | None = None
    error: VfioError | None = None

    @property
    def ended(self) -> bool:
        """There is nothing more to step."""
        return self.reason in ("ended", "failed")

    def __str__(self) -> str:
        text = self.reason
        if self.breakpoint is not None:
            text += f" {self.breakpoint}"
        if self.error is not None:
            text += f": {self.error}"
        return text
