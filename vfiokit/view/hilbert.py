"""The Hilbert curve: a place on a line to a place in a square, so that neighbours stay neighbours.

A curve of order n fills a square of 2**n by 2**n cells. Places that follow each other on the line share
an edge in the square, and a run of 4**k aligned places is a square of its own: a range of guest memory
stays one patch, where in rows it would be a thin band. D. Hilbert, "Über die stetige Abbildung einer Linie
auf ein Flächenstück", Mathematische Annalen 38, 1891.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ("MAX_ORDER", "index_of", "order_for", "place_of")

MAX_ORDER = 31  # 62 bits of an int64


def order_for(cells: int) -> int:
    """Return the order of the smallest curve with at least *cells* places.

    :raises ValueError: more than any curve here has
    """
    order = (max(cells - 1, 0).bit_length() + 1) // 2
    return _checked(order)


def _checked(order: int) -> int:
    if not 0 <= order <= MAX_ORDER:
        raise ValueError(f"a Hilbert curve of order {order}: 0 to {MAX_ORDER}")
    return order


def place_of(index: Any, order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns x and rows y of places on the line; 0 is at (0, 0), the last at (2**order - 1, 0).

    :param index: int or array of any shape, 0 to 4**order - 1
    :raises ValueError: there is no such order or place
    """
    rest = np.array(index, np.int64)
    _within(rest, 4 ** _checked(order), "place")
    x, y = np.zeros_like(rest), np.zeros_like(rest)
    for level in range(order):
        side = 1 << level
        right = rest >> 1 & 1
        up = (rest ^ right) & 1
        x, y = _turned(x, y, right, up, side)
        x, y = x + side * right, y + side * up
        rest = rest >> 2
    return x, y


def index_of(x: Any, y: Any, order: int) -> NDArray[np.int64]:
    """Return the places on the line of cells (x, y): the inverse of `place_of`.

    :raises ValueError: there is no such order or cell
    """
    side = 1 << _checked(order)
    across, along = np.broadcast_arrays(np.array(x, np.int64), np.array(y, np.int64))
    _within(across, side, "column")
    _within(along, side, "row")
    found = np.zeros(across.shape, np.int64)
    for level in reversed(range(order)):
        half = 1 << level
        right, up = across >> level & 1, along >> level & 1
        found = found + half * half * (3 * right ^ up)
        across, along = _turned(across & (half - 1), along & (half - 1), right, up, half)
    return found


def _turned(x: Any, y: Any, right: Any, up: Any, side: int) -> tuple[Any, Any]:
    """Turn the lower quarters: the left one about the diagonal, the right one about the other, too."""
    flip = (up == 0) & (right == 1)
    x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
    swap = up == 0
    return np.where(swap, y, x), np.where(swap, x, y)


def _within(values: NDArray[np.int64], stop: int, what: str) -> None:
    if values.size and (int(values.min()) < 0 or int(values.max()) >= stop):
        raise ValueError(
            f"a Hilbert curve's {what} {int(values.min())} to {int(values.max())}: 0 to {stop - 1}"
        )
