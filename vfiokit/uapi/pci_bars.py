"""Base address registers, two of which may be one (``linux/pci_regs.h``; PCI Local Bus 3.0, 6.2.5.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ("BAR_OFFSET", "Bar", "decode_bars")

BAR_OFFSET = 0x10  # PCI_BASE_ADDRESS_0
PCI_BASE_ADDRESS_SPACE_IO = 0x01
PCI_BASE_ADDRESS_MEM_TYPE_MASK = 0x06
PCI_BASE_ADDRESS_MEM_TYPE_1M = 0x02
PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x04
PCI_BASE_ADDRESS_MEM_PREFETCH = 0x08


@dataclass(frozen=True, slots=True)
class Bar:
    """One BAR; a 64-bit one takes the register behind it as *high*."""

    index: int
    low: int
    high: int | None = None

    @property
    def offset(self) -> int:
        """Bytes from config space."""
        return BAR_OFFSET + 4 * self.index

    @property
    def is_io(self) -> bool:
        """It is in I/O space."""
        return bool(self.low & PCI_BASE_ADDRESS_SPACE_IO)

    @property
    def is_64bit(self) -> bool:
        """It is a memory BAR of 64 bits."""
        return not self.is_io and self.low & PCI_BASE_ADDRESS_MEM_TYPE_MASK == PCI_BASE_ADDRESS_MEM_TYPE_64

    @property
    def prefetchable(self) -> bool:
        """It is memory without side effects of reading."""
        return not self.is_io and bool(self.low & PCI_BASE_ADDRESS_MEM_PREFETCH)

    @property
    def address(self) -> int:
        """The address without the bits that tell the kind; 0 when not set or not implemented."""
        if self.is_io:
            return self.low & ~0x3
        return (self.high or 0) << 32 | (self.low & ~0xF)

    @property
    def kind(self) -> str:
        """``I/O``, or ``memory`` with ``32-bit``, ``64-bit``, ``below 1M`` or ``(reserved type)``."""
        if self.is_io:
            return "I/O"
        types = {
            0: "32-bit",
            PCI_BASE_ADDRESS_MEM_TYPE_1M: "below 1M",
            PCI_BASE_ADDRESS_MEM_TYPE_64: "64-bit",
        }
        return "memory " + types.get(self.low & PCI_BASE_ADDRESS_MEM_TYPE_MASK, "(reserved type)")

    def __str__(self) -> str:
        if not self.low and not self.high:
            return "not set or not there"
        return f"{self.kind}{' prefetchable' if self.prefetchable else ''} at {self.address:#x}"


def decode_bars(data: bytes, count: int) -> tuple[tuple[Bar, ...], list[tuple[int, str]]]:
    """Return the first *count* BARs of a config space image, and (offset, text) of what cannot be.

    The upper half of a 64-bit BAR is no BAR of its own.
    """
    bars: list[Bar] = []
    wrong: list[tuple[int, str]] = []
    index = 0
    while index < count and BAR_OFFSET + 4 * index + 4 <= len(data):
        bar = Bar(index, _dword(data, index))
        index += 1
        if bar.is_64bit:
            if index < count and BAR_OFFSET + 4 * index + 4 <= len(data):
                bar = replace(bar, high=_dword(data, index))
                index += 1
            else:
                wrong.append((bar.offset, f"BAR{bar.index} is 64-bit, but has no register behind it"))
        bars.append(bar)
    return tuple(bars), wrong


def _dword(data: bytes, index: int) -> int:
    offset = BAR_OFFSET + 4 * index
    return int.from_bytes(data[offset : offset + 4], "little")
