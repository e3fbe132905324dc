"""Answers of the information ioctls: buffers that grow, and their chains of capabilities.

The kernel tells by ``argsz`` that an answer needs a larger buffer; capabilities follow the structure as
a chain of offsets from the buffer's start, in any order, ended by 0 (``linux/vfio.h``, struct
vfio_info_cap_header). A vendor driver makes these chains, so nothing in them is believed: an offset
outside the buffer, a loop or a count too large is a RuleError.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from vfiokit.device.kernel import Kernel
from vfiokit.errors import RuleError
from vfiokit.uapi import vfio
from vfiokit.uapi.ctypes_layout import CStruct
from vfiokit.uapi.info import Area, Region

__all__ = ("ARGSZ_LIMIT", "InfoCapability", "ask", "parse_region", "read_array", "read_at", "walk")

ARGSZ_LIMIT = 1 << 20  # far above what a driver can need: 65,000 areas
_RULE = "capabilities are linked by offsets within the argsz bytes of the answer (linux/vfio.h)"

_Struct = TypeVar("_Struct", bound=CStruct)


class InfoCapability(NamedTuple):
    """One capability of an answer; *offset* is its header's, bytes from the buffer's start."""

    id: int
    version: int
    offset: int


def ask(kernel: Kernel, fd: int, request: int, query: CStruct, access: Any) -> bytearray:
    """Perform an information ioctl and return the whole answer, however large.

    *query* begins with ``argsz``, which is filled in here. OSError when the kernel refuses; RuleError
    when the answer would pass `ARGSZ_LIMIT` bytes.
    """
    least = query.c_size()
    size = least
    while True:
        buffer = bytearray(size)
        buffer[:least] = bytes(query)
        buffer[:4] = size.to_bytes(4, sys.byteorder)
        kernel.ioctl(fd, request, buffer)
        wanted = int.from_bytes(buffer[:4], sys.byteorder)
        if wanted <= size:
            return buffer
        if wanted > ARGSZ_LIMIT:
            rule = f"no answer needs more than {ARGSZ_LIMIT:#x} bytes"
            raise RuleError(access, f"argsz = {wanted:#x}", rule=rule)
        size = wanted  # it grows, so this ends


def walk(buffer: bytes | bytearray, first: int, least: int, access: Any) -> Iterator[InfoCapability]:
    """Yield the capabilities of an answer from offset *first* on; RuleError on a chain that cannot be.

    *least* is the size of the structure that the capabilities follow.
    """
    head = vfio.InfoCapHeader.c_size()
    seen: set[int] = set()
    offset = first
    while offset:
        if offset < least or offset + head > len(buffer):
            raise RuleError(
                access, f"capability at {offset:#x} of a {len(buffer):#x}-byte answer", rule=_RULE
            )
        if offset in seen:
            raise RuleError(access, f"the capability chain loops to {offset:#x}", rule=_RULE)
        seen.add(offset)
        header = vfio.InfoCapHeader.read_from(buffer, offset)
        yield InfoCapability(header.id, header.version, offset)
        offset = header.next


def read_at(kind: type[_Struct], buffer: bytes | bytearray, offset: int, access: Any) -> _Struct:
    """Return the structure at *offset* of an answer; RuleError when it passes the end."""
    if offset + kind.c_size() > len(buffer):
        raise RuleError(
            access, f"{kind.C_NAME} at {offset:#x} passes the {len(buffer):#x}-byte answer", rule=_RULE
        )
    return kind.read_from(buffer, offset)


def read_array(
    kind: type[_Struct], buffer: bytes | bytearray, offset: int, count: int, access: Any
) -> tuple[_Struct, ...]:
    """Return *count* structures from *offset* of an answer on; RuleError when they pass the end."""
    size = kind.c_size()
    if offset + count * size > len(buffer):
        found = f"{count} of {kind.C_NAME} at {offset:#x} pass the {len(buffer):#x}-byte answer"
        raise RuleError(access, found, rule=_RULE)
    return tuple(kind.read_from(buffer, offset + number * size) for number in range(count))


def parse_region(buffer: bytes | bytearray, access: Any) -> Region:
    """Decode an answer of VFIO_DEVICE_GET_REGION_INFO.

    As QEMU does, the first capability of an id counts and versions are not looked at. Areas are given as
    the driver said them; whether they lie in the region is for those who map them.
    """
    info = read_at(vfio.RegionInfo, buffer, 0, access)
    sparse: tuple[Area, ...] | None = None
    kind: tuple[int, int] | None = None
    msix = False
    others: list[int] = []
    first = info.cap_offset if info.flags & vfio.VFIO_REGION_INFO_FLAG_CAPS else 0
    for capability in walk(buffer, first, vfio.RegionInfo.c_size(), access):
        if capability.id == vfio.VFIO_REGION_INFO_CAP_SPARSE_MMAP:
            if sparse is None:
                head = read_at(vfio.RegionInfoCapSparseMmap, buffer, capability.offset, access)
                start = capability.offset + head.c_size()
                areas = read_array(vfio.SparseMmapArea, buffer, start, head.nr_areas, access)
                sparse = tuple(Area(area.offset, area.size) for area in areas)
        elif capability.id == vfio.VFIO_REGION_INFO_CAP_TYPE:
            if kind is None:
                type_ = read_at(vfio.RegionInfoCapType, buffer, capability.offset, access)
                kind = (type_.type, type_.subtype)
        elif capability.id == vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE:
            msix = True
        else:
            others.append(capability.id)
    return Region(
        index=info.index,
        flags=info.flags,
        size=info.size,
        offset=info.offset,
        sparse=sparse,
        type=kind,
        msix_mappable=msix,
        other_capabilities=tuple(others),
    )
