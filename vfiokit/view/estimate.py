"""Whether pending bytes will fall below the threshold, and when: from the samples of the migration loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vfiokit.view.theme import people_bytes, people_ns

__all__ = ("Estimate", "estimate")

_WINDOWS = 8  # whose slope is the estimate's


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
    the guest writes. So the highest of each window are compared; within the first window, its samples.

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
    compared = list(peaks.values()) if len(peaks) > 1 else list(samples)
    compared = compared[-_WINDOWS:]
    times = np.array([row.time_ns - last.time_ns for row in compared], float) / 1e9
    if len(compared) < 2 or times[-1] <= times[0]:
        return Estimate("unknown", windows=len(peaks))
    totals = np.array([row.total for row in compared], float)
    away = times - times.mean()
    slope = float((away * (totals - totals.mean())).sum() / (away * away).sum())
    windows = min(len(peaks), _WINDOWS)
    if slope >= 0:
        return Estimate("never", None, slope, windows)
    return Estimate("converges", round((last.total - last.threshold) / -slope * 1e9), slope, windows)
