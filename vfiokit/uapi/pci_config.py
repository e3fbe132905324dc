"""A PCI config space, decoded by name: header, BARs, both chains of capabilities.

::

    space = decode(image)              # 64, 256 or 4096 bytes; any other length and content is safe too
    print(space)                       # readable text
    space.capability("MSIX").field("PCI_MSIX_FLAGS", "ENABLE")
    space.rows()                       # flat: offset, name, width, value, text; to print or compare

Nothing a device says can raise here or hang: whatever cannot be (a chain that loops, a capability
outside the image, an unknown header type) is a `Problem` in ``space.problems``, and the rest is decoded.
The tables are :mod:`~vfiokit.uapi.pci_regs`, ``pci_caps`` and ``pci_ext_caps``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from vfiokit.uapi.pci_bars import Bar, decode_bars
from vfiokit.uapi.pci_caps import CAPABILITIES, PCI_CAP_ID_EXP, PCI_CAP_ID_VNDR, Layout
from vfiokit.uapi.pci_classes import class_text
from vfiokit.uapi.pci_ext_caps import EXTENDED_CAPABILITIES, PCI_EXT_CAP_ID_DVSEC, PCI_EXT_CAP_ID_VNDR
from vfiokit.uapi.pci_regs import (
    COMMON_HEADER,
    PCI_CFG_SPACE_EXP_SIZE,
    PCI_CFG_SPACE_SIZE,
    PCI_STD_HEADER_SIZEOF,
    Context,
    Register,
    header_registers,
)

__all__ = (
    "Capability",
    "ConfigSpace",
    "Problem",
    "Row",
    "Value",
    "decode",
    "find_capability",
    "find_extended_capability",
)

Buffer: TypeAlias = bytes | bytearray | memoryview

_STATUS, _HEADER_TYPE = 0x06, 0x0E
_STATUS_CAP_LIST = 0x10
_POINTER = {0: 0x34, 1: 0x34, 2: 0x14}  # PCI_CAPABILITY_LIST, PCI_CB_CAPABILITY_LIST
_ABSENT = 0xFFFF_FFFF  # what reads of nothing give


class Problem(NamedTuple):
    """Something config space may not hold."""

    offset: int
    text: str

    def __str__(self) -> str:
        return f"{self.offset:#05x}: {self.text}"


class Row(NamedTuple):
    """One register as a table's row; *name* is unique with *offset*."""

    offset: int  # bytes from config space
    name: str
    width: int  # bytes
    value: int
    text: str

    def __str__(self) -> str:
        return (
            f"{self.offset:#05x}  {self.name:<28} {self.value:#0{2 + 2 * self.width}x}  {self.text}".rstrip()
        )


class Value(NamedTuple):
    """A register and what it holds."""

    register: Register
    offset: int  # bytes from config space
    value: int

    def field(self, name: str) -> int:
        """Return a bit field's value by its short name; KeyError when the register has none such."""
        for candidate in self.register.fields:
            if candidate.name == name:
                return candidate.extract(self.value)
        raise KeyError(name)

    @property
    def text(self) -> str:
        """The value as people read it."""
        return self.register.text(self.value)


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability of either chain."""

    id: int
    offset: int
    extended: bool
    version: int | None  # of an extended capability
    layout: Layout | None  # None for an id the header does not have
    values: tuple[Value, ...] = ()
    data: bytes = b""  # the body of a vendor-specific one, behind its header

    @property
    def name(self) -> str:
        """The header's short name, as ``MSIX``; ``0x7f`` for an unknown id."""
        return self.layout.name if self.layout else f"{self.id:#04x}"

    @property
    def title(self) -> str:
        """What it is, in words."""
        return self.layout.title if self.layout else "unknown"

    def value(self, register: str) -> int:
        """Return a register's value by the header's name; KeyError when it is not there."""
        return self._find(register).value

    def field(self, register: str, name: str) -> int:
        """Return a bit field's value; KeyError when register or field are not there."""
        return self._find(register).field(name)

    def _find(self, register: str) -> Value:
        for value in self.values:
            if value.register.name == register:
                return value
        raise KeyError(register)

    def rows(self) -> list[Row]:
        """Return the registers as rows, names with the capability's in front."""
        mark = "EXT_" if self.extended else ""
        rows = [
            Row(v.offset, f"{mark}{self.name}.{v.register.short}", v.register.width, v.value, v.text)
            for v in self.values
        ]
        # A body is shown in aligned dwords, so that a change is seen where it is.
        start = self.offset + _body_start(self.id, self.extended)
        end = start + len(self.data)
        at = start
        while at < end:
            stop = min((at & ~3) + 4, end)
            part = self.data[at - start : stop - start]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            rows.append(Row(at, f"{mark}{self.name}.data", len(part), int.from_bytes(part, "little"), text))
            at = stop
        return rows


@dataclass(frozen=True, slots=True)
class ConfigSpace:
    """A decoded config space."""

    data: bytes
    header: tuple[Value, ...]
    bars: tuple[Bar, ...]
    capabilities: tuple[Capability, ...]  # in the chains' order, first the standard one
    problems: tuple[Problem, ...] = field(default=())

    def value(self, register: str) -> int:
        """Return a header register's value by the header's name; KeyError when it is not there."""
        for value in self.header:
            if value.register.name == register:
                return value.value
        raise KeyError(register)

    def capability(self, name: str, *, extended: bool = False) -> Capability | None:
        """Return the first capability with the header's short *name* (``MSI``, ``EXP``), or None."""
        for capability in self.capabilities:
            if capability.name == name and capability.extended == extended:
                return capability
        return None

    def rows(self) -> list[Row]:
        """Return every register as a flat table in order of offset."""
        rows = [
            Row(v.offset, v.register.short, v.register.width, v.value, self._header_text(v))
            for v in self.header
        ]
        for bar in self.bars:
            rows.append(Row(bar.offset, f"BASE_ADDRESS_{bar.index}", 4, bar.low, str(bar)))
            if bar.high is not None:
                upper = f"upper half of BAR{bar.index}"
                rows.append(Row(bar.offset + 4, f"BASE_ADDRESS_{bar.index + 1}", 4, bar.high, upper))
        for capability in self.capabilities:
            rows.extend(capability.rows())
        return sorted(rows, key=lambda row: (row.offset, row.name))

    @staticmethod
    def _header_text(value: Value) -> str:
        return class_text(value.value) if value.register.name == "class_code" else value.text

    def __str__(self) -> str:
        lines = [str(row) for row in self.rows()]
        chains = [
            f"{c.offset:#05x}  {'extended ' if c.extended else ''}capability {c.id:#04x} {c.name}: {c.title}"
            + (f", version {c.version}" if c.version is not None else "")
            for c in self.capabilities
        ]
        lines += ["", *chains] if chains else []
        lines += ["", *(f"problem at {problem}" for problem in self.problems)] if self.problems else []
        return "\n".join(lines)


def _get(data: Buffer, offset: int, width: int) -> int | None:
    if offset + width > len(data):
        return None
    return int.from_bytes(data[offset : offset + width], "little")


def _body_start(identifier: int, extended: bool) -> int:
    if not extended:
        return 3  # id, next, length
    return 10 if identifier == PCI_EXT_CAP_ID_DVSEC else 8


def _walk(data: Buffer, problems: list[Problem]) -> Iterator[tuple[int, int]]:
    """Yield (id, offset) along the standard chain; ends well whatever *data* holds (PCI 3.0, 6.7)."""
    status = _get(data, _STATUS, 2)
    if status is None or not status & _STATUS_CAP_LIST or status == 0xFFFF:
        return
    place = _POINTER.get((_get(data, _HEADER_TYPE, 1) or 0) & 0x7F)
    if place is None:
        return
    seen: set[int] = set()
    pointer = _get(data, place, 1)
    while pointer:
        offset = pointer & ~3  # the low bits are reserved
        if offset < PCI_STD_HEADER_SIZEOF:
            problems.append(Problem(place, f"next capability {pointer:#x} is inside the header"))
            return
        if offset in seen:
            problems.append(Problem(place, f"the capability chain loops to {offset:#x}"))
            return
        seen.add(offset)
        identifier = _get(data, offset, 1)
        place = offset + 1
        pointer = _get(data, place, 1)
        if identifier is None or pointer is None:
            problems.append(Problem(offset, "the capability is outside the image"))
            return
        if identifier == 0xFF:
            problems.append(Problem(offset, "capability id 0xff: nothing answers here"))
            return
        yield identifier, offset


def _walk_extended(data: Buffer, problems: list[Problem]) -> Iterator[tuple[int, int, int]]:
    """Yield (id, version, offset) along the extended chain (PCI Express base specification, 7.6.3)."""
    seen: set[int] = set()
    offset = PCI_CFG_SPACE_SIZE
    place = offset
    while True:
        if offset in seen:
            problems.append(Problem(place, f"the extended capability chain loops to {offset:#x}"))
            return
        seen.add(offset)
        header = _get(data, offset, 4)
        if header is None:
            if len(data) > PCI_CFG_SPACE_SIZE:
                problems.append(Problem(offset, "the extended capability is outside the image"))
            return
        if header in (0, _ABSENT):
            if offset != PCI_CFG_SPACE_SIZE:
                problems.append(Problem(offset, f"extended capability header {header:#x} in the chain"))
            return
        if header & 0xFFFF or header >> 16 & 0xF:  # id 0 with a next is a null capability: skip it
            yield header & 0xFFFF, header >> 16 & 0xF, offset
        place, offset = offset, header >> 20 & 0xFFC
        if offset == 0:
            return
        if offset < PCI_CFG_SPACE_SIZE:
            problems.append(Problem(place, f"next extended capability {offset:#x} is below 0x100"))
            return


def find_capability(data: Buffer, cap_id: int) -> int | None:
    """Return the offset of the first standard capability *cap_id*, or None; safe on any bytes."""
    return next((offset for found, offset in _walk(data, []) if found == cap_id), None)


def find_extended_capability(data: Buffer, cap_id: int) -> int | None:
    """Return the offset of the first extended capability *cap_id*, or None; safe on any bytes."""
    return next((offset for found, _, offset in _walk_extended(data, []) if found == cap_id), None)


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.problems: list[Problem] = []
        self.port_type: int | None = None
        self.header_type = (_get(data, _HEADER_TYPE, 1) or 0) & 0x7F

    def values(self, registers: tuple[Register, ...], base: int, context: Context) -> tuple[Value, ...]:
        values: list[Value] = []
        cut = False
        for register in registers:
            if register.when is not None and not register.when(context):
                continue
            number = _get(self.data, base + register.offset, register.width)
            if number is None:
                cut = True
            else:
                values.append(Value(register, base + register.offset, number))
        if cut:
            self.problems.append(Problem(base, f"cut short: the image ends at {len(self.data):#x}"))
        return tuple(values)

    def capability(self, identifier: int, offset: int, version: int | None = None) -> Capability:
        extended = version is not None
        layout = (EXTENDED_CAPABILITIES if extended else CAPABILITIES).get(identifier)
        flags = _get(self.data, offset + 2, 2) or 0
        if identifier == PCI_CAP_ID_EXP and not extended:
            self.port_type = flags >> 4 & 0xF
        context = Context(flags, self.header_type, self.port_type)
        values = self.values(layout.registers, offset, context) if layout else ()
        return Capability(
            identifier, offset, extended, version, layout, values, self.body(identifier, offset, extended)
        )

    def body(self, identifier: int, offset: int, extended: bool) -> bytes:
        """Return what a vendor-specific capability holds behind its header, by its own length."""
        if extended and identifier in (PCI_EXT_CAP_ID_VNDR, PCI_EXT_CAP_ID_DVSEC):
            length = (_get(self.data, offset + 4, 4) or 0) >> 20
        elif not extended and identifier == PCI_CAP_ID_VNDR:
            length = _get(self.data, offset + 2, 1) or 0
        else:
            return b""
        start = _body_start(identifier, extended)
        if length < start:
            self.problems.append(Problem(offset, f"vendor-specific length {length} is less than its header"))
        limit = PCI_CFG_SPACE_EXP_SIZE if extended else PCI_CFG_SPACE_SIZE
        end = min(offset + length, limit, len(self.data))
        if end < offset + length:
            self.problems.append(Problem(offset, f"vendor-specific length {length} passes the image's end"))
        return self.data[offset + start : end]


def decode(data: Buffer) -> ConfigSpace:
    """Decode a config space image of any length; never raises on what it holds.

    Standard capabilities are read from the first 256 bytes, extended ones from the first 4096.
    """
    image = bytes(data[:PCI_CFG_SPACE_EXP_SIZE])
    decoder = _Decoder(image)
    problems = decoder.problems
    if len(image) < PCI_STD_HEADER_SIZEOF:
        problems.append(Problem(0, f"{len(image)} bytes are less than the header's {PCI_STD_HEADER_SIZEOF}"))
    if _get(image, 0, 4) == _ABSENT:
        problems.append(Problem(0, "vendor id 0xffff: no device answers"))
    registers, bar_count = header_registers(decoder.header_type)
    if not registers:
        problems.append(Problem(_HEADER_TYPE, f"unknown header type {decoder.header_type:#x}"))
    context = Context(header_type=decoder.header_type)
    header = decoder.values(COMMON_HEADER + registers, 0, context)
    bars, wrong = decode_bars(image, bar_count)
    problems.extend(Problem(offset, text) for offset, text in wrong)
    first = image[:PCI_CFG_SPACE_SIZE]
    capabilities = [decoder.capability(found, offset) for found, offset in _walk(first, problems)]
    # The extended chain begins at 0x100 without a pointer to it; a device without one reads 0 there.
    capabilities += [
        decoder.capability(found, offset, version)
        for found, version, offset in _walk_extended(image, problems)
    ]
    return ConfigSpace(image, header, bars, tuple(capabilities), tuple(problems))
