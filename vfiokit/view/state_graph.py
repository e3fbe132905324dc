"""The graph of device states: where its nodes and arcs are drawn.

Lengths are pixels of a frame of `WIDTH` by `HEIGHT`, y upwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vfiokit.uapi.migration_v5 import VFIO_DEVICE_STATE_MASK, DeviceState, state_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("ARCS", "HEIGHT", "INVALID", "NODE", "PLACES", "WIDTH", "Curve", "curve", "node_of")

WIDTH, HEIGHT = 500, 330
NODE = (118, 34)  # width, height
INVALID = "invalid (5, 6, 7)"

_S = DeviceState
_PRE_COPY = _S.SAVING | _S.RUNNING

# v5 spec 3.2: what a VMM may ask for, by the state it wrote last. Asking for the same again is no arc.
ARCS: dict[int, tuple[int, ...]] = {
    int(start): tuple(int(end) for end in ends)
    for start, ends in (
        (_S.STOPPED, (_S.RUNNING, _S.SAVING, _S.RESUMING)),
        (_S.RUNNING, (_S.STOPPED, _S.SAVING, _PRE_COPY, _S.RESUMING)),
        (_S.SAVING, (_S.STOPPED, _S.RUNNING, _PRE_COPY)),
        (_PRE_COPY, (_S.RUNNING, _S.SAVING)),
        (_S.RESUMING, (_S.STOPPED, _S.RUNNING)),
    )
}

# Each node's middle. The three values that no device is in share one (v5 spec 3.1).
PLACES: dict[str, tuple[float, float]] = {
    "running": (75, 205),
    "pre-copy": (250, 295),
    "stop-and-copy": (425, 205),
    "stopped": (345, 95),
    "resuming": (155, 95),
    INVALID: (250, 22),
}


def node_of(value: int) -> str:
    """Return the node that stands for a ``device_state``, whatever its bits 3 to 31."""
    name = state_name(int(value) & VFIO_DEVICE_STATE_MASK)
    return name if name in PLACES else INVALID


class Curve(NamedTuple):
    """An arc as it is drawn: its line, its head and the head's angle in radians, its middle."""

    xs: list[float]
    ys: list[float]
    angle: float
    middle: tuple[float, float]


def curve(start: str, end: str, bend: float = 26) -> Curve:
    """Return the arc from *start* to *end*, from border to border, bent to its left.

    :param bend: pixels; the way back bends to the other side. An arc to its own start is a loop
    """
    (x0, y0), (x1, y1) = PLACES[start], PLACES[end]
    along = np.linspace(0, 1, 81)
    if start == end:
        turn = np.linspace(0, 2 * np.pi, 81)
        xs, ys = x0 + NODE[0] / 2 + 14 * (1 - np.cos(turn)) - 8, y0 + 13 * np.sin(turn)
    else:
        length = float(np.hypot(x1 - x0, y1 - y0))
        high = 4 * along * (1 - along) * bend / length
        xs = x0 + (x1 - x0) * along - (y1 - y0) * high
        ys = y0 + (y1 - y0) * along + (x1 - x0) * high
    out = _outside(xs, ys, start) & _outside(xs, ys, end)
    xs, ys = xs[out], ys[out]
    angle = float(np.arctan2(ys[-1] - ys[-3], xs[-1] - xs[-3]))
    half = len(xs) // 2
    return Curve(xs.tolist(), ys.tolist(), angle, (float(xs[half]), float(ys[half])))


def _outside(xs: NDArray[Any], ys: NDArray[Any], node: str) -> NDArray[np.bool_]:
    x, y = PLACES[node]
    outside: NDArray[np.bool_] = (np.abs(xs - x) > NODE[0] / 2 + 4) | (np.abs(ys - y) > NODE[1] / 2 + 4)
    return outside
