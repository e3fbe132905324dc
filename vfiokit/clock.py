"""Time, as an object: simulated (tests, reproducible runs) or the machine's.

A clock may be shared by several devices and the VMM; nobody sleeps on his own.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ("Clock", "RealClock", "SimulatedClock")


class Clock(Protocol):
    """What devices and the VMM ask for the time. Nanoseconds throughout."""

    def now(self) -> int:
        """Return the time, ns since some fixed moment; never decreases."""
        ...

    def sleep(self, ns: int) -> None:
        """Let *ns* nanoseconds pass."""
        ...


class SimulatedClock:
    """A clock that stands still until it is told to move. Starts at 0."""

    def __init__(self) -> None:
        self._now = 0

    def now(self) -> int:
        """Return the simulated time, ns."""
        return self._now

    def advance(self, ns: int) -> None:
        """Move the time forward by *ns*; ValueError when negative."""
        if ns < 0:
            raise ValueError(f"time does not go back: {ns} ns")
        self._now += ns

    sleep = advance


class RealClock:
    """The machine's monotonic clock."""

    def now(self) -> int:
        """Return CLOCK_MONOTONIC, ns."""
        return time.monotonic_ns()

    def sleep(self, ns: int) -> None:
        """Block for *ns*."""
        time.sleep(ns / 1e9)
