"""The vendor driver while RESUMING: where the next chunk goes, and when it is there (v5 spec 1.6, 2.3).

v5 hands a chunk over in two orders. Mapped: the bytes, then ``data_size``, which consumes. Trapped:
``data_size``, then the bytes, which consume. The merged interface has the bytes first in both cases. All
of them work here: a chunk is consumed when both its size and all its bytes are there. Bytes that come
through a mapping are not seen coming, so the first 64 bytes of the place are marked when it is told: if
the mark is still whole at the ``data_size`` write, the bytes will be written trapped.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from vfiokit.emulated import model
from vfiokit.emulated.data_section import DataSection, Window
from vfiokit.emulated.record import BadRecordError, Head
from vfiokit.emulated.refusal import Refuse
from vfiokit.emulated.state_memory import StateMemory

__all__ = ("Resuming",)

_RULE = "the vendor's data is passed on as it was saved, in order (v5 spec 1.5; device model)"
# Whole records start with the magic, so zeros are mark enough. Raw memory may be anything.
_ZERO_MARK = bytes(4)
_RAW_MARK = b"".join(model.mix(n).to_bytes(8, "little") for n in range(8))


class _Offer:
    """A place told to the VMM, and what has come for it."""

    def __init__(self, window: Window, place: int, capacity: int, mark: bytes) -> None:
        self.window = window
        self.place = place
        self.capacity = capacity
        self.mark = mark
        self.size: int | None = None  # from data_size
        self._parts: list[tuple[int, int]] = []  # written trapped, from the place on
        at = place - window.offset
        self.view = window.view[at : at + capacity]
        self.view[: len(mark)] = mark

    def wrote(self, offset: int, data: bytes | memoryview) -> None:
        at = offset - self.place
        self.view[at : at + len(data)] = data
        self._parts = sorted([*self._parts, (at, at + len(data))])

    def is_there(self) -> bool:
        """All the bytes have come, one way or the other."""
        if self.size is None:
            return False
        if not self._parts:
            return self.window.mapped and bytes(self.view[: len(self.mark)]) != self.mark
        covered = 0
        for start, end in self._parts:
            if start > covered:
                return False
            covered = max(covered, end)
        return covered >= self.size


class Resuming:
    """Takes chunks. ``complete`` says whether the registers, the last record, have come.

    :param load_registers: takes over the payload of a registers record
    """

    def __init__(
        self,
        section: DataSection,
        memory: StateMemory,
        load_registers: Callable[[memoryview], None],
        refuse: Refuse,
    ) -> None:
        self._section = section
        self._memory = memory
        self._load_registers = load_registers
        self._refuse = refuse
        self._offer: _Offer | None = None
        self._next: Head | None = None  # a kind 3 head whose memory is the next chunk
        self._broken = False
        self.complete = True

    def begin(self) -> None:
        """RESUMING was entered."""
        self.drop()
        self.complete = False

    def drop(self) -> None:
        """Forget a half-received chunk."""
        self.complete = self.missing() is None
        self._offer = None
        self._next = None
        self._broken = False

    def forget(self) -> None:
        """The device was reset: nothing is owed."""
        self.drop()
        self.complete = True

    def missing(self) -> str | None:
        """Return why the device cannot run yet, None if it can."""
        if self._broken:
            return "a record was refused"
        if self._offer is not None and self._offer.size is not None:
            return "the last chunk has not come whole"
        if self._next is not None:
            return "device memory that a record announced has not come"
        return None if self.complete else "the registers record has not come"

    def place(self, operation: str) -> int:
        """Tell where to put the next chunk; the same again until its size is written."""
        if self._offer is None:
            self._offer = self._new_offer()
        elif self._offer.size is not None:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"the chunk of {self._offer.size:#x} bytes at {self._offer.place:#x} has not come whole, or "
                "its record has no magic; the next one waits for it (v5 spec 2.3)",
                "write all of it at data_offset; to start over, leave RESUMING and enter it again",
            )
        return self._offer.place

    def _new_offer(self) -> _Offer:
        data, area, head = self._section.data, self._section.memory, self._next
        if head is None:
            return _Offer(data, data.offset, data.size, _ZERO_MARK)
        if area is None:
            return _Offer(data, data.offset, data.size, _RAW_MARK)
        return _Offer(area, area.offset + head.offset, head.length, _RAW_MARK[: head.length])

    def take_size(self, size: int, operation: str) -> None:
        """Take a write of ``data_size``; consumes the chunk if its bytes are there."""
        offer = self._offer
        if offer is None or offer.size is not None:
            raise self._refuse(
                operation,
                errno.EINVAL,
                "data_offset is read first, once for every chunk (v5 spec 2.3)",
            )
        if not 0 < size <= offer.capacity:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"a chunk here has 1 to {offer.capacity:#x} bytes; chunks are passed on as they were saved "
                "(v5 spec 1.4, 7)",
                "open the destination with the source's chunk= or a larger one",
            )
        offer.size = size
        self._consume(offer, operation)

    def take_data(self, offset: int, data: bytes | memoryview, operation: str) -> None:
        """Take a trapped write of *data*; consumes the chunk if it is whole and its size is known."""
        offer = self._offer
        if offer is None:
            raise self._refuse(
                operation,
                errno.EINVAL,
                "data is written at a data_offset that was read before (v5 spec 1.4, 5)",
            )
        limit = offer.place + (offer.capacity if offer.size is None else offer.size)
        if offset < offer.place or offset + len(data) > limit:
            raise self._refuse(
                operation,
                errno.EINVAL,
                f"the chunk's place is [{offer.place:#x}, {limit:#x}) (v5 spec 1.4, 5)",
            )
        offer.wrote(offset, data)
        self._consume(offer, operation)

    def _consume(self, offer: _Offer, operation: str) -> None:
        if not offer.is_there():
            return
        assert offer.size is not None
        self._offer = None
        head, self._next = self._next, None
        try:
            chunk = offer.view[: offer.size]
            if head is None:
                self._take_record(chunk)
            else:
                self._take_raw(head, chunk, in_place=offer.window is self._section.memory)
        except BadRecordError as error:
            self._broken = True
            raise self._refuse(operation, errno.EINVAL, f"{error}; {_RULE}") from None

    def _take_record(self, chunk: memoryview) -> None:
        if self._broken:
            raise BadRecordError("an earlier record was refused, so this one is not taken either")
        head = Head.unpack(chunk, self._memory.size)
        # A source that ran again after it had sent its registers sends memory, and them once more.
        self.complete = False
        payload = chunk[model.RECORD_HEAD_SIZE :]
        if head.kind == model.KIND_MEMORY_NEXT:
            self._next = head
            return
        head.check(payload)
        if head.kind == model.KIND_MEMORY:
            self._memory.view[head.offset : head.offset + head.length] = payload
        else:
            self._load_registers(payload)
            self.complete = True

    def _take_raw(self, head: Head, chunk: memoryview, *, in_place: bool) -> None:
        if len(chunk) != head.length:
            raise BadRecordError(f"a record announced {head.length:#x} bytes and {len(chunk):#x} came")
        head.check(chunk)
        if not in_place:
            self._memory.view[head.offset : head.offset + head.length] = chunk
