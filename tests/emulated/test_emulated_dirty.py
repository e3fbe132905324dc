"""Workloads against the model read slowly, and the log of the pages they dirty."""

from __future__ import annotations

import errno
import struct
import time

import pytest
from emulated_vmm import PRECOPY, RUNNING, SAVING, Vmm
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.emulated import model, open_emulated
from vfiokit.emulated.dirty_log import DirtyLog
from vfiokit.emulated.refusal import Refuse
from vfiokit.errors import DeviceError

M64 = (1 << 64) - 1


def mix(x):
    z = (x + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def slow_writes(count, seed, pattern, pages, param):
    """The model's text, one write after the other: {page: (i, r)}."""
    written = {}
    for i in range(count):
        r = mix((seed << 32) ^ i)
        page = {
            "ring": i % pages,
            "random": r % pages,
            "hot": (r >> 3) % (min(max(param, 1), pages) if r & 7 else pages),
            "strided": (i * max(param, 1)) % pages,
        }[pattern]
        written[page] = (i, r)
    return written


@settings(max_examples=40, deadline=None)
@given(
    pattern=st.sampled_from(list(model.PATTERNS)),
    seed=st.integers(0, 2**32 - 1),
    param=st.integers(0, 40) | st.integers(0, 2**32 - 1),
    pages=st.integers(1, 64),
    steps=st.lists(st.integers(0, 3_000), max_size=5),
    split=st.integers(1, 63),
)
def test_workload_is_the_models(pattern, seed, param, pages, steps, split):
    address = f"emulated:v5?state=32K&fill=zero&pattern={pattern}&seed={seed}&param={param}&data=trapped"
    with open_emulated(address + f"&window=0x10000000:{pages * 4}K&dma=4M/s&dirty=4M/s") as device:
        low, high = bytearray(split * 4096), bytearray((64 - split) * 4096)
        device.map_dma(0x10000000, memoryview(low))
        device.map_dma(0x10000000 + len(low), memoryview(high))
        vmm = Vmm(device)
        vmm.put("device_state", PRECOPY)
        done = 0
        for step in steps:  # 1024 writes a second: steps of the numpy path and of the other one
            device.clock.advance(step * 1_000_003)
            done = device.clock.now() * 1024 // 10**9
            assert int.from_bytes(device.pread(0, 0x40, 8), "little") == done
        expected = slow_writes(done, seed, pattern, pages, param)
        guest = low + high
        assert {
            page: struct.unpack_from("<QQ", guest, page * 4096)
            for page in range(64)
            if any(guest[page * 4096 : page * 4096 + 16])
        } == {page: pair for page, pair in expected.items() if any(pair)}
        assert vmm.dirty(0x10000, 64) == {0x10000 + page for page in expected}
        assert vmm.dirty(0x10000, 64) == set()
        memory = bytearray(32 << 10)
        for j in range(done):
            s = mix(((seed ^ 0x5A5A5A5A) << 32) ^ j)
            struct.pack_into("<QQ", memory, s % 8 * 4096, j, s)
        assert bytes(device.memory.view) == memory


def test_million_writes_are_quick():
    with open_emulated("emulated:v5?state=16M&dma=4G/s&pattern=random&fill=zero") as device:
        memory = bytearray(64 << 20)
        device.map_dma(0, memoryview(memory))
        device.clock.advance(10**9)
        start = time.perf_counter()
        assert int.from_bytes(device.pread(0, 0x40, 8), "little") == 1 << 20
        assert time.perf_counter() - start < 2


def test_refused_dma_is_told_and_not_counted():
    for count in (3, 2000):
        with open_emulated("emulated:v5?state=32K&window=0:64K") as device:
            device.map_dma(0, memoryview(bytearray(8192)))
            device.pwrite(0, 0x38, count.to_bytes(4, "little"))
            assert int.from_bytes(device.pread(0, 0x40, 8), "little") == 2
            assert int.from_bytes(device.pread(0, 0x3C, 4), "little") == errno.EFAULT
            assert int.from_bytes(device.pread(0, 0x0C, 4), "little") == 3
            device.map_dma(8192, memoryview(bytearray(4096)))
            device.pwrite(0, 0x38, b"\1\0\0\0")
            assert int.from_bytes(device.pread(0, 0x0C, 4), "little") == 1
            device.pwrite(0, 0x18, bytes(8))
            device.pwrite(0, 0x38, b"\1\0\0\0")
            assert int.from_bytes(device.pread(0, 0x40, 8), "little") == 3


def test_read_only_memory_is_not_written():
    with open_emulated("emulated:v5?state=32K&window=0:4K") as device:
        memory = memoryview(bytes(4096))
        with pytest.raises(DeviceError, match="EINVAL"):
            device.map_dma(0, memory)
        device.map_dma(0, memory, writable=False)
        device.pwrite(0, 0x38, b"\1\0\0\0")
        assert int.from_bytes(device.pread(0, 0x3C, 4), "little") == errno.EFAULT


def test_dma_mappings_have_the_iommus_rules():
    with open_emulated("emulated:none") as device:
        memory = memoryview(bytearray(4 * 4096))
        device.map_dma(0x4000, memory)
        for iova, size, number in (
            (0x7000, 4096, errno.EEXIST),
            (0x1000, 4 * 4096, errno.EEXIST),
            (0x8001, 4096, errno.EINVAL),
            (0x9000, 100, errno.EINVAL),
            (2**64 - 4096, 8192, errno.EINVAL),
        ):
            with pytest.raises(DeviceError) as error:
                device.map_dma(iova, memoryview(bytearray(size)))
            assert error.value.errno == number
        with pytest.raises(DeviceError, match="cut the mapping"):
            device.unmap_dma(0x4000, 4096)
        assert device.unmap_dma(0, 0x10000) == 4 * 4096
        assert device.unmap_dma(0, 0x10000) == 0
        device.map_dma(2**64 - 4096, memoryview(bytearray(4096)))


def asks(log, start, page_size, total):
    for name, value in (("total_pfns", total), ("start_pfn", start), ("page_size", page_size)):
        log.request(name, value)
    return log.snapshot()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_log_gives_each_page_once(data):
    """Whatever is asked in whatever page size: what was marked is told once, and nothing else."""
    log = DirtyLog(
        data.draw(st.sampled_from([8, 16, 4096])), Refuse("d"), all_answer=data.draw(st.booleans())
    )
    log.begin()
    dirty = set()
    base = data.draw(st.sampled_from([0, 0xFFC0, (1 << 52) - 1024]))
    for _ in range(data.draw(st.integers(1, 6))):
        for page in data.draw(st.lists(st.integers(0, 1023), max_size=30)):
            log.mark(base + page)
            dirty.add(base + page)
        each = 1 << data.draw(st.integers(0, 5))
        start = data.draw(st.integers(0, 1023)) // each
        total = data.draw(st.integers(1, max(1024 // each - start, 1)))
        first = base // each + start
        copied, bitmap = asks(log, first, 4096 * each, total)
        rest = {page for page in dirty if first * each <= page < (first + total) * each}
        if copied == 0:
            assert not rest
            continue
        if copied == M64:
            assert len(rest) == total * each
        else:
            assert copied <= total
            assert len(bitmap) == (-(-copied // 64) + 1) * 8
            told = {first + k for k in range(len(bitmap) * 8) if bitmap[k // 8] >> k % 8 & 1}
            rest = {page for page in rest if page < (first + copied) * each}
            assert told == {page // each for page in rest}
        dirty -= rest
    assert log.pages() == len(dirty)


def test_huge_ranges_cost_nothing():
    log = DirtyLog(4096, Refuse("d"))
    log.begin()
    log.mark(5 << 30)
    assert asks(log, 0, 4096, 1 << 52)[0] == 32768
    copied, bitmap = asks(log, 0, 1 << 44, 1 << 20)
    assert (copied, bitmap[:1]) == (32768, b"\2")
    assert asks(log, 0, 1 << 44, 1 << 20) == (0, None)


def test_reading_again_goes_on():
    log = DirtyLog(8, Refuse("d"))
    log.begin()
    log.mark(3)
    log.mark(130)
    assert asks(log, 0, 4096, 192)[0] == 64
    assert log.snapshot() == (64, bytes(16))
    copied, bitmap = log.snapshot()
    assert (copied, bitmap[0]) == (64, 4)
    log.mark(0)
    assert log.snapshot()[1][0] == 1  # the whole range was given: from the start again


@pytest.mark.parametrize(
    ("start", "page_size", "total"),
    [(0, 4096, 0), (0, 0, 1), (0, 2048, 1), (0, 4097, 1), (0, 12288, 1), (1 << 52, 4096, 1), (0, 1 << 63, 3)],
)
def test_bad_requests_are_refused_by_the_snapshot(start, page_size, total):
    with open_emulated("emulated:v5?state=32K") as device:
        vmm = Vmm(device)
        vmm.put("device_state", SAVING)
        with pytest.raises(DeviceError, match="was not written"):
            vmm.get("copied_pfns")
        for name, value in (("start_pfn", start), ("page_size", page_size), ("total_pfns", total)):
            vmm.put(name, value)
        with pytest.raises(DeviceError, match=r"pread\(migration copied_pfns\).*EINVAL"):
            vmm.get("copied_pfns")


def test_all_and_none():
    with open_emulated("emulated:v5?state=32K&all=on&window=0:32K") as device:
        device.map_dma(0, memoryview(bytearray(32 << 10)))
        vmm = Vmm(device)
        device.pwrite(0, 0x38, (8).to_bytes(4, "little"))
        vmm.put("device_state", PRECOPY)
        assert vmm.dirty(0, 8) == set()  # what was dirtied before SAVING is not its business
        device.pwrite(0, 0x38, (8).to_bytes(4, "little"))
        for name, value in (("start_pfn", 0), ("page_size", 4096), ("total_pfns", 8)):
            vmm.put(name, value)
        assert vmm.get("copied_pfns") == M64
        assert vmm.get("copied_pfns") == 0
        device.pwrite(0, 0x38, (7).to_bytes(4, "little"))
        vmm.put("device_state", SAVING)
        assert vmm.dirty(0, 8) == set(range(7))
        vmm.put("device_state", RUNNING)


def test_window_follows_the_largest_mapping_until_the_guest_sets_it():
    with open_emulated("emulated:v5?state=32K&dma=4K/s") as device:

        def window():
            return struct.unpack(
                "<QQ", device.pread(0, 0x18, 4) + device.pread(0, 0x1C, 4) + device.pread(0, 0x20, 8)
            )

        device.map_dma(0x100000, memoryview(bytearray(4096)))
        assert window() == (0x100000, 1)
        device.map_dma(0, memoryview(bytearray(8192)))
        assert window() == (0, 2)
        device.pwrite(0, 0x20, bytes(8))
        device.map_dma(0x200000, memoryview(bytearray(16384)))
        assert window() == (0, 0)
