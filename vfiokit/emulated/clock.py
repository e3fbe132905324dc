"""The clocks of `vfiokit.clock`, under the name the emulated device's users look for."""

from __future__ import annotations

from vfiokit.clock import Clock, RealClock, SimulatedClock

__all__ = ("Clock", "RealClock", "SimulatedClock")
