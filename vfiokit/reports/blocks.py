"""Blocks of the page: data as zlib and base64 in a script element, which the page's script takes apart.

Base64 has no letter that means anything to HTML, so whatever text is in a block, none of it is markup.
Columns of numbers are packed so that zlib finds what is alike: differences of neighbours, zigzag (0, -1, 1,
-2 … are 0, 1, 2, 3 …), then all their lowest bytes, all their second bytes, and so on, as far as there
is any. `static/blocks.js` is the other end.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("Columns", "block", "json_block", "packed_text")

_LEVEL = 6


def packed_text(data: bytes) -> str:
    """Return *data* as base64 of zlib."""
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode("ascii")


def block(name: str, data: bytes) -> str:
    """Return the script element *name* that holds *data*."""
    return f'<script type="application/x-vfiokit" id="{name}">{packed_text(data)}</script>\n'


def json_block(name: str, value: Any) -> str:
    """Return the script element *name* that holds *value* as JSON."""
    return block(name, json.dumps(value, separators=(",", ":")).encode())


class Columns:
    """Columns of 64-bit numbers, packed into bytes.

    :ivar heads: of each column [numbers, bytes each, first number as text, whether differences are kept,
        where it begins]
    """

    def __init__(self) -> None:
        self.heads: list[list[Any]] = []
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: NDArray[Any], *, differences: bool = True) -> int:
        """Pack *values*, integers, and return the column's number.

        :param differences: keep each number's difference from the one before: right where they rise or
            repeat, wrong for codes
        """
        words = np.ascontiguousarray(values).astype(np.uint64)
        first = int(words[0]) if len(words) else 0
        if differences:
            steps = np.diff(words, prepend=words[:1]).view(np.int64)
            words = ((steps << 1) ^ (steps >> 63)).view(np.uint64)
        width = (int(words.max()).bit_length() + 7) // 8 if len(words) else 0
        octets = words.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
        data = np.ascontiguousarray(octets.T).tobytes()
        self.heads.append([len(words), width, str(first), differences, self._size])
        self._parts.append(data)
        self._size += len(data)
        return len(self.heads) - 1

    def data(self) -> bytes:
        """Return the bytes of all columns."""
        return b"".join(self._parts)
