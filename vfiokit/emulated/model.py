"""The vfiokit virtual device's programming model, as data (docs/device-model.md).

Two vendor drivers implement it: the emulated one in this package and the mediated-device driver for a
real kernel. The Python one reads these tables; the C one gets them as a header::

    python -m vfiokit.emulated.model > vfiokit_model.h

Offsets and widths are bytes. Everything in the device is little-endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = (
    "CONFIG_IMAGE",
    "CONFIG_WMASK",
    "RECORD_HEAD",
    "REGISTERS",
    "ModelRegister",
    "c_header",
    "mix",
    "register_at",
)


class ModelRegister(NamedTuple):
    """One register of BAR0."""

    name: str
    offset: int
    width: int
    access: str  # "r", "w" or "rw"
    meaning: str
    reset: int = 0

    @property
    def end(self) -> int:
        """First byte after the register."""
        return self.offset + self.width


VENDOR_ID = 0xFFF1
DEVICE_ID = 0x5642
CLASS = 0x120000  # processing accelerator
REVISION = 1

PAGE_SIZE = 4096
BAR0_SIZE = 0x1000
BAR2_SIZE = 0x4000
SCRATCH_OFFSET = 0x2000  # in BAR2, may be mapped
SCRATCH_SIZE = 0x2000
MSI_VECTORS = 4
MSIX_VECTORS = 8
MSIX_TABLE_OFFSET = 0x0  # in BAR2
MSIX_PBA_OFFSET = 0x1000  # in BAR2

ID_VALUE = 0x31444B56
VERSION_VALUE = 1
CTRL_RUN = 1 << 0
STATUS_RUNNING = 1 << 0
STATUS_DMA_REFUSED = 1 << 1

REGISTERS: dict[str, ModelRegister] = {
    register.name: register
    for register in (
        ModelRegister("ID", 0x00, 4, "r", "the model's magic", ID_VALUE),
        ModelRegister("VERSION", 0x04, 4, "r", "the model's version", VERSION_VALUE),
        ModelRegister("CONTROL", 0x08, 4, "rw", "bit 0: the workloads run by themselves"),
        ModelRegister("STATUS", 0x0C, 4, "r", "bit 0: running; bit 1: last DMA was refused"),
        ModelRegister("SCRATCH", 0x10, 4, "rw", "anything; migrated"),
        ModelRegister("PATTERN", 0x14, 4, "rw", "0 ring, 1 random, 2 hot set, 3 strided"),
        ModelRegister("WINDOW_IOVA", 0x18, 8, "rw", "guest memory the DMA workload writes"),
        ModelRegister("WINDOW_PAGES", 0x20, 8, "rw", "its size in pages of 4 KiB; 0: no DMA"),
        ModelRegister("RATE", 0x28, 8, "rw", "page writes a second"),
        ModelRegister("PARAM", 0x30, 4, "rw", "pages of the hot set, or the stride in pages"),
        ModelRegister("SEED", 0x34, 4, "rw", "of the pseudo-random sequence", 1),
        ModelRegister("DOORBELL", 0x38, 4, "w", "make this many page writes now"),
        ModelRegister("DMA_ERROR", 0x3C, 4, "r", "errno of the last refused DMA, 0 if none"),
        ModelRegister("COUNTER", 0x40, 8, "r", "page writes made since reset; migrated"),
        ModelRegister("STATE_SIZE", 0x48, 8, "r", "bytes of device memory"),
        ModelRegister("STATE_RATE", 0x50, 8, "rw", "device memory blocks changed a second"),
        ModelRegister("STATE_COUNTER", 0x58, 8, "r", "block changes made since reset; migrated"),
        ModelRegister("STATE_DOORBELL", 0x60, 4, "w", "change this many blocks now"),
    )
}
REGISTERS_SIZE = 0x68

PATTERNS = {"ring": 0, "random": 1, "hot": 2, "strided": 3}
HOT_MASK = 7  # one write in eight leaves the hot set
STATE_SEED_XOR = 0x5A5A5A5A
WRITE_SIZE = 16  # bytes that one page write or block change puts at the page's start

RECORD_MAGIC = 0x56444B56
RECORD_VERSION = 1
KIND_REGISTERS = 1
KIND_MEMORY = 2
KIND_MEMORY_NEXT = 3
RECORD_FLAG_CRC = 1 << 0
RECORD_HEAD_SIZE = 64
RECORD_HEAD = {  # name: (offset, width)
    "MAGIC": (0, 4),
    "VERSION": (4, 2),
    "KIND": (6, 2),
    "OFFSET": (8, 8),
    "LENGTH": (16, 8),
    "CRC": (24, 4),
    "FLAGS": (28, 4),
    "STATE_SIZE": (32, 8),
}

MIX_ADD = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
_MASK64 = 0xFFFF_FFFF_FFFF_FFFF

# Offsets in config space (PCI 3.0, 6.7; PCI Express base specification, 7.5).
CONFIG_COMMAND = 0x04
CAP_MSI = 0x50
CAP_MSIX = 0x70
CAP_EXPRESS = 0x80
CAP_VENDOR = 0xC0
EXT_CAP_VENDOR = 0x100
EXT_CAP_SERIAL = 0x140

# (offset, struct format, initial value, bits software may change). Bytes not listed are 0 and read-only.
_CONFIG_FIELDS: tuple[tuple[int, str, int, int], ...] = (
    (0x00, "H", VENDOR_ID, 0),
    (0x02, "H", DEVICE_ID, 0),
    (0x04, "H", 0, 0x0546),  # command: memory, master, parity, SERR, INTx disable; it has no I/O space
    (0x06, "H", 0x0010, 0),  # status: has capabilities
    (0x08, "I", CLASS << 8 | REVISION, 0),
    (0x0C, "B", 0, 0xFF),  # cache line size
    (0x10, "I", 0, 0xFFFF_FFFF & ~(BAR0_SIZE - 1)),
    (0x18, "I", 0x4, 0xFFFF_FFFF & ~(BAR2_SIZE - 1)),  # 64 bits
    (0x1C, "I", 0, 0xFFFF_FFFF),
    (0x2C, "H", VENDOR_ID, 0),
    (0x2E, "H", DEVICE_ID, 0),
    (0x34, "B", CAP_MSI, 0),
    (0x3C, "B", 0, 0xFF),  # interrupt line
    # MSI: control has 64BIT and room for 4 vectors; ENABLE and the number of enabled vectors change.
    (CAP_MSI, "H", 0x05 | CAP_MSIX << 8, 0),
    (CAP_MSI + 2, "H", 0x0080 | 2 << 1, 0x0071),
    (CAP_MSI + 4, "I", 0, 0xFFFF_FFFC),
    (CAP_MSI + 8, "I", 0, 0xFFFF_FFFF),
    (CAP_MSI + 12, "H", 0, 0xFFFF),
    # MSI-X: 8 vectors; ENABLE and the function mask change; table and pending bits are in BAR2.
    (CAP_MSIX, "H", 0x11 | CAP_EXPRESS << 8, 0),
    (CAP_MSIX + 2, "H", MSIX_VECTORS - 1, 0xC000),
    (CAP_MSIX + 4, "I", MSIX_TABLE_OFFSET | 2, 0),
    (CAP_MSIX + 8, "I", MSIX_PBA_OFFSET | 2, 0),
    # PCI Express: version 2, endpoint, function-level reset, one lane at 2.5 GT/s.
    (CAP_EXPRESS, "H", 0x10 | CAP_VENDOR << 8, 0),
    (CAP_EXPRESS + 0x02, "H", 0x0002, 0),
    (CAP_EXPRESS + 0x04, "I", 0x1000_8000, 0),
    (CAP_EXPRESS + 0x08, "H", 0x2810, 0x78FF),
    (CAP_EXPRESS + 0x0C, "I", 0x0000_0011, 0),
    (CAP_EXPRESS + 0x10, "H", 0, 0x00C3),
    (CAP_EXPRESS + 0x12, "H", 0x0011, 0),
    (CAP_EXPRESS + 0x28, "H", 0, 0x001F),
    (CAP_EXPRESS + 0x2C, "I", 0x0000_0002, 0),
    (CAP_EXPRESS + 0x30, "H", 0x0001, 0),
    # Vendor-specific: length 16, the model's version, a name, and a scratch dword.
    (CAP_VENDOR, "H", 0x09, 0),
    (CAP_VENDOR + 2, "B", 0x10, 0),
    (CAP_VENDOR + 3, "B", VERSION_VALUE, 0),
    (CAP_VENDOR + 4, "Q", int.from_bytes(b"vfiokit\0", "little"), 0),
    (CAP_VENDOR + 12, "I", 0, 0xFFFF_FFFF),
)


def _config(column: int) -> bytes:
    space = bytearray(256)
    for field in _CONFIG_FIELDS:
        struct.pack_into("<" + field[1], space, field[0], field[column])
    return bytes(space)


CONFIG_IMAGE = _config(2)
CONFIG_WMASK = _config(3)


def mix(x: int) -> int:
    """Return splitmix64's output for state *x* + 0x9e3779b97f4a7c15, 64 bits (docs/device-model.md)."""
    z = x + MIX_ADD & _MASK64
    z = (z ^ z >> 30) * MIX_1 & _MASK64
    z = (z ^ z >> 27) * MIX_2 & _MASK64
    return z ^ z >> 31


def register_at(offset: int, width: int) -> tuple[ModelRegister, int] | None:
    """Return the register an access of *width* bytes at *offset* means, and the byte within it.

    A 64-bit register may be accessed whole or as two aligned halves; anything else gives None.
    """
    for register in REGISTERS.values():
        inside = offset - register.offset
        if inside == 0 and width == register.width:
            return register, 0
        if register.width == 8 and width == 4 and inside in (0, 4):
            return register, inside
    return None


# Plain constants of the header, by their Python names in this module.
_C_CONSTANTS = (
    *("VENDOR_ID", "DEVICE_ID", "CLASS", "REVISION", "PAGE_SIZE", "BAR0_SIZE", "BAR2_SIZE"),
    *("SCRATCH_OFFSET", "SCRATCH_SIZE", "MSI_VECTORS", "MSIX_VECTORS", "MSIX_TABLE_OFFSET"),
    *("MSIX_PBA_OFFSET", "CAP_MSI", "CAP_MSIX", "CAP_EXPRESS", "CAP_VENDOR"),
    *("ID_VALUE", "VERSION_VALUE", "CTRL_RUN", "STATUS_RUNNING", "STATUS_DMA_REFUSED"),
    *("REGISTERS_SIZE", "HOT_MASK", "STATE_SEED_XOR", "WRITE_SIZE"),
    *("RECORD_MAGIC", "RECORD_VERSION", "KIND_REGISTERS", "KIND_MEMORY", "KIND_MEMORY_NEXT"),
    *("RECORD_FLAG_CRC", "RECORD_HEAD_SIZE", "MIX_ADD", "MIX_1", "MIX_2"),
)


def c_constants() -> dict[str, int]:
    """Return every number the C header defines, by macro name."""
    constants = {f"VK_{name}": int(globals()[name]) for name in _C_CONSTANTS}
    for register in REGISTERS.values():
        constants[f"VK_REG_{register.name}"] = register.offset
    for name, value in PATTERNS.items():
        constants[f"VK_PATTERN_{name.upper()}"] = value
    for name, (offset, _width) in RECORD_HEAD.items():
        constants[f"VK_HEAD_{name}"] = offset
    return constants


def _initialiser(data: bytes) -> str:
    rows = (data[at : at + 16] for at in range(0, len(data), 16))
    lines = ["\t" + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows]
    return " \\\n".join(["{", *lines, "}"])


def c_header() -> str:
    """Return the C header ``vfiokit_model.h``: all numbers as macros, config space as initialisers.

    Numbers above 32 bits have the suffix ULL. ``VK_CONFIG_IMAGE`` and ``VK_CONFIG_WMASK`` are brace
    initialisers for 256 bytes. ``VK_FOR_EACH_REGISTER(X)`` expands X(name, offset, width, readable,
    writable) for every register.
    """
    lines = [
        "/* Made by `python -m vfiokit.emulated.model` from the tables there; see docs/device-model.md. */",
        "#ifndef VFIOKIT_MODEL_H",
        "#define VFIOKIT_MODEL_H",
        "",
    ]
    for name, value in c_constants().items():
        suffix = "ULL" if value > 0xFFFF_FFFF else "U" if value > 0x7FFF_FFFF else ""
        lines.append(f"#define {name} 0x{value:x}{suffix}")
    lines += [
        "",
        "#define VK_FOR_EACH_REGISTER(X) \\",
        " \\\n".join(
            f"\tX({r.name}, 0x{r.offset:02x}, {r.width}, {int('r' in r.access)}, {int('w' in r.access)})"
            for r in REGISTERS.values()
        ),
        "",
        f"#define VK_CONFIG_IMAGE {_initialiser(CONFIG_IMAGE)}",
        "",
        f"#define VK_CONFIG_WMASK {_initialiser(CONFIG_WMASK)}",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(c_header())
