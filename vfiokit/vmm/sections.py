"""The framing of a QEMU migration stream: sections with headers and footers (v5 spec 4.1).

The series changes none of it; a stream is cut by it. Numbers are big-endian.
"""

from __future__ import annotations

from typing import NamedTuple

from vfiokit.accesses import Flow, Put
from vfiokit.protocol.stream_cursor import Cursor

__all__ = (
    "EOF",
    "FOOTER",
    "SECTION_END",
    "SECTION_NAMES",
    "SECTION_PART",
    "SECTION_START",
    "STREAM_MAGIC",
    "STREAM_VERSION",
    "SectionHead",
    "put_eof",
    "put_footer",
    "put_head",
    "put_stream_head",
    "take_footer",
    "take_head",
    "take_stream_head",
)

STREAM_MAGIC = 0x5145_564D
STREAM_VERSION = 3

EOF = 0x00
SECTION_START = 0x01
SECTION_PART = 0x02
SECTION_END = 0x03
FOOTER = 0x7E

SECTION_NAMES = {SECTION_START: "START", SECTION_PART: "PART", SECTION_END: "END"}


class SectionHead(NamedTuple):
    """What stands before a section's payload; a PART and an END have type and id only."""

    type: int
    section_id: int
    idstr: str = ""
    instance_id: int = 0
    version_id: int = 0


def put_stream_head() -> Put:
    """Return the access that begins a stream."""
    return Put(STREAM_MAGIC.to_bytes(4, "big") + STREAM_VERSION.to_bytes(4, "big"), "stream header")


def put_head(head: SectionHead) -> Put:
    """Return the access that begins a section."""
    data = bytes((head.type,)) + head.section_id.to_bytes(4, "big")
    if head.type == SECTION_START:
        name = head.idstr.encode()
        data += bytes((len(name),)) + name
        data += head.instance_id.to_bytes(4, "big") + head.version_id.to_bytes(4, "big")
    return Put(data, f"section {SECTION_NAMES[head.type]}")


def put_footer(section_id: int) -> Put:
    """Return the access that ends a section."""
    return Put(bytes((FOOTER,)) + section_id.to_bytes(4, "big"), "section footer")


def put_eof() -> Put:
    """Return the access that ends the stream."""
    return Put(bytes((EOF,)), "end of stream")


def take_stream_head(cursor: Cursor) -> Flow[None]:
    """Take the stream's header; StreamError when it is not one of QEMU's, version 3."""
    magic = yield from cursor.number(4, "stream magic")
    if magic != STREAM_MAGIC:
        raise cursor.wrong(
            f"magic {magic:#010x}: this is no QEMU migration stream", rule=f"it begins with {STREAM_MAGIC:#x}"
        )
    version = yield from cursor.number(4, "stream version")
    if version != STREAM_VERSION:
        raise cursor.wrong(f"version {version}", rule=f"the stream's version is {STREAM_VERSION}")


def take_head(cursor: Cursor) -> Flow[SectionHead | None]:
    """Take a section's head; None at the end of the stream, StreamError for an unknown type."""
    kind = yield from cursor.number(1, "section type")
    if kind == EOF:
        return None
    if kind not in SECTION_NAMES:
        raise cursor.wrong(
            f"section type {kind:#04x}", rule="1 START, 2 PART, 3 END, or 0 for the end of the stream"
        )
    section_id = yield from cursor.number(4, "section id")
    if kind != SECTION_START:
        return SectionHead(kind, section_id)
    length = yield from cursor.number(1, "length of idstr")
    raw = bytes((yield from cursor.take(length, "idstr")))
    try:
        idstr = raw.decode()
    except UnicodeDecodeError:
        raise cursor.wrong(f"idstr {raw!r} is not text") from None
    instance = yield from cursor.number(4, "instance id")
    version = yield from cursor.number(4, "version id")
    return SectionHead(kind, section_id, idstr, instance, version)


def take_footer(cursor: Cursor, section_id: int) -> Flow[None]:
    """Take a section's footer; StreamError when it is not that of *section_id*."""
    mark = yield from cursor.number(1, "footer mark")
    if mark != FOOTER:
        raise cursor.wrong(f"{mark:#04x} where section {section_id}'s footer is due", rule="0x7e begins it")
    found = yield from cursor.number(4, "section id in the footer")
    if found != section_id:
        raise cursor.wrong(f"the footer says section {found}, its head said {section_id}")
