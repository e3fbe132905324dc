"""``linux/pci_regs.h``: the registers at the head of config space, as tables.

A `Register` has a name, a place, a width and bit fields; decoding, printing and comparing derive from
the tables here, in :mod:`~vfiokit.uapi.pci_caps` and in :mod:`~vfiokit.uapi.pci_ext_caps`. **Names in
capitals are the header's** (``tests/uapi/test_pci_against_header.py`` holds each against a compiler):
a field's full name is its register's prefix and its own. Names in lower case are ours, where the header
has none; they follow the PCI Local Bus 3.0 and PCI Express base specifications. All registers are
little-endian; offsets and widths are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

__all__ = (
    "BRIDGE_HEADER",
    "CARDBUS_HEADER",
    "COMMON_HEADER",
    "NORMAL_HEADER",
    "PCI_CFG_SPACE_EXP_SIZE",
    "PCI_CFG_SPACE_SIZE",
    "PCI_STD_HEADER_SIZEOF",
    "Context",
    "Field",
    "Mask",
    "Meaning",
    "Register",
    "header_registers",
    "reg",
)

PCI_CFG_SPACE_SIZE = 256
PCI_CFG_SPACE_EXP_SIZE = 4096
PCI_STD_HEADER_SIZEOF = 64

Meaning: TypeAlias = tuple[str, ...] | Mapping[int, str] | Callable[[int], str]
Mask: TypeAlias = int | tuple[int, Meaning]


class Context(NamedTuple):
    """What decides whether a register is there."""

    flags: int = 0  # the capability's 16 bits at offset 2
    header_type: int = 0  # PCI_HEADER_TYPE without the multi-function bit
    port_type: int | None = None  # PCI_EXP_FLAGS_TYPE of the device, if it is PCI Express


class Field(NamedTuple):
    """A bit field of a register."""

    name: str
    mask: int
    meaning: Meaning | None = None

    @property
    def is_flag(self) -> bool:
        """It is one bit without names for its values."""
        return self.mask.bit_count() == 1 and self.meaning is None

    def extract(self, value: int) -> int:
        """Return the field's value out of the register's *value*."""
        return (value & self.mask) >> ((self.mask & -self.mask).bit_length() - 1)

    def text(self, value: int) -> str:
        """Return the field as people read it, given the register's *value*; a clear flag gives ``""``."""
        number = self.extract(value)
        if self.is_flag:
            return self.name if number else ""
        if self.name == "MASK":  # the header's name of what is the register's main part
            return self._meaning_of(number)
        return f"{self.name.removesuffix('_MASK')}={self._meaning_of(number)}"

    def _meaning_of(self, number: int) -> str:
        if self.meaning is None:
            return f"{number:#x}" if number > 9 else str(number)
        if callable(self.meaning):
            return self.meaning(number)
        if isinstance(self.meaning, tuple):
            return self.meaning[number] if number < len(self.meaning) else f"{number} (reserved)"
        return self.meaning.get(number, f"{number} (reserved)")


class Register(NamedTuple):
    """One register; *offset* counts from config space or from its capability."""

    name: str
    offset: int
    width: int
    fields: tuple[Field, ...] = ()
    prefix: str = ""  # of the header's names for the fields
    when: Callable[[Context], bool] | None = None
    meaning: Callable[[int], str] | None = None  # for a register without fields

    @property
    def short(self) -> str:
        """The name without ``PCI_``."""
        return self.name.removeprefix("PCI_")

    def text(self, value: int) -> str:
        """Return *value* as people read it: set flags by name, other fields as name=value."""
        if self.meaning is not None:
            return self.meaning(value)
        return " ".join(filter(None, (field.text(value) for field in self.fields)))


def reg(
    name: str,
    offset: int,
    width: int,
    prefix: str = "",
    fields: Mapping[str, Mask] | None = None,
    *,
    when: Callable[[Context], bool] | None = None,
    meaning: Callable[[int], str] | None = None,
) -> Register:
    """Declare a register; a field is ``{"NAME": mask}`` or ``{"NAME": (mask, meaning of its values)}``."""
    made = tuple(
        Field(field, *(mask if isinstance(mask, tuple) else (mask,)))
        for field, mask in (fields or {}).items()
    )
    return Register(name, offset, width, made, prefix, when, meaning)


def _pin(value: int) -> str:
    return "none" if value == 0 else f"INT{'ABCD'[value - 1]}" if value <= 4 else "reserved"


COMMAND_FIELDS: dict[str, Mask] = {
    "IO": 0x1,
    "MEMORY": 0x2,
    "MASTER": 0x4,
    "SPECIAL": 0x8,
    "INVALIDATE": 0x10,
    "VGA_PALETTE": 0x20,
    "PARITY": 0x40,
    "WAIT": 0x80,
    "SERR": 0x100,
    "FAST_BACK": 0x200,
    "INTX_DISABLE": 0x400,
}
STATUS_FIELDS: dict[str, Mask] = {
    "IMM_READY": 0x1,
    "INTERRUPT": 0x8,
    "CAP_LIST": 0x10,
    "66MHZ": 0x20,
    "UDF": 0x40,
    "FAST_BACK": 0x80,
    "PARITY": 0x100,
    "DEVSEL_MASK": (0x600, ("fast", "medium", "slow")),
    "SIG_TARGET_ABORT": 0x800,
    "REC_TARGET_ABORT": 0x1000,
    "REC_MASTER_ABORT": 0x2000,
    "SIG_SYSTEM_ERROR": 0x4000,
    "DETECTED_PARITY": 0x8000,
}

COMMON_HEADER: tuple[Register, ...] = (
    reg("PCI_VENDOR_ID", 0x00, 2),
    reg("PCI_DEVICE_ID", 0x02, 2),
    reg("PCI_COMMAND", 0x04, 2, "PCI_COMMAND_", COMMAND_FIELDS),
    reg("PCI_STATUS", 0x06, 2, "PCI_STATUS_", STATUS_FIELDS),
    reg("PCI_REVISION_ID", 0x08, 1),
    reg("class_code", 0x09, 3),
    reg("PCI_CACHE_LINE_SIZE", 0x0C, 1, meaning=lambda dwords: f"{4 * dwords} bytes"),
    reg("PCI_LATENCY_TIMER", 0x0D, 1),
    reg(
        "PCI_HEADER_TYPE",
        0x0E,
        1,
        "PCI_HEADER_TYPE_",
        {"MASK": (0x7F, ("normal", "bridge", "CardBus")), "multifunction": 0x80},
    ),
    reg("PCI_BIST", 0x0F, 1, "PCI_BIST_", {"CODE_MASK": 0x0F, "START": 0x40, "CAPABLE": 0x80}),
)

_LINE_AND_PIN = (
    reg("PCI_INTERRUPT_LINE", 0x3C, 1),
    reg("PCI_INTERRUPT_PIN", 0x3D, 1, meaning=_pin),
)
_ROM_FIELDS: dict[str, Mask] = {"ENABLE": 0x1, "address": (0xFFFFF800, lambda top: f"{top << 11:#x}")}

# BARs are decoded apart, because two of them may be one.
NORMAL_HEADER: tuple[Register, ...] = (
    reg("PCI_CARDBUS_CIS", 0x28, 4),
    reg("PCI_SUBSYSTEM_VENDOR_ID", 0x2C, 2),
    reg("PCI_SUBSYSTEM_ID", 0x2E, 2),
    reg("PCI_ROM_ADDRESS", 0x30, 4, "PCI_ROM_ADDRESS_", _ROM_FIELDS),
    reg("PCI_CAPABILITY_LIST", 0x34, 1),
    *_LINE_AND_PIN,
    reg("PCI_MIN_GNT", 0x3E, 1),
    reg("PCI_MAX_LAT", 0x3F, 1),
)

BRIDGE_HEADER: tuple[Register, ...] = (
    reg("PCI_PRIMARY_BUS", 0x18, 1),
    reg("PCI_SECONDARY_BUS", 0x19, 1),
    reg("PCI_SUBORDINATE_BUS", 0x1A, 1),
    reg("PCI_SEC_LATENCY_TIMER", 0x1B, 1),
    reg("PCI_IO_BASE", 0x1C, 1),
    reg("PCI_IO_LIMIT", 0x1D, 1),
    reg("PCI_SEC_STATUS", 0x1E, 2),
    reg("PCI_MEMORY_BASE", 0x20, 2),
    reg("PCI_MEMORY_LIMIT", 0x22, 2),
    reg("PCI_PREF_MEMORY_BASE", 0x24, 2),
    reg("PCI_PREF_MEMORY_LIMIT", 0x26, 2),
    reg("PCI_PREF_BASE_UPPER32", 0x28, 4),
    reg("PCI_PREF_LIMIT_UPPER32", 0x2C, 4),
    reg("PCI_IO_BASE_UPPER16", 0x30, 2),
    reg("PCI_IO_LIMIT_UPPER16", 0x32, 2),
    reg("PCI_CAPABILITY_LIST", 0x34, 1),
    reg("PCI_ROM_ADDRESS1", 0x38, 4, "PCI_ROM_ADDRESS_", _ROM_FIELDS),
    *_LINE_AND_PIN,
    reg(
        "PCI_BRIDGE_CONTROL",
        0x3E,
        2,
        "PCI_BRIDGE_CTL_",
        {
            "PARITY": 0x01,
            "SERR": 0x02,
            "ISA": 0x04,
            "VGA": 0x08,
            "MASTER_ABORT": 0x20,
            "BUS_RESET": 0x40,
            "FAST_BACK": 0x80,
        },
    ),
)

CARDBUS_HEADER: tuple[Register, ...] = (
    reg("PCI_CB_CAPABILITY_LIST", 0x14, 1),
    reg("PCI_CB_SEC_STATUS", 0x16, 2),
    reg("PCI_CB_PRIMARY_BUS", 0x18, 1),
    reg("PCI_CB_CARD_BUS", 0x19, 1),
    reg("PCI_CB_SUBORDINATE_BUS", 0x1A, 1),
    reg("PCI_CB_LATENCY_TIMER", 0x1B, 1),
    *_LINE_AND_PIN,
    reg("PCI_CB_BRIDGE_CONTROL", 0x3E, 2),
    reg("PCI_CB_SUBSYSTEM_VENDOR_ID", 0x40, 2),
    reg("PCI_CB_SUBSYSTEM_ID", 0x42, 2),
)

_HEADERS = {0: (NORMAL_HEADER, 6), 1: (BRIDGE_HEADER, 2), 2: (CARDBUS_HEADER, 0)}


def header_registers(header_type: int) -> tuple[tuple[Register, ...], int]:
    """Return the registers behind the common ones and the number of BARs, for a header type (bits 0 to 6).

    An unknown type has neither.
    """
    return _HEADERS.get(header_type, ((), 0))
