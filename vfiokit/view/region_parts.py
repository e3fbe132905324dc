"""What a region is made of: registers, mappable areas, MSI-X, capabilities, and what is left, trapped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from vfiokit.uapi.info import Area, Region
from vfiokit.uapi.migration_v5 import HEADER_SIZE
from vfiokit.uapi.pci_config import ConfigSpace
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX

__all__ = ("KINDS", "Part", "parts")

# Kinds of parts, in the order in which one covers another, and the number of their colour.
KINDS = {
    "trapped": None, "mappable": 4, "registers": 1, "MSI-X table": 2, "MSI-X PBA": 3, "header": 1,
    "capability": 2, "extended capability": 3,
}  # fmt: skip


class Part(NamedTuple):
    """A part of a region, bytes from its start."""

    name: str
    kind: str
    offset: int
    size: int

    @property
    def weight(self) -> float:
        """How wide it is drawn."""
        return 5 + math.log2(1 + self.size)


def parts(region: Region, config: ConfigSpace | None = None, *, migration: bool = False) -> list[Part]:
    """Return the parts of *region*, ascending, without gaps: what is trapped, what may be mapped, the rest.

    :param config: the device's config space: where the MSI-X table and PBA lie, and what it itself has
    :param migration: the region starts with the migration registers (v5 spec 1.2)
    """
    found = [Part(f"area {n}", "mappable", area.offset, area.size) for n, area in enumerate(region.areas)]
    if migration:
        found.append(Part("registers", "registers", 0, HEADER_SIZE))
    if config is not None and region.index == VFIO_PCI_CONFIG_REGION_INDEX:
        found += _config_parts(config)
    elif config is not None:
        found += [
            Part(kind, kind, area.offset, area.size)
            for kind, bar, area in _msix(config)
            if bar == region.index
        ]
    edges = {0, region.size}
    for part in found:
        edges |= {min(max(edge, 0), region.size) for edge in (part.offset, part.offset + part.size)}
    ordered = sorted(edges)
    return [_covering(found, a, b) for a, b in pairwise(ordered)]


def _covering(found: list[Part], start: int, stop: int) -> Part:
    """Return the part of [start, stop) with the most to say."""
    here = [part for part in found if part.offset <= start and stop <= part.offset + part.size]
    ranks = list(KINDS)
    best = max(here, key=lambda part: ranks.index(part.kind), default=None)
    return Part(best.name if best else "", best.kind if best else "trapped", start, stop - start)


def _msix(config: ConfigSpace) -> Iterator[tuple[str, int, Area]]:
    """Yield what MSI-X has in BARs: (kind, BAR, place); PCI 3.0, 6.8.2."""
    msix = config.capability("MSIX")
    try:
        if msix is not None:
            count = msix.field("PCI_MSIX_FLAGS", "QSIZE") + 1
            table, pba = msix.value("PCI_MSIX_TABLE"), msix.value("PCI_MSIX_PBA")
            yield "MSI-X table", table & 7, Area(table & ~7, 16 * count)
            yield "MSI-X PBA", pba & 7, Area(pba & ~7, -(-count // 64) * 8)
    except KeyError:
        return  # cut short: config space was not read so far


def _config_parts(config: ConfigSpace) -> Iterator[Part]:
    yield Part("header", "header", 0, 64)
    for capability in config.capabilities:
        ends = [v.offset + v.register.width for v in capability.values] + [capability.offset + 4]
        size = max(ends) - capability.offset + len(capability.data)
        kind = "extended capability" if capability.extended else "capability"
        yield Part(capability.name, kind, capability.offset, size)
