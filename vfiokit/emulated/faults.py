"""A device that misbehaves on purpose: wrap any `Device` and say how.

A fault sits between the VMM and the device, on trapped accesses of the migration region; bytes that go
through a mapping are out of its reach. Registers are called as in the header; ``data`` is the data section.
As values of the option ``fault=``, which may be given several times:

========================================= =======================================================
``REGISTER:VALUE``                        reading the register always gives VALUE
``pending_bytes:never-falls``             … gives the largest value it ever had, at least 1
``data_offset:past-end``                  … gives the end of the region
``data_size:too-large``                   … gives more bytes than the region has
``copied_pfns:more``                      … gives 64 pages more than were asked for
``errno:EIO@REGISTER``                    every access to the register fails
``errno:EIO@REGISTER#3``                  the third access to it does
``short:4@REGISTER``, ``short:4@data#2``  an access moves 4 bytes only
========================================= =======================================================

Accesses are counted from 1, reads and writes together. An equals sign does instead of the colon. A failed
access does not reach the device; a short write reaches it with the bytes that moved only when they are
data, since half a register cannot be written.
"""

from __future__ import annotations

import difflib
import errno as _errno
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vfiokit.device.base import Device
from vfiokit.device.wrapped import WrappedDevice
from vfiokit.errors import AddressError, DeviceError
from vfiokit.uapi.migration_v5 import HEADER_SIZE, REGISTERS

__all__ = ("FailAccess", "Fault", "FaultyDevice", "ForceRead", "ShortAccess", "parse_fault")

DATA = "data"
_BY_OFFSET = {register.offset: register.name for register in REGISTERS.values()}


@dataclass(frozen=True, slots=True)
class ForceRead:
    """Change what a register reads: *value* gets the device's value and the faulty device."""

    register: str
    value: Callable[[int, FaultyDevice], int]


@dataclass(frozen=True, slots=True)
class FailAccess:
    """Fail an access to *register* (or ``data``) with *errno*; *at* is which one, from 1, None for all."""

    register: str
    errno: int
    at: int | None = None


@dataclass(frozen=True, slots=True)
class ShortAccess:
    """Move only *size* bytes in an access to *register* (or ``data``)."""

    register: str
    size: int
    at: int | None = None


Fault: TypeAlias = ForceRead | FailAccess | ShortAccess


class FaultyDevice(WrappedDevice):
    """A `Device` with faults; what they do not touch is *device*'s own.

    ``written`` has the last value written to each register, ``largest`` the largest ever read.
    """

    def __init__(self, device: Device, faults: Sequence[Fault]) -> None:
        for fault in faults:
            _known(fault.register)
        super().__init__(device)
        self.faults = tuple(faults)
        self.written: dict[str, int] = {}
        self.largest: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._index, self.region_size = self._find_region()

    def _find_region(self) -> tuple[int, int]:
        for index in range(self.device.info().num_regions):
            region = self.device.region(index)
            if region.type in ((2, 1), (3, 1)):
                return index, region.size
        return -1, 0

    # -- the faults --

    def _access(self, region: int, offset: int) -> tuple[str | None, int]:
        """Return what is accessed, None if it is out of reach, and which access to it this is."""
        if region != self._index:
            return None, 0
        name = DATA if offset >= HEADER_SIZE else _BY_OFFSET.get(offset)
        if name is not None:
            self._counts[name] += 1
        return name, self._counts[name] if name else 0

    def _fail(self, call: str, name: str | None, number: int) -> None:
        for fault in self.faults:
            if isinstance(fault, FailAccess) and fault.register == name and fault.at in (None, number):
                raise DeviceError(
                    self.name,
                    f"{call}(migration {name})",
                    fault.errno,
                    rule=f"a fault was asked for: {fault.register} fails on access {fault.at or 'any'}",
                )

    def _short(self, name: str | None, number: int) -> int | None:
        for fault in self.faults:
            if isinstance(fault, ShortAccess) and fault.register == name and fault.at in (None, number):
                return fault.size
        return None

    def pread(self, region: int, offset: int, size: int) -> bytes:
        """Read as `Device.pread`, through the faults."""
        name, number = self._access(region, offset)
        self._fail("pread", name, number)
        data = self.device.pread(region, offset, size)
        if name is not None and name != DATA:
            data = self._forced(name, data)
        return data[: self._short(name, number)]

    def _forced(self, name: str, data: bytes) -> bytes:
        value = int.from_bytes(data, sys.byteorder)
        self.largest[name] = max(value, self.largest.get(name, 0))
        for fault in self.faults:
            if isinstance(fault, ForceRead) and fault.register == name:
                value = fault.value(value, self)
        return (value & ((1 << 8 * len(data)) - 1)).to_bytes(len(data), sys.byteorder)

    def pwrite(self, region: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Write as `Device.pwrite`, through the faults."""
        name, number = self._access(region, offset)
        self._fail("pwrite", name, number)
        short = self._short(name, number)
        if name is not None and name != DATA:
            if short is not None and short < len(data):
                return short
            self.written[name] = int.from_bytes(data, sys.byteorder)
        part = data if short is None else data[:short]
        return self.device.pwrite(region, offset, part) if len(part) else 0


def _more_pages(_value: int, device: FaultyDevice) -> int:
    return device.written.get("total_pfns", 0) + 64


_NAMED: dict[tuple[str, str], Callable[[int, FaultyDevice], int]] = {
    ("pending_bytes", "never-falls"): lambda value, device: max(value, device.largest["pending_bytes"], 1),
    ("data_offset", "past-end"): lambda _value, device: device.region_size,
    ("data_size", "too-large"): lambda _value, device: device.region_size + 1,
    ("copied_pfns", "more"): _more_pages,
}
_FAULT = re.compile(r"(\w+)[:=](.+)\Z")
_PLACE = re.compile(r"(\w+)@(\w+)(?:#([1-9][0-9]*))?\Z")


def _known(register: str) -> str:
    known = (*REGISTERS, DATA)
    if register not in known:
        near = difflib.get_close_matches(register, known, 1)
        raise AddressError(
            f"a fault on {register!r}, which there is not" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint="registers: " + ", ".join(known),
        )
    return register


def parse_fault(text: str) -> Fault:
    """Read one value of ``fault=``; AddressError says what it may be."""
    match = _FAULT.match(text)
    if match is None:
        raise AddressError(f"fault={text} cannot be understood", hint=_hint())
    what, how = match[1], match[2]
    if what in ("errno", "short"):
        return _parse_place(text, what, how)
    _known(what)
    if what == DATA:
        raise AddressError(f"fault={text}: only a register's value can be forced", hint=_hint())
    named = _NAMED.get((what, how))
    if named is not None:
        return ForceRead(what, named)
    try:
        value = int(how, 0)
    except ValueError:
        raise AddressError(f"fault={text}: {what} knows no {how!r}", hint=_hint()) from None
    return ForceRead(what, lambda _value, _device: value)


def _parse_place(text: str, what: str, how: str) -> Fault:
    match = _PLACE.match(how)
    if match is None:
        raise AddressError(f"fault={text} cannot be understood", hint=_hint())
    at = int(match[3]) if match[3] else None
    register = _known(match[2])
    if what == "short":
        if not match[1].isdigit():
            raise AddressError(f"fault={text}: {match[1]!r} is not a number of bytes", hint=_hint())
        return ShortAccess(register, int(match[1]), at)
    number = getattr(_errno, match[1], None)
    if not match[1].startswith("E") or not isinstance(number, int):
        raise AddressError(f"fault={text}: {match[1]!r} is not an errno's name", hint=_hint())
    return FailAccess(register, number, at)


def _hint() -> str:
    names = ", ".join(f"{register}:{how}" for register, how in _NAMED)
    return f"{names}, REGISTER:NUMBER, errno:EIO@REGISTER#3, short:4@data"
