"""The config state of a PCI device: what patch 04/13 saves and loads (v5 spec 5).

The values come from the VMM's own copy of config space, as in QEMU, not from the device; a load writes
both. BARs, interrupt mode, MSI or MSI-X, and the command register travel, nothing else.
"""

from __future__ import annotations

from vfiokit.accesses import Buffer, Emit, Flow, Put, Query, Read, ReadData, Write
from vfiokit.protocol.stream_cursor import Cursor, be16, be32
from vfiokit.protocol.v5.quirks import INTERFACE, Profile
from vfiokit.uapi.ctypes_layout import c_int
from vfiokit.uapi.info import Region
from vfiokit.uapi.pci_config import find_capability
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX

__all__ = ("INTERRUPT_MODES", "PciConfig", "realize")

# linux/pci_regs.h
_COMMAND, _BAR0, _PIN = 0x04, 0x10, 0x3D
_COMMAND_IO_MEMORY = 0x3
_CAP_MSI, _CAP_MSIX = 0x05, 0x11
_MSI_ENABLE, _MSI_64BIT = 0x0001, 0x0080
_MSIX_ENABLE, _MSIX_SIZE = 0x8000, 0x07FF
_FIRST_256 = 256

NONE, INTX, MSI, MSIX = range(4)
INTERRUPT_MODES = ("none", "INTx", "MSI", "MSI-X")  # QEMU's vdev->interrupt


class PciConfig:
    """The VMM's copy of one device's config space and MSI-X table; VFIODeviceOps of a PCI device.

    :param image: config space, 256 bytes or more
    :param table: the MSI-X table, 16 bytes a vector; all zero when not given
    """

    def __init__(
        self, name: str, image: Buffer, *, table: Buffer | None = None, profile: Profile = INTERFACE
    ) -> None:
        self.name = name
        self.profile = profile
        self.image = bytearray(image)
        if len(self.image) < _FIRST_256:
            self.image.extend(bytes(_FIRST_256 - len(self.image)))
        self.msi = find_capability(self.image, _CAP_MSI) or 0
        self.msix = find_capability(self.image, _CAP_MSIX) or 0
        vectors = (self.get(self.msix + 2, 2) & _MSIX_SIZE) + 1 if self.msix else 0
        self.table = bytearray(table or bytes(16 * vectors))
        self.pending = bytearray(-(-vectors // 8))
        self.interrupt = self._interrupt()

    def get(self, offset: int, width: int) -> int:
        """Return *width* bytes at *offset*, as pci_default_read_config."""
        return int.from_bytes(self.image[offset : offset + width], "little")

    def set(self, offset: int, width: int, value: int) -> None:
        """Set the copy alone, without the device."""
        self.image[offset : offset + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")

    @property
    def command(self) -> int:
        """The command register."""
        return self.get(_COMMAND, 2)

    def _interrupt(self) -> int:
        if self.msix and self.get(self.msix + 2, 2) & _MSIX_ENABLE:
            return MSIX
        if self.msi and self.get(self.msi + 2, 2) & _MSI_ENABLE:
            return MSI
        return INTX if self.get(_PIN, 1) else NONE

    def save_config(self) -> Flow[None]:
        """vfio_pci_save_config (v5 spec 5.1): 30, 42 or 32 + 16n + ceil(n/8) bytes."""
        for bar in range(6):
            yield be32(self.get(_BAR0 + 4 * bar, 4), f"BAR{bar}")
        yield be32(self.interrupt, "interrupt mode")
        if self.interrupt == MSI:
            wide = bool(self.get(self.msi + 2, 2) & _MSI_64BIT)
            yield be32(self.get(self.msi + 4, 4), "MSI address low")
            yield be32(self.get(self.msi + 8, 4) if wide else 0, "MSI address high")
            yield be32(self.get(self.msi + (12 if wide else 8), 2), "MSI data")
        elif self.interrupt == MSIX:
            # The posting reads the word at PCI_MSIX_FLAGS + 1; it is in the stream, so it stays (V28).
            yield be16(self.get(self.msix + 3, 2), "MSI-X flags, odd word")
            if self.table:
                yield Put(bytes(self.table), "MSI-X table")
                yield Put(bytes(self.pending), "MSI-X pending bits")
        yield be16(self.command, "command")

    def load_config(self, cursor: Cursor) -> Flow[None]:
        """vfio_pci_load_config (v5 spec 5.2).

        StreamError when the source's interrupt mode is none of the four, or needs a capability that
        this device does not have.
        """
        command = self.command
        cleared = 0 if self.profile.has("command-cleared-whole") else command & ~_COMMAND_IO_MEMORY
        yield from self.write(_COMMAND, 2, cleared, "command")
        for bar in range(6):
            value = yield from cursor.number(4, f"BAR{bar}")
            yield from self.write(_BAR0 + 4 * bar, 4, value, f"BAR{bar}")
        if self.profile.has("io-memory-forced-on"):
            yield from self.write(_COMMAND, 2, command | _COMMAND_IO_MEMORY, "command")
        mode = yield from cursor.number(4, "interrupt mode")
        if mode > MSIX:
            raise cursor.wrong(f"{self.name}: interrupt mode {mode}", rule="0 none, 1 INTx, 2 MSI, 3 MSI-X")
        if (mode == MSI and not self.msi) or (mode == MSIX and not self.msix):
            raise cursor.wrong(
                f"{self.name}: the source uses {INTERRUPT_MODES[mode]}, this device has no such capability",
                rule="source and destination are the same kind of device",
            )
        if mode == MSI:
            yield from self._load_msi(cursor)
        elif mode == MSIX:
            yield from self._load_msix(cursor)
        self.interrupt = mode
        yield from self.write(_COMMAND, 2, (yield from cursor.number(2, "command")), "command")

    def _load_msi(self, cursor: Cursor) -> Flow[None]:
        control = self.get(self.msi + 2, 2)
        wide = bool(control & _MSI_64BIT)
        off = 0 if self.profile.has("command-cleared-whole") else control & ~_MSI_ENABLE
        yield from self.write(self.msi + 2, 2, off, "MSI control")
        low = yield from cursor.number(4, "MSI address low")
        yield from self.write(self.msi + 4, 4, low, "MSI address low")
        high = yield from cursor.number(4, "MSI address high")
        if wide:
            yield from self.write(self.msi + 8, 4, high, "MSI address high")
        data = yield from cursor.number(4, "MSI data")
        yield from self.write(self.msi + (12 if wide else 8), 2, data & 0xFFFF, "MSI data")
        yield from self.write(self.msi + 2, 2, control | _MSI_ENABLE, "MSI control")

    def _load_msix(self, cursor: Cursor) -> Flow[None]:
        flags = yield from cursor.number(2, "MSI-X flags, odd word")
        yield from self.write(self.msix + 3, 2, flags, "MSI-X flags, odd word")
        if self.table:
            self.table[:] = yield from cursor.take(len(self.table), "MSI-X table")
            self.pending[:] = yield from cursor.take(len(self.pending), "MSI-X pending bits")

    def write(self, offset: int, width: int, value: int, field: str) -> Flow[None]:
        """vfio_pci_write_config: the device and the copy."""
        yield Emit("vfio_pci_write_config", (self.name, offset, c_int(value), width))
        yield Write(self.name, VFIO_PCI_CONFIG_REGION_INDEX, offset, width, field, value)
        self.set(offset, width, value)


def realize(name: str, *, profile: Profile = INTERFACE) -> Flow[PciConfig]:
    """Read a device's config space and MSI-X table once, when it is plugged in."""
    region: Region = yield Query(name, VFIO_PCI_CONFIG_REGION_INDEX)
    # What the config state is made of lies in the first 256 bytes, PCI 3.0's whole config space.
    image: Buffer = yield ReadData(name, VFIO_PCI_CONFIG_REGION_INDEX, 0, min(region.size, _FIRST_256), None)
    config = PciConfig(name, image, profile=profile)
    if config.msix and config.interrupt == MSIX:
        place = config.get(config.msix + 4, 4)
        bar, offset = place & 7, place & ~7
        for at in range(0, len(config.table), 4):
            word: int = yield Read(name, bar, offset + at, 4, f"MSI-X table {at:#x}")
            config.table[at : at + 4] = word.to_bytes(4, "little")
    return config
