"""The PCI Express capability's registers (``linux/pci_regs.h``, PCI Express base specification, 7.5.3).

Link, slot and root registers are there only for the port types that have them, and the second half only
from version 2 of the capability on. See :mod:`~vfiokit.uapi.pci_regs` for the convention of names.
"""

from __future__ import annotations

from vfiokit.uapi.pci_regs import Context, Mask, Register, reg

__all__ = ("EXPRESS", "PORT_TYPES", "is_root")

PORT_TYPES: dict[int, str] = {
    0x0: "endpoint",
    0x1: "legacy endpoint",
    0x4: "root port",
    0x5: "upstream port",
    0x6: "downstream port",
    0x7: "PCIe to PCI bridge",
    0x8: "PCI to PCIe bridge",
    0x9: "root complex integrated endpoint",
    0xA: "root complex event collector",
}
_SPEEDS = ("0", "2.5 GT/s", "5 GT/s", "8 GT/s", "16 GT/s", "32 GT/s", "64 GT/s")
_PAYLOADS = tuple(f"{128 << exponent} bytes" for exponent in range(6))
_ASPM = ("none", "L0s", "L1", "L0s+L1")


def _type(c: Context) -> int:
    return c.flags >> 4 & 0xF


def is_root(port_type: int | None) -> bool:
    """Return whether a port type is a root port or a root complex event collector."""
    return port_type in (0x4, 0xA)


def _link(c: Context) -> bool:
    return _type(c) not in (0x9, 0xA)


def _slot(c: Context) -> bool:
    return _type(c) in (0x4, 0x6) and bool(c.flags & 0x100)


def _root(c: Context) -> bool:
    return is_root(_type(c))


def _version_2(c: Context) -> bool:
    return c.flags & 0xF >= 2


def _width(lanes: int) -> str:
    return f"x{lanes}"


_SLOT_EVENTS: dict[str, Mask] = {"ABP": 0x1, "PFD": 0x2, "MRLSC": 0x4, "PDC": 0x8, "CC": 0x10}

EXPRESS: tuple[Register, ...] = (
    reg(
        "PCI_EXP_FLAGS",
        0x02,
        2,
        "PCI_EXP_FLAGS_",
        {"VERS": 0xF, "TYPE": (0xF0, PORT_TYPES), "SLOT": 0x100, "IRQ": 0x3E00},
    ),
    reg(
        "PCI_EXP_DEVCAP",
        0x04,
        4,
        "PCI_EXP_DEVCAP_",
        {
            "PAYLOAD": (0x7, _PAYLOADS),
            "PHANTOM": 0x18,
            "EXT_TAG": 0x20,
            "L0S": 0x1C0,
            "L1": 0xE00,
            "ATN_BUT": 0x1000,
            "ATN_IND": 0x2000,
            "PWR_IND": 0x4000,
            "RBER": 0x8000,
            "PWR_VAL": 0x3FC0000,
            "PWR_SCL": 0xC000000,
            "FLR": 0x10000000,
        },
    ),
    reg(
        "PCI_EXP_DEVCTL",
        0x08,
        2,
        "PCI_EXP_DEVCTL_",
        {
            "CERE": 0x1,
            "NFERE": 0x2,
            "FERE": 0x4,
            "URRE": 0x8,
            "RELAX_EN": 0x10,
            "PAYLOAD": (0xE0, _PAYLOADS),
            "EXT_TAG": 0x100,
            "PHANTOM": 0x200,
            "AUX_PME": 0x400,
            "NOSNOOP_EN": 0x800,
            "READRQ": (0x7000, _PAYLOADS),
            "BCR_FLR": 0x8000,
        },
    ),
    reg(
        "PCI_EXP_DEVSTA",
        0x0A,
        2,
        "PCI_EXP_DEVSTA_",
        {"CED": 0x1, "NFED": 0x2, "FED": 0x4, "URD": 0x8, "AUXPD": 0x10, "TRPND": 0x20},
    ),
    reg(
        "PCI_EXP_LNKCAP",
        0x0C,
        4,
        "PCI_EXP_LNKCAP_",
        {
            "SLS": (0xF, _SPEEDS),
            "MLW": (0x3F0, _width),
            "ASPMS": (0xC00, _ASPM),
            "L0SEL": 0x7000,
            "L1EL": 0x38000,
            "CLKPM": 0x40000,
            "SDERC": 0x80000,
            "DLLLARC": 0x100000,
            "LBNC": 0x200000,
            "PN": 0xFF000000,
        },
        when=_link,
    ),
    reg(
        "PCI_EXP_LNKCTL",
        0x10,
        2,
        "PCI_EXP_LNKCTL_",
        {
            "ASPMC": (0x3, _ASPM),
            "RCB": 0x8,
            "LD": 0x10,
            "RL": 0x20,
            "CCC": 0x40,
            "ES": 0x80,
            "CLKREQ_EN": 0x100,
            "HAWD": 0x200,
            "LBMIE": 0x400,
            "LABIE": 0x800,
        },
        when=_link,
    ),
    reg(
        "PCI_EXP_LNKSTA",
        0x12,
        2,
        "PCI_EXP_LNKSTA_",
        {
            "CLS": (0xF, _SPEEDS),
            "NLW": (0x3F0, _width),
            "LT": 0x800,
            "SLC": 0x1000,
            "DLLLA": 0x2000,
            "LBMS": 0x4000,
            "LABS": 0x8000,
        },
        when=_link,
    ),
    reg(
        "PCI_EXP_SLTCAP",
        0x14,
        4,
        "PCI_EXP_SLTCAP_",
        {
            "ABP": 0x1,
            "PCP": 0x2,
            "MRLSP": 0x4,
            "AIP": 0x8,
            "PIP": 0x10,
            "HPS": 0x20,
            "HPC": 0x40,
            "SPLV": 0x7F80,
            "SPLS": 0x18000,
            "EIP": 0x20000,
            "NCCS": 0x40000,
            "PSN": 0xFFF80000,
        },
        when=_slot,
    ),
    reg(
        "PCI_EXP_SLTCTL",
        0x18,
        2,
        "PCI_EXP_SLTCTL_",
        {
            "ABPE": 0x1,
            "PFDE": 0x2,
            "MRLSCE": 0x4,
            "PDCE": 0x8,
            "CCIE": 0x10,
            "HPIE": 0x20,
            "AIC": (0xC0, ("reserved", "on", "blink", "off")),
            "PIC": (0x300, ("reserved", "on", "blink", "off")),
            "PCC": 0x400,
            "EIC": 0x800,
            "DLLSCE": 0x1000,
        },
        when=_slot,
    ),
    reg(
        "PCI_EXP_SLTSTA",
        0x1A,
        2,
        "PCI_EXP_SLTSTA_",
        {**_SLOT_EVENTS, "MRLSS": 0x20, "PDS": 0x40, "EIS": 0x80, "DLLSC": 0x100},
        when=_slot,
    ),
    reg(
        "PCI_EXP_RTCTL",
        0x1C,
        2,
        "PCI_EXP_RTCTL_",
        {"SECEE": 0x1, "SENFEE": 0x2, "SEFEE": 0x4, "PMEIE": 0x8, "CRSSVE": 0x10},
        when=_root,
    ),
    reg("PCI_EXP_RTCAP", 0x1E, 2, "PCI_EXP_RTCAP_", {"CRSVIS": 0x1}, when=_root),
    reg("PCI_EXP_RTSTA", 0x20, 4, "PCI_EXP_RTSTA_", {"PME": 0x10000, "PENDING": 0x20000}, when=_root),
    reg(
        "PCI_EXP_DEVCAP2",
        0x24,
        4,
        "PCI_EXP_DEVCAP2_",
        {
            "COMP_TMOUT_DIS": 0x10,
            "ARI": 0x20,
            "ATOMIC_ROUTE": 0x40,
            "ATOMIC_COMP32": 0x80,
            "ATOMIC_COMP64": 0x100,
            "ATOMIC_COMP128": 0x200,
            "LTR": 0x800,
            "OBFF_MASK": 0xC0000,
            "EE_PREFIX": 0x200000,
        },
        when=_version_2,
    ),
    reg(
        "PCI_EXP_DEVCTL2",
        0x28,
        2,
        "PCI_EXP_DEVCTL2_",
        {
            "COMP_TIMEOUT": 0xF,
            "COMP_TMOUT_DIS": 0x10,
            "ARI": 0x20,
            "ATOMIC_REQ": 0x40,
            "ATOMIC_EGRESS_BLOCK": 0x80,
            "IDO_REQ_EN": 0x100,
            "IDO_CMP_EN": 0x200,
            "LTR_EN": 0x400,
            "obff": (0x6000, ("off", "message A", "message B", "WAKE#")),
        },
        when=_version_2,
    ),
    reg("PCI_EXP_DEVSTA2", 0x2A, 2, when=_version_2),
    reg(
        "PCI_EXP_LNKCAP2",
        0x2C,
        4,
        "PCI_EXP_LNKCAP2_",
        {
            "SLS_2_5GB": 0x2,
            "SLS_5_0GB": 0x4,
            "SLS_8_0GB": 0x8,
            "SLS_16_0GB": 0x10,
            "SLS_32_0GB": 0x20,
            "SLS_64_0GB": 0x40,
            "CROSSLINK": 0x100,
        },
        when=lambda c: _version_2(c) and _link(c),
    ),
    reg(
        "PCI_EXP_LNKCTL2",
        0x30,
        2,
        "PCI_EXP_LNKCTL2_",
        {"TLS": (0xF, _SPEEDS), "ENTER_COMP": 0x10, "HASD": 0x20, "TX_MARGIN": 0x380},
        when=lambda c: _version_2(c) and _link(c),
    ),
    reg("PCI_EXP_LNKSTA2", 0x32, 2, when=lambda c: _version_2(c) and _link(c)),
    reg(
        "PCI_EXP_SLTCAP2",
        0x34,
        4,
        "PCI_EXP_SLTCAP2_",
        {"IBPD": 0x1},
        when=lambda c: _version_2(c) and _slot(c),
    ),
    reg("PCI_EXP_SLTCTL2", 0x38, 2, when=lambda c: _version_2(c) and _slot(c)),
    reg("PCI_EXP_SLTSTA2", 0x3A, 2, when=lambda c: _version_2(c) and _slot(c)),
)
