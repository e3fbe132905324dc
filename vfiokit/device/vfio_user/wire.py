"""vfio-user on the wire: the header, the commands, their structures, the version's JSON.

A message is a header of 16 bytes and a payload; integers are in host byte order (QEMU
docs/interop/vfio-user.rst). Structures are packed there and naturally aligned all the same, so each is
a :class:`~vfiokit.uapi.ctypes_layout.CStruct`; region and interrupt information are ``linux/vfio.h``'s own.
What comes from the other end is not believed: what cannot be is a `MessageError`.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from vfiokit.errors import DeviceError
from vfiokit.uapi import vfio
from vfiokit.uapi.ctypes_layout import U16, U32, U64, CStruct, c_struct
from vfiokit.uapi.info import Region

__all__ = (
    "Capabilities",
    "Command",
    "DeviceInfo",
    "DmaMap",
    "DmaUnmap",
    "Header",
    "MessageError",
    "RegionAccess",
    "Version",
    "check_header",
    "pack_region",
    "pack_version",
    "parse_version",
    "take",
)

MAJOR, MINOR = 0, 2
MAX_DATA = 1 << 20
"""Bytes of data in one message that we accept, and the protocol's default."""

TYPE_MASK = 0xF
TYPE_COMMAND = 0
TYPE_REPLY = 1
FLAG_NO_REPLY = 1 << 4
FLAG_ERROR = 1 << 5

DMA_READABLE = 1 << 0
DMA_WRITABLE = 1 << 1
DMA_MMAP = 1 << 2

_HEADROOM = 4096  # of payload besides the data: the largest is a region's information or the version's JSON
_DOCS = "QEMU docs/interop/vfio-user.rst"


class MessageError(DeviceError):
    """A message is not as the protocol has it.

    :param peer: whose message it is, a device's name or ``client``
    :param found: what came, in words
    """

    def __init__(self, peer: str, found: str, *, rule: str) -> None:
        DeviceError.__init__(self, peer, f"vfio-user: {found}", errno.EPROTO, rule=f"{rule} ({_DOCS})")
        self.found = found


class Command(IntEnum):
    """What a message asks for; commands 11 and 12 go from server to client."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13
    REGION_WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18

    @classmethod
    def text(cls, number: int) -> str:
        """Return a command's name, or its number when it has none."""
        return cls(number).name if number in cls._value2member_map_ else f"command {number}"


@c_struct("vfio_user_header")
class Header(CStruct):
    """Head of every message; ``size`` counts it too, ``error`` is an errno."""

    id: U16
    command: U16
    size: U32
    flags: U32
    error: U32


@c_struct("vfio_user_version")
class Version(CStruct):
    """VERSION, both ways; JSON may follow, ended by a NUL."""

    major: U16
    minor: U16


@c_struct("vfio_user_dma_map")
class DmaMap(CStruct):
    """DMA_MAP; ``offset`` is in the file that is passed, or in memory that both ends have anyway."""

    argsz: U32
    flags: U32
    offset: U64
    address: U64
    size: U64


@c_struct("vfio_user_dma_unmap")
class DmaUnmap(CStruct):
    """DMA_UNMAP and its reply."""

    argsz: U32
    flags: U32
    address: U64
    size: U64


@c_struct("vfio_user_device_info")
class DeviceInfo(CStruct):
    """DEVICE_GET_INFO, both ways; shorter than the kernel's, which has capabilities."""

    argsz: U32
    flags: U32
    num_regions: U32
    num_irqs: U32


@c_struct("vfio_user_region_access")
class RegionAccess(CStruct):
    """REGION_READ and REGION_WRITE, both ways; data may follow."""

    offset: U64
    region: U32
    count: U32


_Struct = TypeVar("_Struct", bound=CStruct)


def check_header(header: Header, limit: int, peer: str) -> None:
    """Raise MessageError when no message can have this header; *limit* is the data it may carry, bytes."""
    largest = Header.c_size() + RegionAccess.c_size() + max(limit, _HEADROOM)
    if not Header.c_size() <= header.size <= largest:
        raise MessageError(
            peer, f"a message of {header.size:#x} bytes", rule=f"its size is 16 to {largest:#x} bytes"
        )
    if header.flags & TYPE_MASK not in (TYPE_COMMAND, TYPE_REPLY):
        raise MessageError(
            peer, f"a message of type {header.flags & TYPE_MASK}", rule="the type is 0 or 1, command or reply"
        )


def take(kind: type[_Struct], payload: bytes | bytearray | memoryview, peer: str) -> _Struct:
    """Return the structure that *payload* begins with; MessageError when it is cut short."""
    if len(payload) < kind.c_size():
        raise MessageError(
            peer, f"{len(payload)} bytes of payload", rule=f"{kind.C_NAME} has {kind.c_size()} bytes"
        )
    return kind.read_from(payload)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one end says of itself; what it does not say has the protocol's default.

    :param max_msg_fds: file descriptors it can receive in one message
    :param max_data_xfer_size: bytes of data in one message that it accepts
    :param max_dma_maps: DMA mappings at a time
    :param pgsizes: DMA page sizes, ORed
    """

    max_msg_fds: int = 1
    max_data_xfer_size: int = MAX_DATA
    max_dma_maps: int = 65535
    pgsizes: int = 4096


# The least that makes sense of each: a register moves in one message.
_LEAST = {"max_msg_fds": 0, "max_data_xfer_size": 8, "max_dma_maps": 0, "pgsizes": 4096}


def pack_version(minor: int, capabilities: Capabilities) -> bytes:
    """Return the payload of a VERSION message of major 0."""
    words = {name: getattr(capabilities, name) for name in _LEAST}
    text = json.dumps({"capabilities": words}).encode()
    return bytes(Version(major=MAJOR, minor=minor)) + text + b"\0"


def parse_version(payload: bytes | bytearray | memoryview, peer: str) -> tuple[Version, Capabilities]:
    """Return version and capabilities of a VERSION message; MessageError when it cannot be understood.

    Capabilities that are not known are passed over.
    """
    version = take(Version, payload, peer)
    text = bytes(payload[Version.c_size() :])
    if not text:
        return version, Capabilities()
    if text[-1] != 0:
        raise MessageError(peer, f"capabilities that end in {text[-1]:#04x}", rule="a NUL ends the JSON")
    try:
        words: Any = json.loads(text[:-1].decode())
    except (ValueError, RecursionError) as error:
        raise MessageError(
            peer, f"capabilities that are no JSON: {error}", rule="capabilities are JSON in UTF-8"
        ) from error
    found = words.get("capabilities", {}) if isinstance(words, dict) else None
    if not isinstance(found, dict):
        raise MessageError(peer, "capabilities that are no object", rule='{"capabilities": {…}}')
    values: dict[str, int] = {}
    for name, least in _LEAST.items():
        value = found.get(name)
        if value is None:
            continue
        if type(value) is not int or not least <= value < 1 << 64:
            raise MessageError(peer, f"{name} = {value!r}"[:200], rule=f"a number, at least {least}")
        values[name] = value
    return version, Capabilities(**values)


def pack_region(region: Region, argsz: int) -> bytes:
    """Return the reply of DEVICE_GET_REGION_INFO to someone who takes *argsz* bytes.

    Capabilities that do not fit are left out, and ``argsz`` says what would be needed. Those whose
    content nobody knows come as their bare head.
    """
    parts: list[tuple[int, bytes]] = []
    if region.type is not None:
        kind = vfio.RegionInfoCapType(type=region.type[0], subtype=region.type[1])
        parts.append((vfio.VFIO_REGION_INFO_CAP_TYPE, bytes(kind)[vfio.InfoCapHeader.c_size() :]))
    if region.sparse is not None:
        head = vfio.RegionInfoCapSparseMmap(nr_areas=len(region.sparse))
        areas = b"".join(bytes(vfio.SparseMmapArea(area.offset, area.size)) for area in region.sparse)
        content = bytes(head)[vfio.InfoCapHeader.c_size() :] + areas
        parts.append((vfio.VFIO_REGION_INFO_CAP_SPARSE_MMAP, content))
    if region.msix_mappable:
        parts.append((vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, b""))
    parts += [(number, b"") for number in region.other_capabilities]

    fixed = vfio.RegionInfo.c_size()
    chain = bytearray()
    for left, (number, content) in zip(reversed(range(len(parts))), parts, strict=True):
        size = vfio.InfoCapHeader.c_size() + len(content)
        following = fixed + len(chain) + size if left else 0
        chain += bytes(vfio.InfoCapHeader(id=number, version=1, next=following)) + content
    fits = fixed + len(chain) <= argsz
    flags = region.flags & ~vfio.VFIO_REGION_INFO_FLAG_CAPS
    if chain and fits:
        flags |= vfio.VFIO_REGION_INFO_FLAG_CAPS
    info = vfio.RegionInfo(
        argsz=fixed + len(chain),
        flags=flags,
        index=region.index,
        cap_offset=fixed if chain and fits else 0,
        size=region.size,
        offset=region.offset,
    )
    return bytes(info) + (bytes(chain) if fits else b"")
