"""What a PCI class code says (PCI Code and ID Assignment Specification, section 1).

Base classes are complete; subclasses are those met on machines that migrate devices.
"""

from __future__ import annotations

__all__ = ("class_text",)

_BASES = {
    0x00: "unclassified",
    0x01: "mass storage controller",
    0x02: "network controller",
    0x03: "display controller",
    0x04: "multimedia controller",
    0x05: "memory controller",
    0x06: "bridge",
    0x07: "communication controller",
    0x08: "system peripheral",
    0x09: "input device",
    0x0A: "docking station",
    0x0B: "processor",
    0x0C: "serial bus controller",
    0x0D: "wireless controller",
    0x0E: "intelligent controller",
    0x0F: "satellite communication controller",
    0x10: "encryption controller",
    0x11: "signal processing controller",
    0x12: "processing accelerator",
    0x13: "non-essential instrumentation",
    0x40: "co-processor",
    0xFF: "unassigned class",
}
_SUBCLASSES = {
    0x0100: "SCSI controller",
    0x0101: "IDE controller",
    0x0104: "RAID controller",
    0x0106: "SATA controller",
    0x0107: "SAS controller",
    0x0108: "non-volatile memory controller",
    0x0200: "Ethernet controller",
    0x0207: "InfiniBand controller",
    0x0208: "fabric controller",
    0x0300: "VGA compatible controller",
    0x0302: "3D controller",
    0x0401: "audio device",
    0x0403: "HD audio device",
    0x0500: "RAM controller",
    0x0502: "CXL memory device",
    0x0600: "host bridge",
    0x0601: "ISA bridge",
    0x0604: "PCI bridge",
    0x0700: "serial controller",
    0x0800: "interrupt controller",
    0x0801: "DMA controller",
    0x0806: "IOMMU",
    0x0C03: "USB controller",
    0x0C05: "SMBus controller",
    0x1000: "network and computing encryption",
}
_INTERFACES = {
    0x010601: "AHCI",
    0x010802: "NVMe",
    0x060400: "normal decode",
    0x070002: "16550",
    0x0C0330: "xHCI",
}


def class_text(code: int) -> str:
    """Return a 24-bit class code (base class, subclass, interface) in words, as ``NVMe``'s 0x010802."""
    text = _SUBCLASSES.get(code >> 8) or _BASES.get(code >> 16, f"class {code >> 16:#04x}")
    interface = _INTERFACES.get(code)
    return f"{text} ({interface})" if interface else text
