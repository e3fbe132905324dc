"""RAM as a handler of the migration: the section "ram", version 4, of QEMU's stream.

Not part of the series, but its other half: the pages that devices dirtied go here. The payload is QEMU's
(migration/ram.c): a 64-bit word whose low 12 bits are flags and whose rest is the offset in the block;
the block's idstr follows unless CONTINUE says "the same"; then one byte 0 for a page of zeros, or the
page. Zero pages are kept out of the way of full ones: first all of a portion's, then the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vfiokit.accesses import Buffer, Flow, Put, ReadPages, SyncLog, WritePages
from vfiokit.protocol.stream_cursor import Cursor, be64
from vfiokit.vmm.dirty_bitmap import DirtyBitmap
from vfiokit.vmm.handlers import Totals
from vfiokit.vmm.memory import PAGE_SIZE, RamBlock

__all__ = ("RamHandlers",)

FLAG_ZERO = 0x02
FLAG_MEM_SIZE = 0x04
FLAG_PAGE = 0x08
FLAG_EOS = 0x10
FLAG_CONTINUE = 0x20
_FLAGS = PAGE_SIZE - 1

_PORTION = 512  # pages of one ReadPages: 2 MiB


class RamHandlers:
    """The handlers of guest memory.

    :param log_sync: gathers the devices' dirty pages; see :mod:`vfiokit.vmm.log_sync`
    """

    idstr = "ram"
    version = 4
    label = "ram"

    def __init__(self, blocks: Iterable[RamBlock], log_sync: Callable[[], Flow[bool]]) -> None:
        self.blocks = {block.name: block for block in blocks}
        self._log_sync = log_sync
        self.bitmaps: dict[str, DirtyBitmap] = {}
        self.syncs = 0
        self._last_put: str | None = None
        self._last_taken: str | None = None

    @property
    def dirty_pages(self) -> int:
        """Pages still to be sent."""
        return sum(bitmap.count for bitmap in self.bitmaps.values())

    def sync(self) -> Flow[int]:
        """Merge what was dirtied since the last sync; return the pages newly dirty."""
        yield from self._log_sync()
        fresh = 0
        for name in self.blocks:
            log: bytes = yield SyncLog(name)
            fresh += self.bitmaps[name].merge(log)
        self.syncs += 1
        return fresh

    def save_setup(self) -> Flow[None]:
        """Every page is dirty. The list of blocks goes out."""
        self.bitmaps = {name: DirtyBitmap(block.pages) for name, block in self.blocks.items()}
        self.syncs = 0
        self._last_put = None
        # What was logged before is of no interest: all is sent anyway. Devices are not SAVING yet.
        yield from self.sync()
        yield be64(sum(block.size for block in self.blocks.values()) | FLAG_MEM_SIZE, "ram size")
        for block in self.blocks.values():
            yield Put(_idstr(block.name) + block.size.to_bytes(8, "big"), "ram block")
        yield be64(FLAG_EOS, "ram end")

    def save_pending(self, totals: Totals, threshold: int) -> Flow[None]:
        """Dirty pages, bytes; the log is synced once they seem few enough to stop."""
        if self.dirty_pages * PAGE_SIZE < threshold:
            yield from self.sync()
        totals.precopy += self.dirty_pages * PAGE_SIZE

    def save_iterate(self) -> Flow[bool]:
        """Put up to 2 MiB of dirty pages."""
        done = not (yield from self._put_portion())
        yield be64(FLAG_EOS, "ram end")
        return done

    def save_complete(self) -> Flow[None]:
        """The last sync, and all that is dirty."""
        yield from self.sync()
        while (yield from self._put_portion()):
            pass
        yield be64(FLAG_EOS, "ram end")

    def save_cleanup(self) -> Flow[None]:
        """Forget the bitmaps."""
        self.bitmaps = {}
        yield from ()

    def _put_portion(self) -> Flow[int]:
        for name, bitmap in self.bitmaps.items():
            pages = bitmap.take(_PORTION)
            if len(pages):
                data: Any = yield ReadPages(name, pages, PAGE_SIZE)
                yield from self._put_pages(name, pages, data)
                return len(pages)
        return 0

    def _put_pages(self, block: str, pages: Any, data: Any) -> Flow[None]:
        import numpy as np

        array = np.frombuffer(data, np.uint8).reshape(-1, PAGE_SIZE)
        full = array.any(axis=1)
        for flag, chosen in ((FLAG_ZERO, ~full), (FLAG_PAGE, full)):
            numbers = pages[chosen]
            if len(numbers):
                yield from self._put_kind(block, numbers, array[chosen] if flag == FLAG_PAGE else None, flag)

    def _put_kind(self, block: str, numbers: Any, pages: Any, flag: int) -> Flow[None]:
        import numpy as np

        words = numbers.astype(np.uint64) * np.uint64(PAGE_SIZE) | np.uint64(flag | FLAG_CONTINUE)
        width = 1 if pages is None else PAGE_SIZE
        records = np.zeros((len(numbers), 8 + width), np.uint8)
        records[:, :8] = words.astype(">u8").view(np.uint8).reshape(-1, 8)
        if pages is not None:
            records[:, 8:] = pages
        raw = records.reshape(-1).data
        if self._last_put != block:
            self._last_put = block
            first = int(words[0]) & ~FLAG_CONTINUE
            yield Put(first.to_bytes(8, "big") + _idstr(block), "ram page")
            raw = raw[8:]
        yield Put(raw, f"ram pages ({len(numbers)}{' of zeros' if pages is None else ''})")

    def load_setup(self) -> Flow[None]:
        """Nothing: memory is there."""
        self._last_taken = None
        yield from ()

    def load_cleanup(self) -> Flow[None]:
        """Nothing."""
        yield from ()

    def load_state(self, cursor: Cursor) -> Flow[None]:
        """One section; StreamError for blocks, offsets or flags that this guest does not have."""
        while True:
            word = yield from cursor.number(8, "ram word")
            offset, flags = word & ~_FLAGS, word & _FLAGS
            if flags == FLAG_EOS:
                return
            if flags == FLAG_MEM_SIZE:
                yield from self._load_blocks(cursor, offset)
                continue
            kind = flags & ~FLAG_CONTINUE
            if kind not in (FLAG_ZERO, FLAG_PAGE):
                raise cursor.wrong(f"ram: flags {flags:#x}", rule="QEMU migration/ram.c, RAM_SAVE_FLAG_*")
            name = yield from self._block(cursor, flags)
            block = self.blocks[name]
            if offset >= block.size:
                raise cursor.wrong(f"ram: page at {offset:#x} of {name}, which has {block.size:#x} bytes")
            page = (offset // PAGE_SIZE,)
            if kind == FLAG_ZERO:
                fill = yield from cursor.number(1, "ram fill byte")
                if fill:
                    raise cursor.wrong(f"ram: fill byte {fill:#x}", rule="only pages of zeros are sent short")
                yield WritePages(name, page, PAGE_SIZE, None)
            else:
                data: Buffer = yield from cursor.take(PAGE_SIZE, "ram page")
                yield WritePages(name, page, PAGE_SIZE, data)

    def _block(self, cursor: Cursor, flags: int) -> Flow[str]:
        if flags & FLAG_CONTINUE:
            if self._last_taken is None:
                raise cursor.wrong("ram: CONTINUE before any block was named")
            return self._last_taken
        name = yield from self._name(cursor)
        if name not in self.blocks:
            raise cursor.wrong(
                f"ram: unknown block {name!r}",
                rule=f"this guest has {', '.join(self.blocks)}",
            )
        self._last_taken = name
        return name

    def _name(self, cursor: Cursor) -> Flow[str]:
        length = yield from cursor.number(1, "length of the block's name")
        raw = bytes((yield from cursor.take(length, "block name")))
        return raw.decode("utf-8", "backslashreplace")

    def _load_blocks(self, cursor: Cursor, total: int) -> Flow[None]:
        while total > 0:
            name = yield from self._name(cursor)
            size = yield from cursor.number(8, "block size")
            mine = self.blocks.get(name)
            if mine is None or mine.size != size:
                have = f"{mine.size:#x} bytes" if mine else "no such block"
                raise cursor.wrong(
                    f"ram: block {name!r} has {size:#x} bytes at the source, {have} here",
                    rule="source and destination have the same memory",
                )
            total -= size


def _idstr(name: str) -> bytes:
    raw = name.encode()
    return bytes((len(raw),)) + raw
