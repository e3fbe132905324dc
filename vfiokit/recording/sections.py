"""Where guest memory lies, as the VMM knows it: RAM blocks, and sections mapped for DMA or skipped."""

from __future__ import annotations

from typing import NamedTuple

from vfiokit.errors import RecordingError

__all__ = ("SECTION_KINDS", "Section", "checked")

SECTION_KINDS = ("ram", "ignored", "mapped", "skipped")
"""RAM that migrates, RAM that does not; what a device was given for DMA, what none was given."""


class Section(NamedTuple):
    """A stretch of guest memory.

    :ivar kind: one of :data:`SECTION_KINDS`. RAM blocks are "ram" or "ignored"; the listener of the VMM maps
        a section for a device or skips it (QEMU hw/vfio/common.c, vfio_listener_skipped_section)
    :ivar name: the RAM block's name in the stream, or what the section is
    :ivar address: guest physical, which is the IOVA, bytes
    :ivar size: bytes
    :ivar page_size: of the pages that it is made of, bytes: a huge page's, if it is of them
    :ivar device: for whom it is mapped
    :ivar why: the reason why it is skipped
    """

    kind: str
    name: str
    address: int
    size: int
    page_size: int = 4096
    device: str | None = None
    why: str | None = None


def checked(section: Section) -> Section:
    """Return *section*; RecordingError when there cannot be such a one."""
    if section.kind not in SECTION_KINDS:
        raise RecordingError(
            f"a section of guest memory of kind {section.kind!r}", rule=f"one of {', '.join(SECTION_KINDS)}"
        )
    numbers = (section.address, section.size, section.page_size)
    if min(numbers) < 0 or max(*numbers, section.address + section.size) > 1 << 64 or not section.page_size:
        raise RecordingError(
            f"section {section.name}: {section.size:#x} bytes at {section.address:#x} "
            f"of pages of {section.page_size:#x}",
            rule="memory lies below 2**64",
        )
    return section
