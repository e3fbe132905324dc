"""A region drawn as a line of text: what is trapped, what may be mapped, where the known things are.

Areas differ in size by millions, so each gets a width by its logarithm; the offsets stand below.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from vfiokit.uapi.info import Area, Region

__all__ = ("LETTERS", "Part", "draw", "parts")

LETTERS = {
    "header": "H",
    "mapped": "#",
    "trapped": ".",
    "MSI-X table": "T",
    "MSI-X pending bits": "P",
}
_WIDTH = 56


class Part(NamedTuple):
    """One part of a region, bytes from its start."""

    kind: str
    offset: int
    size: int


def parts(region: Region, known: Sequence[Part] = ()) -> list[Part]:
    """Cut *region* into its parts, in order; *known* ones go before mapped and trapped."""
    marks = [*known, *(Part("mapped", area.offset, area.size) for area in region.areas)]
    edges = sorted({0, region.size, *(e for m in marks for e in (m.offset, m.offset + m.size))})
    found: list[Part] = []
    for start, end in itertools.pairwise(edges):
        if start >= region.size:
            break
        end = min(end, region.size)
        kind = next((m.kind for m in marks if m.offset <= start < m.offset + m.size), "trapped")
        if found and found[-1].kind == kind:
            found[-1] = Part(kind, found[-1].offset, end - found[-1].offset)
        else:
            found.append(Part(kind, start, end - start))
    return found


def draw(pieces: Sequence[Part], width: int = _WIDTH) -> str:
    """Return the line, *width* letters between two bars; every part has at least one."""
    if not pieces:
        return "|" + " " * width + "|"
    weights = [math.log2(piece.size + 2) for piece in pieces]
    spare = max(width - len(pieces), 0)
    cells = [1 + int(spare * weight / sum(weights)) for weight in weights]
    cells[weights.index(max(weights))] += max(width - sum(cells), 0)
    return "|" + "".join(LETTERS[p.kind] * n for p, n in zip(pieces, cells, strict=True)) + "|"


def area_text(area: Area | Part) -> str:
    """Return ``[0x1000, 0x2000)``."""
    return f"[{area.offset:#x}, {area.offset + area.size:#x})"
