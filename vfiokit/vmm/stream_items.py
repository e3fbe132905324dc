"""A migration stream item by item: each with its place, its bytes, its name and what it means.

For people who look at a stream, and for tests of those who write one. Nothing is loaded, no device is
needed, and what the vendor's data holds stays the vendor's (v5 spec 4, 5; RAM: QEMU migration/ram.c)::

    for item in read_items(Path("stream.bin").read_bytes()):
        print(item)

Items follow each other without gaps. A stream that says what it may not say, or ends too early, gives all
items before the fault, then the error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from vfiokit.accesses import Buffer, Flow, Take
from vfiokit.errors import StreamCutError
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5 import markers
from vfiokit.vmm import ram, sections
from vfiokit.vmm.item_meanings import meaning
from vfiokit.vmm.memory import PAGE_SIZE
from vfiokit.vmm.pci_config_state import MSI, MSIX

__all__ = ("Item", "read_items")

_MSIX_MOST = 2048  # vectors: PCI 3.0, 6.8.2.3
_END = markers.VFIO_MIG_FLAG_END_OF_STATE.to_bytes(8, "big")
_SHOWN = 12


class Item(NamedTuple):
    """One item of a stream.

    :ivar offset: bytes from the stream's start
    :ivar data: its bytes, a window on the stream
    :ivar what: its name, as the loaders call it: "marker", "data size", "BAR0"
    :ivar meaning: what its value says, "" when the bytes are nobody's but the vendor's or the guest's
    :ivar section: the section it is in, as ``3 END 0000:00:04.0/vfio``; "" outside of all
    """

    offset: int
    data: memoryview
    what: str
    meaning: str
    section: str

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self.data)

    @property
    def hex(self) -> str:
        """Its bytes in hex, the first 12 when there are more."""
        more = f" … {self.size} bytes" if self.size > _SHOWN else ""
        return bytes(self.data[:_SHOWN]).hex(" ") + more

    def __str__(self) -> str:
        return f"{self.offset:#010x}  {self.hex:<36} {self.what}{self.meaning and f': {self.meaning}'}"


def read_items(data: Buffer) -> Iterator[Item]:
    """Read a stream into its items.

    :param data: the whole stream, as `vfiokit.save_file` wrote it
    :raises StreamError: an item is not what may stand there; its ``position`` is that item's
    :raises StreamCutError: the stream ends within an item
    """
    view = memoryview(data).toreadonly()
    walk = _Walk(view)
    flow = walk.whole()
    position = 0
    taken: Buffer | None = None
    while True:
        try:
            # Before the first item nothing is sent, as to any generator.
            access = next(flow) if taken is None else flow.send(taken)
        except StopIteration:
            break
        take = cast("Take", access)
        left = len(view) - position
        if take.size > left:
            raise StreamCutError(
                position,
                f"{take.size} bytes are due for {take.what}, {left} are left",
                hint="the source stopped half way, or the file was cut",
            )
        taken = view[position : position + take.size]
        yield Item(position, taken, take.what, meaning(take.what, taken), walk.section)
        position += take.size
    if position < len(view):
        yield Item(position, view[position:], "rest", "behind the end of the stream; nobody reads it", "")


class _Walk:
    """Takes what a loader takes, in its order, and gives it to nobody."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._cursor = Cursor()
        self.section = ""

    def whole(self) -> Flow[None]:
        yield from sections.take_stream_head(self._cursor)
        names: dict[int, str] = {}
        while True:
            head = yield from sections.take_head(self._cursor)
            if head is None:
                return
            if head.type == sections.SECTION_START:
                if head.section_id in names:
                    raise self._cursor.wrong(f"section {head.section_id} starts twice")
                names[head.section_id] = head.idstr
            name = names.get(head.section_id)
            if name is None:
                raise self._cursor.wrong(f"section {head.section_id} was never started")
            self.section = f"{head.section_id} {sections.SECTION_NAMES[head.type]} {name}"
            yield from self._payload(name)
            yield from sections.take_footer(self._cursor, head.section_id)
            self.section = ""

    def _payload(self, name: str) -> Flow[None]:
        if name == ram.RamHandlers.idstr:
            yield from self._ram()
        elif name.endswith("/vfio"):
            yield from self._device()
        else:
            raise self._cursor.wrong(
                f"a section of {name!r}", rule="a section does not tell its length; ram and */vfio are known"
            )

    # A device's section (v5 spec 4.2)

    def _device(self) -> Flow[None]:
        cursor = self._cursor
        while True:
            tag = yield from cursor.number(8, "marker")
            if tag == markers.VFIO_MIG_FLAG_END_OF_STATE:
                return
            if tag == markers.VFIO_MIG_FLAG_DEV_DATA_STATE:
                size = yield from cursor.number(8, "data size")
                if size:
                    yield from cursor.take(size, "device data")
            elif tag == markers.VFIO_MIG_FLAG_DEV_SETUP_STATE:
                yield from self._end_of("setup state")
                return
            elif tag == markers.VFIO_MIG_FLAG_DEV_CONFIG_STATE:
                if self._peek(8) != _END:  # a device that is not PCI has none
                    yield from self._config()
                yield from self._end_of("config state")
            else:
                raise cursor.wrong(
                    f"unknown marker {tag:#018x}",
                    rule="a device's section is made of the four VFIO_MIG_FLAG markers (v5 spec 4)",
                )

    def _end_of(self, what: str) -> Flow[None]:
        tag = yield from self._cursor.number(8, "marker")
        if tag != markers.VFIO_MIG_FLAG_END_OF_STATE:
            raise self._cursor.wrong(
                f"{markers.marker_name(tag)} after the {what}",
                rule="VFIO_MIG_FLAG_END_OF_STATE ends it (v5 spec 4.2)",
            )

    def _config(self) -> Flow[None]:
        cursor = self._cursor
        for bar in range(6):
            yield from cursor.take(4, f"BAR{bar}")
        mode = yield from cursor.number(4, "interrupt mode")
        if mode > MSIX:
            raise cursor.wrong(f"interrupt mode {mode}", rule="0 none, 1 INTx, 2 MSI, 3 MSI-X")
        if mode == MSI:
            for name in ("MSI address low", "MSI address high", "MSI data"):
                yield from cursor.take(4, name)
        elif mode == MSIX:
            yield from cursor.take(2, "MSI-X flags, odd word")
            vectors = self._vectors()
            if vectors:
                yield from cursor.take(16 * vectors, "MSI-X table")
                yield from cursor.take(-(-vectors // 8), "MSI-X pending bits")
        yield from cursor.take(2, "command")

    def _vectors(self) -> int:
        """Return the MSI-X vectors: the stream does not tell, but where the end marker stands does."""
        for vectors in range(_MSIX_MOST + 1):
            at = 16 * vectors + -(-vectors // 8) + 2
            if self._peek(8, at) == _END:
                return vectors
        raise self._cursor.wrong(
            "no end of the config state behind any MSI-X table", rule="a table has 1 to 2048 vectors"
        )

    def _peek(self, size: int, ahead: int = 0) -> bytes:
        start = self._cursor.position + ahead
        return bytes(self._view[start : start + size])

    # RAM's section (QEMU migration/ram.c)

    def _ram(self) -> Flow[None]:
        cursor = self._cursor
        while True:
            word = yield from cursor.number(8, "ram word")
            flags = word & (PAGE_SIZE - 1)
            if flags == ram.FLAG_EOS:
                return
            if flags == ram.FLAG_MEM_SIZE:
                yield from self._blocks(word - flags)
                continue
            kind = flags & ~ram.FLAG_CONTINUE
            if kind not in (ram.FLAG_ZERO, ram.FLAG_PAGE):
                raise cursor.wrong(f"ram: flags {flags:#x}", rule="QEMU migration/ram.c, RAM_SAVE_FLAG_*")
            if not flags & ram.FLAG_CONTINUE:
                yield from self._name()
            if kind == ram.FLAG_ZERO:
                yield from cursor.take(1, "ram fill byte")
            else:
                yield from cursor.take(PAGE_SIZE, "ram page")

    def _blocks(self, total: int) -> Flow[None]:
        while total > 0:
            yield from self._name()
            total -= yield from self._cursor.number(8, "block size")

    def _name(self) -> Flow[None]:
        length = yield from self._cursor.number(1, "length of the block's name")
        yield from self._cursor.take(length, "block name")
