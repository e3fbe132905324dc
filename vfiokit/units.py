"""Sizes, rates and times as people read them in a terminal."""

from __future__ import annotations

import math

__all__ = ("show_ns", "show_rate", "show_size")


def show_size(size: float) -> str:
    """Return bytes in binary units: ``1.50 MiB``."""
    if size < 1024:
        return f"{size:.0f} B"
    power = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**power:.2f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def show_rate(rate: float) -> str:
    """Return bytes a second in binary units."""
    return f"{show_size(rate)}/s"


def show_ns(ns: float) -> str:
    """Return a time in the unit that fits: ``12.3 ms``."""
    for unit, factor in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(ns) >= factor:
            return f"{ns / factor:.3g} {unit}" if abs(ns) < 100 * factor else f"{ns / factor:.0f} {unit}"
    return f"{ns:.0f} ns"
