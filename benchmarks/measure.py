"""Timing pairs: the two run in turn, so that a machine that slows down slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ("Pair", "pair")


@dataclass
class Pair:
    """Medians of seconds, and the median of the ratios pair by pair."""

    name: str
    ours: float
    bare: float
    ratio: float
    unit: str
    aim: str = ""

    def line(self) -> str:
        """Return the row as text; the ratio is bare / ours: 1 is as fast."""
        ours, bare = (self.unit.format(value) for value in (self.ours, self.bare))
        return f"{self.name:<58} {ours:>12} {bare:>12} {self.ratio:8.2f}  {self.aim}"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that *work* takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pair(
    name: str,
    ours: Callable[[], object],
    bare: Callable[[], object],
    *,
    rounds: int = 5,
    scale: float = 1.0,
    unit: str = "{:.3f} s",
    aim: str = "",
) -> Pair:
    """Time both after a warm-up; *scale* turns seconds into *unit*."""
    timed(ours), timed(bare)
    times = [(timed(ours), timed(bare)) for _ in range(rounds)]
    return Pair(
        name,
        statistics.median(a for a, _ in times) * scale,
        statistics.median(b for _, b in times) * scale,
        statistics.median(b / a for a, b in times),
        unit,
        aim,
    )
