"""Whether pending bytes will fall below the threshold, and when: from the samples of the migration loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vfiokit.view.theme import people_bytes, people_ns

__all__ = ("Estimate", "estimate")

_WINDOWS = 8  # whose slope is the estimate's
_TURNS = 64  # … where there is one window only, as of devices without a dirty log
_ERRORS = 2.0  # standard errors that a slope is away from 0, or it is none


@dataclass(frozen=True, slots=True)
class Estimate:
    """Whether the pending bytes will fall below the threshold.

    *verdict* is "unknown" (too little is known), "reached", "converges" or "never"; *ns* is the time to
    go from the last sample, *slope* in bytes/s, of the last *windows* windows.
    """

    verdict: str
    ns: int | None = None
    slope: float = 0.0
    windows: int = 0

    def __str__(self) -> str:
        slope = f"{people_bytes(abs(self.slope))}/s"
        if self.verdict == "reached":
            return "Pending is below the threshold: the VM is stopped next."
        if self.verdict == "converges":
            return f"Pending falls by {slope}: below the threshold in about {people_ns(self.ns or 0)}."
        if self.verdict == "never":
            how = f"pending rises by {slope}" if self.slope > 0 else "pending does not fall"
            return f"Does not converge at this dirty rate: {how}."
        return "Too few turns to tell when it converges."


def estimate(samples: Sequence[Any]) -> Estimate:
    """Return when pending falls below the threshold if it goes on as in the last windows.

    Within a window, from one sync of the dirty log to the next, pending falls as pages are sent whatever
    the guest writes. So the highest of each window are compared; within the first window, its samples. A
    slope that is within the scatter of what it was taken from is none.

    :param samples: rows of the samples table, of one side, in order
    """
    if not samples:
        return Estimate("unknown")
    last = samples[-1]
    if last.total == 0 or last.total < last.threshold:
        return Estimate("reached")
    peaks: dict[int, Any] = {}
    for row in samples:
        if row.syncs not in peaks or row.total > peaks[row.syncs].total:
            peaks[row.syncs] = row
    compared = list(peaks.values())[-_WINDOWS:] if len(peaks) > 1 else list(samples)[-_TURNS:]
    times = np.array([row.time_ns - last.time_ns for row in compared], float) / 1e9
    if len(compared) < 2 or times[-1] <= times[0]:
        return Estimate("unknown", windows=len(peaks))
    totals = np.array([row.total for row in compared], float)
    away = times - times.mean()
    spread = float((away * away).sum())
    slope = float((away * (totals - totals.mean())).sum() / spread)
    rest = totals - totals.mean() - slope * away
    error = np.sqrt(float((rest * rest).sum()) / max(1, len(compared) - 2) / spread)
    if abs(slope) <= _ERRORS * error:
        slope = 0.0  # it goes up and down
    windows = min(len(peaks), _WINDOWS)
    if slope >= 0:
        return Estimate("never", None, slope, windows)
    return Estimate("converges", round((last.total - last.threshold) / -slope * 1e9), slope, windows)
