"""PCI config space of the emulated device: 4096 bytes with a mask of what may be written.

The first 256 bytes are `model.CONFIG_IMAGE`, shared with the kernel driver. Extended space has a
vendor-specific capability at 0x100 and the device serial number at 0x140. BAR sizing needs no code: bits
that are not in the mask keep reading 0 after all ones were written (PCI 3.0, 6.2.5.1).
"""

from __future__ import annotations

import struct

from vfiokit.emulated import model

__all__ = ("CONFIG_SIZE", "ConfigSpace")

CONFIG_SIZE = 4096
_EXT_ID_VENDOR = 0x0B
_EXT_ID_SERIAL = 0x03
# Where x86 takes message-signalled interrupts; the vectors are ours.
_MSI_ADDRESS = 0xFEE0_0000
_FIRST_VECTOR = 0x40


class ConfigSpace:
    """Config space; *serial* is the device serial number, 64 bits."""

    def __init__(self, serial: int = 1) -> None:
        self._serial = serial
        self._bytes = bytearray(CONFIG_SIZE)
        self._wmask = model.CONFIG_WMASK + bytes(CONFIG_SIZE - len(model.CONFIG_WMASK))
        self.reset()

    def reset(self) -> None:
        """Put the initial image back."""
        self._bytes[:] = model.CONFIG_IMAGE + bytes(CONFIG_SIZE - len(model.CONFIG_IMAGE))
        # An extended capability's head: id, version 1, offset of the next one (PCIe base spec, 7.6.3).
        struct.pack_into(
            "<III",
            self._bytes,
            model.EXT_CAP_VENDOR,
            _EXT_ID_VENDOR | 1 << 16 | model.EXT_CAP_SERIAL << 20,
            model.DEVICE_ID | 1 << 16 | 0x10 << 20,  # the vendor's id, revision and length
            model.VERSION_VALUE,
        )
        struct.pack_into("<IQ", self._bytes, model.EXT_CAP_SERIAL, _EXT_ID_SERIAL | 1 << 16, self._serial)

    def read(self, offset: int, size: int) -> bytes:
        """Return *size* bytes at *offset*; the caller has checked the bounds."""
        return bytes(self._bytes[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Write the bits that may be written, byte by byte as hardware does."""
        for at, byte in enumerate(data, offset):
            mask = self._wmask[at]
            self._bytes[at] = self._bytes[at] & ~mask | byte & mask

    def enable_msi(self) -> None:
        """Enable MSI with all vectors, as a guest's driver would have."""
        cap = model.CAP_MSI
        self.write(cap + 4, struct.pack("<IIH", _MSI_ADDRESS, 0, _FIRST_VECTOR))
        self.write(cap + 2, struct.pack("<H", 1 | 2 << 4))

    def enable_msix(self) -> None:
        """Set MSI-X's enable bit; the table is in BAR2 (`msix_table`)."""
        self.write(model.CAP_MSIX + 2, struct.pack("<H", 0x8000))

    def enable_memory(self) -> None:
        """Turn memory decoding and bus mastering on and give the BARs addresses."""
        self.write(0x10, struct.pack("<I", 0xFE00_0000))
        self.write(0x18, struct.pack("<Q", 0xFE01_0000))
        self.write(model.CONFIG_COMMAND, struct.pack("<H", 0x0006))


def msix_table(*, enabled: bool) -> bytes:
    """Return the 8 entries of the MSI-X table: masked as after reset, or with plausible vectors."""
    if not enabled:
        return struct.pack("<IIII", 0, 0, 0, 1) * model.MSIX_VECTORS
    return b"".join(
        struct.pack("<IIII", _MSI_ADDRESS, 0, _FIRST_VECTOR + number, 0)
        for number in range(model.MSIX_VECTORS)
    )
