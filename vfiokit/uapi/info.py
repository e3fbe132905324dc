"""What a device says of itself, decoded: device, regions with their capabilities, interrupts.

Shared by those who reach devices and by those who speak to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vfiokit.uapi import vfio

__all__ = ("Area", "Info", "Irq", "Region", "region_name")

_PCI_REGION_NAMES = ("BAR0", "BAR1", "BAR2", "BAR3", "BAR4", "BAR5", "ROM", "CONFIG", "VGA")


def region_name(index: int) -> str:
    """Return what a PCI region index is called: ``BAR0`` … ``VGA``, then ``region N``."""
    return _PCI_REGION_NAMES[index] if 0 <= index < len(_PCI_REGION_NAMES) else f"region {index}"


@dataclass(frozen=True, slots=True)
class Info:
    """What a device says of itself (VFIO_DEVICE_GET_INFO)."""

    flags: int
    num_regions: int
    num_irqs: int

    @property
    def is_pci(self) -> bool:
        """The device has PCI's fixed region indices."""
        return bool(self.flags & vfio.VFIO_DEVICE_FLAGS_PCI)

    @property
    def has_reset(self) -> bool:
        """The device says that it can be reset."""
        return bool(self.flags & vfio.VFIO_DEVICE_FLAGS_RESET)


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a region that may be mapped, bytes from the region's start."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """First byte after the area."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Region:
    """One region (VFIO_DEVICE_GET_REGION_INFO) with its capabilities decoded.

    ``sparse`` is None when there is no sparse mmap capability; ``type`` is the pair (type, subtype) of a
    device-specific region.
    """

    index: int
    flags: int
    size: int
    offset: int = 0  # in the device's file, where there is one
    sparse: tuple[Area, ...] | None = None
    type: tuple[int, int] | None = None
    msix_mappable: bool = False
    other_capabilities: tuple[int, ...] = field(default=())

    @property
    def name(self) -> str:
        """``BAR0``, ``CONFIG``, … or ``region N``."""
        return region_name(self.index)

    @property
    def readable(self) -> bool:
        """READ is set."""
        return bool(self.flags & vfio.VFIO_REGION_INFO_FLAG_READ)

    @property
    def writable(self) -> bool:
        """WRITE is set."""
        return bool(self.flags & vfio.VFIO_REGION_INFO_FLAG_WRITE)

    @property
    def mappable(self) -> bool:
        """MMAP is set."""
        return bool(self.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP)

    @property
    def areas(self) -> tuple[Area, ...]:
        """Areas that may be mapped, in the capability's order, without the empty ones.

        As QEMU's ``vfio_region_setup``: no MMAP flag, none; no sparse capability, the whole region
        (v5 spec 6.1).
        """
        if not self.mappable:
            return ()
        if self.sparse is None:
            return (Area(0, self.size),) if self.size else ()
        return tuple(area for area in self.sparse if area.size)


@dataclass(frozen=True, slots=True)
class Irq:
    """One interrupt index (VFIO_DEVICE_GET_IRQ_INFO)."""

    index: int
    flags: int
    count: int

    @property
    def name(self) -> str:
        """``INTX``, ``MSI``, ``MSIX``, ``ERR``, ``REQ`` or ``irq N``."""
        names = ("INTX", "MSI", "MSIX", "ERR", "REQ")
        return names[self.index] if 0 <= self.index < len(names) else f"irq {self.index}"
