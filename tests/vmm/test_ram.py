"""RAM: bitmaps, guest memory and the section's bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.accesses import ReadPages, SyncLog, WritePages
from vfiokit.clock import SimulatedClock
from vfiokit.errors import AddressError, RuleError, StreamError
from vfiokit.host import Host
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.runner import run
from vfiokit.streams import MemoryStream
from vfiokit.vmm.dirty_bitmap import DirtyBitmap
from vfiokit.vmm.memory import GuestMemory, RamBlock, layout
from vfiokit.vmm.ram import RamHandlers

PAGE = 4096


def nobody():
    return False
    yield


@given(st.integers(1, 70000), st.integers(100, 5000), st.randoms())
def test_a_bitmap_gives_each_page_once(pages, most, random):
    bitmap = DirtyBitmap(pages)
    seen = []
    while bitmap.count:
        seen.extend(bitmap.take(most).tolist())
    assert seen == list(range(pages))
    again = sorted(random.sample(range(pages), min(pages, 50)))
    log = np.zeros(pages, np.bool_)
    log[again] = True
    assert bitmap.merge(np.packbits(log, bitorder="little").tobytes()) == len(again)
    assert bitmap.merge(np.packbits(log, bitorder="little").tobytes()) == 0
    assert bitmap.take(pages).tolist() == again


def test_a_terabyte_is_an_ordinary_size():
    bitmap = DirtyBitmap(1 << 28)
    assert bitmap.count == 1 << 28
    assert bitmap.take(512).tolist() == list(range(512))


def test_layout_goes_around_the_pci_hole():
    low, high = layout(4 << 30)
    assert (low.address, low.size) == (0, 0xC000_0000)
    assert (high.address, high.size) == (1 << 32, 1 << 30)
    with pytest.raises(AddressError):
        layout(4097)


BLOCKS = (RamBlock("low", 0, 16 * PAGE), RamBlock("high", 1 << 32, 16 * PAGE))


@given(
    st.integers(0, 40),
    st.integers(1, 100),
    st.sampled_from([4096, 8192, 65536]),
    st.randoms(),
)
def test_mark_agrees_with_a_slow_one(pfn, pages, page_size, random):
    bitmap = random.randbytes(-(-pages // 8))
    memory = GuestMemory(BLOCKS)
    memory.mark(pfn, pages, page_size, bitmap)
    dirty = set()
    for bit in range(pages):
        if bitmap[bit // 8] >> bit % 8 & 1:
            start = (pfn + bit) * page_size
            dirty.update(range(start, start + page_size, PAGE))
    for block in BLOCKS:
        log = memory.take_log(block.name)
        found = {block.address + n * PAGE for n in range(block.pages) if log[n // 8] >> n % 8 & 1}
        assert found == {a for a in dirty if block.address <= a < block.address + block.size}
        assert not any(memory.take_log(block.name))


def test_mark_refuses_small_pages():
    with pytest.raises(RuleError):
        GuestMemory(BLOCKS).mark(0, 1, 512, None)


def test_guest_writes_are_logged_over_page_edges():
    memory = GuestMemory(BLOCKS)
    memory.write(PAGE - 1, b"ab")
    assert memory.take_log("low") == b"\3\0"
    assert bytes(memory.view("low")[PAGE - 1 : PAGE + 1]) == b"ab"
    with pytest.raises(AddressError, match="not all of it is memory"):
        memory.write(16 * PAGE - 1, b"ab")


def section_of(memory):
    stream = MemoryStream()
    ram = RamHandlers(memory.blocks, nobody)
    host = Host([], clock=SimulatedClock(), memory=memory, sink=stream)

    def flow():
        yield from ram.save_setup()
        while not (yield from ram.save_iterate()):
            pass
        yield from ram.save_complete()

    run(flow(), host)
    return stream.getvalue()


def load_into(memory, data):
    ram = RamHandlers(memory.blocks, nobody)
    host = Host([], clock=SimulatedClock(), memory=memory, source=MemoryStream(data).reader())

    def flow():
        cursor = Cursor()
        yield from ram.load_setup()
        while cursor.position < len(data):
            yield from ram.load_state(cursor)

    run(flow(), host)


def test_bytes_of_two_pages():
    memory = GuestMemory((RamBlock("pc.ram", 0, 2 * PAGE),))
    memory.view("pc.ram")[PAGE : PAGE + 3] = b"abc"
    name = b"\6pc.ram"
    end = (0x10).to_bytes(8, "big")
    assert section_of(memory) == (
        (0x2004).to_bytes(8, "big") + name + (0x2000).to_bytes(8, "big") + end
        + (0x0002).to_bytes(8, "big") + name + b"\0"
        + (0x1028).to_bytes(8, "big") + b"abc" + bytes(PAGE - 3) + end
        + end + end
    )  # fmt: skip


def test_round_trip_of_several_blocks():
    source, there = GuestMemory(BLOCKS), GuestMemory(BLOCKS)
    random = np.random.default_rng(1)
    for block in BLOCKS:
        source.write_pages(block.name, [0, 3, 5, 6, 15], random.bytes(5 * PAGE))
        there.write_pages(block.name, list(range(16)), random.bytes(16 * PAGE))
    assert source.differences(there) == 32
    load_into(there, section_of(source))
    assert source.differences(there) == 0


def test_wrong_sections():
    memory = GuestMemory(BLOCKS)
    for data, what in (
        ((0x40).to_bytes(8, "big"), "flags"),
        ((0x28).to_bytes(8, "big") + bytes(PAGE), "CONTINUE"),
        ((0x08).to_bytes(8, "big") + b"\3abc" + bytes(PAGE), "unknown block"),
        ((0x10008).to_bytes(8, "big") + b"\3low" + bytes(PAGE), "page at"),
        ((0x02).to_bytes(8, "big") + b"\3low" + b"\1", "fill byte"),
        ((0x10004).to_bytes(8, "big") + b"\3low" + (1 << 63).to_bytes(8, "big"), "block 'low'"),
        ((0x10004).to_bytes(8, "big") + b"\3abc" + (1 << 63).to_bytes(8, "big"), "no such block"),
    ):
        with pytest.raises(StreamError, match=what):
            load_into(memory, data)


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_typed_error(data):
    try:
        load_into(GuestMemory(BLOCKS), data)
    except StreamError:
        pass


def test_accesses_tell_what_they_do():
    assert str(ReadPages("low", [1, 2], PAGE)) == "memory low: read 2 pages"
    assert str(WritePages("low", [1], PAGE, None)) == "memory low: write 1 zero pages"
    assert str(SyncLog("low")) == "memory low: sync dirty log"
