"""PCI capabilities of the first 256 bytes (``linux/pci_regs.h``, PCI Local Bus 3.0, 6.7 and appendix H).

Every id the header has is named; those whose registers the header describes have them in `CAPABILITIES`.
See :mod:`~vfiokit.uapi.pci_regs` for the convention of names. Offsets count from the capability.
"""

from __future__ import annotations

from typing import NamedTuple

from vfiokit.uapi.pci_express import EXPRESS
from vfiokit.uapi.pci_regs import Mask, Register, reg

__all__ = ("CAPABILITIES", "PCI_CAP_ID_EXP", "PCI_CAP_ID_MSI", "PCI_CAP_ID_MSIX", "PCI_CAP_ID_VNDR", "Layout")


class Layout(NamedTuple):
    """A kind of capability: the header's name of its id, a title, and its registers."""

    name: str  # behind PCI_CAP_ID_ or PCI_EXT_CAP_ID_
    id: int
    title: str
    registers: tuple[Register, ...] = ()


PCI_CAP_ID_MSI = 0x05
PCI_CAP_ID_VNDR = 0x09
PCI_CAP_ID_EXP = 0x10
PCI_CAP_ID_MSIX = 0x11

_MSI_64BIT, _MSI_MASKBIT = 0x80, 0x100


def _vectors(exponent: int) -> str:
    return f"{1 << exponent} vectors" if exponent <= 5 else f"{exponent} (reserved)"


def _msi(name: str, offset: int, width: int, *, wide: bool | None, mask: bool = False) -> Register:
    """A register of MSI that is there for one address width only, or only with per-vector masks."""
    return reg(
        name,
        offset,
        width,
        when=lambda c: (
            (wide is None or bool(c.flags & _MSI_64BIT) == wide)
            and (not mask or bool(c.flags & _MSI_MASKBIT))
        ),
    )


_BIR_AND_OFFSET: dict[str, Mask] = {
    "BIR": (0x7, lambda bar: f"BAR{bar}" if bar < 6 else f"{bar} (reserved)"),
    "OFFSET": (0xFFFFFFF8, lambda high: f"{high << 3:#x}"),
}
_AGP_RATES: dict[str, Mask] = {
    "RATE1": 0x1,
    "RATE2": 0x2,
    "RATE4": 0x4,
    "FW": 0x10,
    "64BIT": 0x20,
    "SBA": 0x200,
    "RQ_MASK": 0xFF000000,
}
_AGP = (
    reg("PCI_AGP_VERSION", 2, 1),
    reg("PCI_AGP_STATUS", 4, 4, "PCI_AGP_STATUS_", _AGP_RATES),
    reg("PCI_AGP_COMMAND", 8, 4, "PCI_AGP_COMMAND_", {**_AGP_RATES, "AGP": 0x100}),
)

_PM = (
    reg(
        "PCI_PM_PMC",
        2,
        2,
        "PCI_PM_CAP_",
        {
            "VER_MASK": 0x7,
            "PME_CLOCK": 0x8,
            "DSI": 0x20,
            "AUX_POWER": 0x1C0,
            "D1": 0x200,
            "D2": 0x400,
            "PME_D0": 0x800,
            "PME_D1": 0x1000,
            "PME_D2": 0x2000,
            "PME_D3hot": 0x4000,
            "PME_D3cold": 0x8000,
        },
    ),
    reg(
        "PCI_PM_CTRL",
        4,
        2,
        "PCI_PM_CTRL_",
        {
            "STATE_MASK": (0x3, ("D0", "D1", "D2", "D3hot")),
            "NO_SOFT_RESET": 0x8,
            "PME_ENABLE": 0x100,
            "DATA_SEL_MASK": 0x1E00,
            "DATA_SCALE_MASK": 0x6000,
            "PME_STATUS": 0x8000,
        },
    ),
)

_MSI = (
    reg(
        "PCI_MSI_FLAGS",
        2,
        2,
        "PCI_MSI_FLAGS_",
        {
            "ENABLE": 0x1,
            "QMASK": (0xE, _vectors),
            "QSIZE": (0x70, _vectors),
            "64BIT": _MSI_64BIT,
            "MASKBIT": _MSI_MASKBIT,
        },
    ),
    reg("PCI_MSI_ADDRESS_LO", 4, 4),
    _msi("PCI_MSI_ADDRESS_HI", 8, 4, wide=True),
    _msi("PCI_MSI_DATA_32", 8, 2, wide=False),
    _msi("PCI_MSI_MASK_32", 12, 4, wide=False, mask=True),
    _msi("PCI_MSI_PENDING_32", 16, 4, wide=False, mask=True),
    _msi("PCI_MSI_DATA_64", 12, 2, wide=True),
    _msi("PCI_MSI_MASK_64", 16, 4, wide=True, mask=True),
    _msi("PCI_MSI_PENDING_64", 20, 4, wide=True, mask=True),
)

_MSIX = (
    reg(
        "PCI_MSIX_FLAGS",
        2,
        2,
        "PCI_MSIX_FLAGS_",
        {"QSIZE": (0x7FF, lambda last: f"{last + 1} vectors"), "MASKALL": 0x4000, "ENABLE": 0x8000},
    ),
    reg("PCI_MSIX_TABLE", 4, 4, "PCI_MSIX_TABLE_", _BIR_AND_OFFSET),
    reg("PCI_MSIX_PBA", 8, 4, "PCI_MSIX_PBA_", _BIR_AND_OFFSET),
)

_PCIX = (
    reg(
        "PCI_X_CMD",
        2,
        2,
        "PCI_X_CMD_",
        {
            "DPERR_E": 0x1,
            "ERO": 0x2,
            "MAX_READ": (0xC, ("512 bytes", "1 KiB", "2 KiB", "4 KiB")),
            "MAX_SPLIT": (0x70, ("1", "2", "3", "4", "8", "12", "16", "32")),
        },
        when=lambda c: c.header_type != 1,
    ),
    reg(
        "PCI_X_STATUS",
        4,
        4,
        "PCI_X_STATUS_",
        {
            "DEVFN": 0xFF,
            "BUS": 0xFF00,
            "64BIT": 0x10000,
            "133MHZ": 0x20000,
            "SPL_DISC": 0x40000,
            "UNX_SPL": 0x80000,
            "COMPLEX": 0x100000,
            "MAX_READ": 0x600000,
            "MAX_SPLIT": 0x3800000,
            "MAX_CUM": 0x1C000000,
            "SPL_ERR": 0x20000000,
            "266MHZ": 0x40000000,
            "533MHZ": 0x80000000,
        },
        when=lambda c: c.header_type != 1,
    ),
    reg(
        "PCI_X_BRIDGE_SSTATUS",
        2,
        2,
        "PCI_X_SSTATUS_",
        {"64BIT": 0x1, "133MHZ": 0x2, "FREQ": 0x3C0, "VERS": 0x3000, "266MHZ": 0x4000, "533MHZ": 0x8000},
        when=lambda c: c.header_type == 1,
    ),
    reg("PCI_X_BRIDGE_STATUS", 4, 4, when=lambda c: c.header_type == 1),
)

CAPABILITIES: dict[int, Layout] = {
    layout.id: layout
    for layout in (
        Layout("PM", 0x01, "power management", _PM),
        Layout("AGP", 0x02, "accelerated graphics port", _AGP),
        Layout(
            "VPD",
            0x03,
            "vital product data",
            (
                reg("PCI_VPD_ADDR", 2, 2, "PCI_VPD_ADDR_", {"MASK": 0x7FFF, "F": 0x8000}),
                reg("PCI_VPD_DATA", 4, 4),
            ),
        ),
        Layout(
            "SLOTID",
            0x04,
            "slot identification",
            (
                reg("PCI_SID_ESR", 2, 1, "PCI_SID_ESR_", {"NSLOTS": 0x1F, "FIC": 0x20}),
                reg("PCI_SID_CHASSIS_NR", 3, 1),
            ),
        ),
        Layout("MSI", PCI_CAP_ID_MSI, "message signalled interrupts", _MSI),
        Layout(
            "CHSWP",
            0x06,
            "CompactPCI hot swap",
            (
                reg(
                    "PCI_CHSWP_CSR",
                    2,
                    1,
                    "PCI_CHSWP_",
                    {"DHA": 0x1, "EIM": 0x2, "PIE": 0x4, "LOO": 0x8, "PI": 0x30, "EXT": 0x40, "INS": 0x80},
                ),
            ),
        ),
        Layout("PCIX", 0x07, "PCI-X", _PCIX),
        Layout("HT", 0x08, "HyperTransport", (reg("command", 2, 2, "", {"type": 0xF800}),)),
        Layout("VNDR", PCI_CAP_ID_VNDR, "vendor-specific", (reg("length", 2, 1),)),
        Layout("DBG", 0x0A, "debug port", (reg("port", 2, 2, "", {"offset": 0x1FFF, "bar": 0xE000}),)),
        Layout("CCRC", 0x0B, "CompactPCI central resource control"),
        Layout("SHPC", 0x0C, "standard hot-plug controller"),
        Layout(
            "SSVID",
            0x0D,
            "bridge subsystem ids",
            (reg("PCI_SSVID_VENDOR_ID", 4, 2), reg("PCI_SSVID_DEVICE_ID", 6, 2)),
        ),
        Layout("AGP3", 0x0E, "AGP target bridge", _AGP),
        Layout("SECDEV", 0x0F, "secure device"),
        Layout("EXP", PCI_CAP_ID_EXP, "PCI Express", EXPRESS),
        Layout("MSIX", PCI_CAP_ID_MSIX, "MSI-X", _MSIX),
        Layout(
            "SATA",
            0x12,
            "SATA data and index",
            (reg("PCI_SATA_REGS", 4, 4, "PCI_SATA_REGS_", {"MASK": 0xF}),),
        ),
        Layout(
            "AF",
            0x13,
            "advanced features",
            (
                reg("PCI_AF_LENGTH", 2, 1),
                reg("PCI_AF_CAP", 3, 1, "PCI_AF_CAP_", {"TP": 0x1, "FLR": 0x2}),
                reg("PCI_AF_CTRL", 4, 1, "PCI_AF_CTRL_", {"FLR": 0x1}),
                reg("PCI_AF_STATUS", 5, 1, "PCI_AF_STATUS_", {"TP": 0x1}),
            ),
        ),
        Layout(
            "EA",
            0x14,
            "enhanced allocation",
            (reg("PCI_EA_NUM_ENT", 2, 1, "PCI_EA_NUM_ENT_", {"MASK": 0x3F}),),
        ),
    )
}
