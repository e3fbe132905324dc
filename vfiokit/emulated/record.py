"""The head of the vendor's records (docs/device-model.md, "The vendor's data")."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from vfiokit.emulated import model

__all__ = ("BadRecordError", "Head", "payload_crc")

_HEAD = struct.Struct("<IHHQQIIQ24x")
assert _HEAD.size == model.RECORD_HEAD_SIZE

REGISTERS_PAYLOAD = model.REGISTERS_SIZE + model.SCRATCH_SIZE


class BadRecordError(ValueError):
    """A record that is not to be taken; the message says why. The device turns it into EINVAL."""


def payload_crc(payload: bytes | memoryview) -> int:
    """Return the CRC-32 of a payload, the polynomial of zlib."""
    return zlib.crc32(payload)


@dataclass(frozen=True, slots=True)
class Head:
    """A record's head. *length* is of the payload; with kind 3 the payload is the next chunk."""

    kind: int
    offset: int
    length: int
    state_size: int
    crc: int | None  # None: integrity is off

    def pack(self) -> bytes:
        """Return the head's 64 bytes."""
        flags = 0 if self.crc is None else model.RECORD_FLAG_CRC
        return _HEAD.pack(
            model.RECORD_MAGIC,
            model.RECORD_VERSION,
            self.kind,
            self.offset,
            self.length,
            self.crc or 0,
            flags,
            self.state_size,
        )

    @classmethod
    def unpack(cls, chunk: bytes | memoryview, state_size: int) -> Head:
        """Read and check the head of *chunk*, a whole record, for a device of *state_size* bytes."""
        if len(chunk) < _HEAD.size:
            raise BadRecordError(f"a chunk of {len(chunk)} bytes is shorter than a record's head, 64 bytes")
        magic, version, kind, offset, length, crc, flags, size = _HEAD.unpack_from(chunk)
        if magic != model.RECORD_MAGIC:
            raise BadRecordError(f"the record's magic is {magic:#x}, not {model.RECORD_MAGIC:#x}")
        if version != model.RECORD_VERSION:
            raise BadRecordError(f"the record's version is {version}, not {model.RECORD_VERSION}")
        if size != state_size:
            raise BadRecordError(
                f"the source has {size:#x} bytes of device memory, this device {state_size:#x}"
            )
        payload = len(chunk) - _HEAD.size
        if kind == model.KIND_REGISTERS:
            fits = length == payload == REGISTERS_PAYLOAD
        elif kind == model.KIND_MEMORY:
            fits = length == payload
        elif kind == model.KIND_MEMORY_NEXT:
            fits = payload == 0 and length > 0
        else:
            raise BadRecordError(f"there is no record of kind {kind}")
        if not fits:
            raise BadRecordError(f"a record of kind {kind} says {length:#x} bytes and carries {payload:#x}")
        if kind != model.KIND_REGISTERS and offset + length > state_size:
            raise BadRecordError(
                f"[{offset:#x}, {offset + length:#x}) is outside device memory of {state_size:#x} bytes"
            )
        return cls(kind, offset, length, size, crc if flags & model.RECORD_FLAG_CRC else None)

    def check(self, payload: bytes | memoryview) -> None:
        """Hold *payload* against the CRC, if it is meant."""
        if self.crc is not None and payload_crc(payload) != self.crc:
            raise BadRecordError(f"the CRC-32 of {len(payload):#x} bytes of payload is not {self.crc:#010x}")
