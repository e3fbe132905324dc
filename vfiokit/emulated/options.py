"""The address of an emulated device: ``emulated:v5?state=64M&dirty=40M/s&data=mapped``.

Before the question mark: ``v5``, or ``none`` for a device without a migration region. Options:

========= ================ ===================================================================
option    default          meaning
========= ================ ===================================================================
state     16M              bytes of device memory, a multiple of 4 KiB
dirty     0/s              bytes of device memory the device changes a second (4 KiB blocks)
dma       0/s              bytes of guest memory it dirties a second (4 KiB pages)
pattern   ring             which pages: ring, random, hot, strided
param     0                pages of the hot set, or the stride in pages
window    largest mapping  guest memory it writes, ``IOVA:SIZE``
data      mapped           where migration data is: trapped, mapped, mixed, direct
chunk     1M               bytes of the data window, a multiple of 4 KiB
bitmap    4K               bytes of dirty bitmap in a round, a multiple of 8
all       off              whether copied_pfns may answer ALL
integrity on               whether records carry a CRC-32
type      2                the migration region's type; 3 is the merged interface's
seed      1                of the workloads and of ``fill``
fill      random           what device memory holds at first: random, zero
irq       none             interrupts the guest enabled: none, msi, msix
name      0000:00:04.0     the device's name
clock     sim              sim, real
fault                      a fault, see `vfiokit.emulated.faults`; may be given several times
========= ================ ===================================================================

Sizes take K, M, G (1024); rates end in ``/s``, which may be left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from vfiokit.emulated import model
from vfiokit.emulated.data_section import DATA_KINDS
from vfiokit.errors import AddressError

__all__ = ("Options", "parse_address")

_SIZE = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([KMGkmg]?)\Z")
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_MIN_CHUNK = 0x4000  # room for the registers record


@dataclass(frozen=True, slots=True)
class Options:
    """An emulated device's options; sizes are bytes, rates bytes a second."""

    migration: str = "v5"
    state: int = 16 << 20
    dirty: int = 0
    dma: int = 0
    pattern: str = "ring"
    param: int = 0
    window: tuple[int, int] | None = None
    data: str = "mapped"
    chunk: int = 1 << 20
    bitmap: int = 4096
    all: bool = False
    integrity: bool = True
    type: int = 2
    seed: int = 1
    fill: str = "random"
    irq: str = "none"
    name: str = "0000:00:04.0"
    clock: str = "sim"
    fault: tuple[str, ...] = ()


def _size(text: str) -> int:
    match = _SIZE.match(text)
    if match is None:
        raise ValueError("a size is a number, with K, M or G (1024) if you like")
    return int(match[1], 0 if match[1][:2].lower() == "0x" else 10) << _UNITS[match[2].upper()]


def _rate(text: str) -> int:
    rate = _size(text.removesuffix("/s"))
    if rate >> 64:
        raise ValueError("a rate is below 2^64")
    return rate


def _paged(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        size = _size(text)
        if size % model.PAGE_SIZE or size < least:
            raise ValueError(f"it is a multiple of 4K, at least {least // 1024}K")
        return size

    return parse


def _bitmap(text: str) -> int:
    size = _size(text)
    if size % 8 or not size:
        raise ValueError("it is a multiple of 8 bytes, at least 8")
    return size


def _number32(text: str) -> int:
    number = _size(text)
    if number >> 32:
        raise ValueError("it has 32 bits")
    return number


def _window(text: str) -> tuple[int, int]:
    base, colon, size = text.partition(":")
    if not colon:
        raise ValueError("it is IOVA:SIZE, as 0x40000000:64M")
    window = _size(base), _size(size)
    if window[0] % model.PAGE_SIZE or window[1] % model.PAGE_SIZE or sum(window) > 1 << 64:
        raise ValueError("both parts are multiples of 4K, within 64 bits")
    return window


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            near = difflib.get_close_matches(text, words, 1)
            raise ValueError(
                "it is one of " + ", ".join(words) + (f"; did you mean {near[0]!r}?" if near else "")
            )
        return text

    return parse


def _switch(text: str) -> bool:
    return _choice("on", "off")(text) == "on"


def _name(text: str) -> str:
    if not text:
        raise ValueError("it is not empty")
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    "state": _paged(model.PAGE_SIZE),
    "dirty": _rate,
    "dma": _rate,
    "pattern": _choice(*model.PATTERNS),
    "param": _number32,
    "window": _window,
    "data": _choice(*DATA_KINDS),
    "chunk": _paged(_MIN_CHUNK),
    "bitmap": _bitmap,
    "all": _switch,
    "integrity": _switch,
    "type": _number32,
    "seed": _number32,
    "fill": _choice("random", "zero"),
    "irq": _choice("none", "msi", "msix"),
    "name": _name,
    "clock": _choice("sim", "real"),
    "fault": _name,
}
assert set(_PARSERS) == {field.name for field in fields(Options)} - {"migration"}


def parse_address(address: str) -> Options:
    """Read an address; AddressError names the part that is wrong and what it may be."""
    scheme, colon, rest = address.partition(":")
    if scheme != "emulated" or not colon:
        raise AddressError(f"{address!r} is not an emulated device", hint="as emulated:v5?state=64M")
    kind, _, query = rest.partition("?")
    if kind not in ("v5", "none"):
        raise AddressError(
            f"{address!r}: there is no emulated device {kind!r}", hint="emulated:v5, or emulated:none"
        )
    options = Options(migration=kind)
    seen: set[str] = set()
    for item in filter(None, query.split("&")):
        name, equals, text = item.partition("=")
        parser = _PARSERS.get(name)
        if parser is None:
            near = difflib.get_close_matches(name, _PARSERS, 1)
            raise AddressError(
                f"{address!r}: unknown option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                hint="options: " + ", ".join(_PARSERS),
            )
        if name in seen and name != "fault":
            raise AddressError(f"{address!r}: option {name!r} is given twice")
        seen.add(name)
        if not equals:
            raise AddressError(f"{address!r}: option {name!r} has no value", hint=f"{name}=…")
        try:
            value = parser(text)
        except ValueError as error:
            raise AddressError(f"{address!r}: {name}={text} cannot be: {error}") from None
        changes: dict[str, Any] = {name: (*options.fault, value) if name == "fault" else value}
        options = replace(options, **changes)
    return options
