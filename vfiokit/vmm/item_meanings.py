"""What the items of a migration stream say, in words: by their names, as the loaders call them."""

from __future__ import annotations

from collections.abc import Callable

from vfiokit.accesses import Buffer
from vfiokit.protocol.v5.markers import marker_name
from vfiokit.units import show_size
from vfiokit.vmm import ram, sections
from vfiokit.vmm.memory import PAGE_SIZE
from vfiokit.vmm.pci_config_state import INTERRUPT_MODES

__all__ = ("meaning",)

_FLAGS = PAGE_SIZE - 1
# linux/pci_regs.h, PCI_COMMAND
_COMMAND = {0x1: "I/O", 0x2: "memory", 0x4: "bus master", 0x400: "INTx off"}
_SECTIONS = {
    sections.EOF: "end of the stream",
    sections.SECTION_START: "START: begins a handler's state",
    sections.SECTION_PART: "PART: a portion, the guest runs",
    sections.SECTION_END: "END: the rest, the guest stands",
}


def meaning(what: str, data: Buffer) -> str:
    """Return what an item says; "" when only its owner can tell.

    :param what: the item's name, as the flows of this package take it
    """
    told = _TOLD.get(what)
    if told is None:
        return _bar(data) if what.startswith("BAR") else ""
    return told(data)


def _number(data: Buffer) -> int:
    return int.from_bytes(data, "big")


def _text(data: Buffer) -> str:
    return bytes(data).decode("utf-8", "backslashreplace")


def _bar(data: Buffer) -> str:
    # PCI 3.0, 6.2.5.1; the upper half of a 64-bit BAR looks like any number.
    return f"{_number(data):#010x}"


def _section(data: Buffer) -> str:
    return _SECTIONS.get(_number(data), "no section type")


def _size(data: Buffer) -> str:
    size = _number(data)
    return f"{show_size(size)} of device data follow" if size else "nothing: the driver offered no data"


def _mode(data: Buffer) -> str:
    mode = _number(data)
    return INTERRUPT_MODES[mode] if mode < len(INTERRUPT_MODES) else "no such mode"


def _command(data: Buffer) -> str:
    value = _number(data)
    names = [name for bit, name in _COMMAND.items() if value & bit]
    return f"{value:#06x}{': ' + ', '.join(names) if names else ''}"


def _word(data: Buffer) -> str:
    word = _number(data)
    place, flags = word & ~_FLAGS, word & _FLAGS
    if flags == ram.FLAG_MEM_SIZE:
        return f"guest memory has {show_size(place)}"
    if flags == ram.FLAG_EOS:
        return "end of this portion of RAM"
    kind = {ram.FLAG_ZERO: "a page of zeros", ram.FLAG_PAGE: "a page"}.get(flags & ~ram.FLAG_CONTINUE)
    return f"{kind} at {place:#x}" if kind else f"unknown flags {flags:#x}"


def _plain_number(data: Buffer) -> str:
    return str(_number(data))


def _hex_number(data: Buffer) -> str:
    return f"{_number(data):#x}"


_TOLD: dict[str, Callable[[Buffer], str]] = {
    "stream magic": _text,
    "stream version": _plain_number,
    "section type": _section,
    "section id": _plain_number,
    "length of idstr": _plain_number,
    "idstr": _text,
    "instance id": _plain_number,
    "version id": _plain_number,
    "footer mark": lambda data: "a section's footer" if _number(data) == sections.FOOTER else "no footer",
    "section id in the footer": _plain_number,
    "marker": lambda data: marker_name(_number(data)),
    "data size": _size,
    "device data": lambda _data: "opaque: the vendor's own",
    "interrupt mode": _mode,
    "MSI address low": _hex_number,
    "MSI address high": _hex_number,
    "MSI data": _hex_number,
    "MSI-X flags, odd word": _hex_number,
    "MSI-X table": lambda data: f"{len(data) // 16} vectors",
    "MSI-X pending bits": _hex_number,
    "command": _command,
    "ram word": _word,
    "ram fill byte": lambda _data: "what the page is filled with",
    "ram page": lambda _data: "4096 bytes of guest memory",
    "length of the block's name": _plain_number,
    "block name": _text,
    "block size": lambda data: show_size(_number(data)),
}
