"""The suite that every device of our model passes, however it is reached."""

import errno
import struct

import pytest
from reach import KINDS, STATE, WAY, allocate, dma_window, expected_writes, registers_of

from vfiokit.emulated import model
from vfiokit.emulated.program import read_register, write_register
from vfiokit.errors import DeviceError
from vfiokit.uapi import migration_v5 as v5
from vfiokit.uapi.pci_config import decode

PAGE = 4096
R = v5.REGISTERS


def read(device, name):
    return int.from_bytes(device.pread(9, R[name].offset, R[name].width), "little")


def write(device, name, value):
    device.pwrite(9, R[name].offset, value.to_bytes(R[name].width, "little"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_migration_region(world, kind):
    device = world.open(kind)
    region = device.region(9)
    assert region.type == (2, 1)
    assert region.readable
    assert region.writable
    assert bool(region.areas) == (kind != "trapped")
    for area in region.areas:
        assert area.offset >= v5.HEADER_SIZE
        assert area.offset % PAGE == area.size % PAGE == 0
        assert area.end <= region.size
    with pytest.raises(DeviceError):
        device.mmap(9, 0, PAGE)  # the header is always trapped


def test_a_device_without_the_region(world):
    device = world.open("none")
    regions = []
    for index in range(device.info().num_regions):
        try:
            regions.append(device.region(index))
        except DeviceError as error:
            assert error.errno == errno.EINVAL
    assert not [region for region in regions if region.type]


def test_config_space(world):
    device = world.open()
    space = decode(device.pread(7, 0, 256))
    assert (space.value("PCI_VENDOR_ID"), space.value("PCI_DEVICE_ID")) == (0xFFF1, 0x5642)
    for name in ("MSI", "MSIX", "EXP", "VNDR"):
        assert space.capability(name), name
    assert not space.problems


def test_bars_are_sized_as_hardware_does(world):
    device = world.open()
    before = device.pread(7, 0x10, 4)
    device.pwrite(7, 0x10, b"\xff" * 4)
    assert struct.unpack("<I", device.pread(7, 0x10, 4))[0] & ~0xF == 0xFFFF_FFFF & ~(model.BAR0_SIZE - 1)
    device.pwrite(7, 0x10, before)


def test_registers_and_what_they_refuse(world):
    device = world.open()
    assert read_register(device, "ID") == model.ID_VALUE
    assert read_register(device, "STATE_SIZE") == STATE
    write_register(device, "SCRATCH", 0x1234)
    assert read_register(device, "SCRATCH") == 0x1234
    for offset, size in ((0, 1), (2, 4), (0x14, 8), (0x68, 4)):
        with pytest.raises(DeviceError):
            assert len(device.pread(0, offset, size)) == size
    with pytest.raises(DeviceError):
        write_register(device, "ID", 0)


def test_scratch_memory_is_the_same_mapped_and_trapped(world):
    device = world.open()
    if WAY == "vfio-user":  # the emulated device has no descriptor that could be passed
        with pytest.raises(DeviceError, match="use pread and pwrite"):
            device.mmap(2, model.SCRATCH_OFFSET, model.SCRATCH_SIZE)
        return
    view = device.mmap(2, model.SCRATCH_OFFSET, model.SCRATCH_SIZE)
    view[:4] = b"abcd"
    assert device.pread(2, model.SCRATCH_OFFSET, 4) == b"abcd"
    view.release()
    device.munmap(2, model.SCRATCH_OFFSET)


@pytest.mark.parametrize("value", [5, 6, 7])
def test_states_that_are_refused(world, value):
    device = world.open()
    before = read(device, "device_state")
    assert before == 1  # a device runs by default
    with pytest.raises(DeviceError) as caught:
        write(device, "device_state", value)
    assert caught.value.errno == errno.EINVAL
    assert read(device, "device_state") == before


def test_high_bits_of_the_state_are_kept(world):
    device = world.open()
    write(device, "device_state", 0x8000_0001)
    assert read(device, "device_state") == 0x8000_0001


def test_widths_alignment_and_access_modes_of_the_header(world):
    device = world.open()
    write(device, "device_state", 3)
    for offset, size in ((8, 4), (8, 1), (4, 8), (0, 8), (12, 8), (0x38, 4)):
        with pytest.raises(DeviceError):
            assert len(device.pread(9, offset, size)) == size
    for name in ("start_pfn", "page_size", "total_pfns"):
        with pytest.raises(DeviceError):
            read(device, name)
    for name in ("pending_bytes", "data_offset", "copied_pfns", "data_size"):
        with pytest.raises(DeviceError):
            write(device, name, 1)


def test_dirty_requests_only_while_saving(world):
    device = world.open()
    with pytest.raises(DeviceError):
        read(device, "copied_pfns")


@pytest.mark.parametrize("pattern", ["ring", "random", "hot", "strided"])
def test_dma_writes_what_the_model_says_and_the_list_has_just_that(world, pattern):
    device, pages, count = world.open(), 512, 300
    with allocate(pages * PAGE) as memory, dma_window(device, memory, 0x100000):
        write_register(device, "PATTERN", model.PATTERNS[pattern])
        write_register(device, "PARAM", 7)
        write(device, "device_state", 3)
        write_register(device, "DOORBELL", count)
        expected = expected_writes(count, pattern=pattern, pages=pages, param=7)
        for page in range(pages):
            found = struct.unpack_from("<QQ", memory.view, page * PAGE)
            assert found == expected.get(page, (0, 0))
        assert dirty(device, 0x100, pages) == {0x100 + page for page in expected}
        assert dirty(device, 0x100, pages) == set()  # clean once provided
        write_register(device, "DOORBELL", 1)
        assert len(dirty(device, 0x100, pages)) == 1
        write(device, "device_state", 1)


def dirty(device, start, pages, page_size=PAGE):
    """Ask for the dirty pages as v5 spec 2.4 says; a set of pfns."""
    found, done = set(), 0
    while done < pages:
        write(device, "start_pfn", start + done)
        write(device, "page_size", page_size)
        write(device, "total_pfns", pages - done)
        copied = read(device, "copied_pfns")
        if copied == 0:
            break
        assert copied <= pages - done
        # One word more than needed must be readable, too (v5 spec 7.2).
        size = (-(-copied // 64) + 1) * 8
        bitmap = device.pread(9, read(device, "data_offset"), size)
        assert len(bitmap) == size
        bits = int.from_bytes(bitmap, "little")
        assert bits >> copied == 0
        found |= {start + done + bit for bit in range(copied) if bits >> bit & 1}
        done += copied
    return found


def test_the_list_in_larger_pages(world):
    device = world.open()
    with allocate(64 * PAGE) as memory, dma_window(device, memory):
        write(device, "device_state", 3)
        write_register(device, "DOORBELL", 20)  # pages 0 to 19
        assert dirty(device, 0, 8, 8 * PAGE) == {0, 1, 2}


def test_many_windows_of_the_list(world):
    """More pages than one bitmap window holds; the only dirty one is the last."""
    device, pages = world.open(), 1 << 17
    with allocate(PAGE) as memory, dma_window(device, memory, (pages - 1) * PAGE):
        write(device, "device_state", 3)
        write_register(device, "DOORBELL", 1)
        assert dirty(device, 0, pages) == {pages - 1}


def test_dma_to_where_nothing_is_mapped_is_refused_and_told(world):
    device = world.open()
    write_register(device, "WINDOW_IOVA", 0x10000)
    write_register(device, "WINDOW_PAGES", 1)
    try:
        write_register(device, "DOORBELL", 1)
    except DeviceError:
        pass
    assert read_register(device, "DMA_ERROR") != 0
    assert read_register(device, "STATUS") & model.STATUS_DMA_REFUSED
    assert read_register(device, "COUNTER") == 0


def test_nothing_changes_once_the_device_is_stopped(world):
    device = world.open(options="dirty=40M/s&dma=8M/s")
    with allocate(64 * PAGE) as memory:
        device.map_dma(0, memory.view)
        world.let_work(device)
        assert read_register(device, "COUNTER") > 0
        write(device, "device_state", 0)
        before, seen = registers_of(device), bytes(memory.view)
        if hasattr(world.clock, "advance"):
            world.clock.advance(10**9)
        assert registers_of(device) == before
        assert bytes(memory.view) == seen
        with pytest.raises(DeviceError) as caught:
            write_register(device, "DOORBELL", 1)
        assert caught.value.errno == errno.EBUSY
        device.unmap_dma(0, memory.size)


def test_pending_bytes_has_no_side_effects_and_the_place_is_stable(world):
    device = world.open()
    write(device, "device_state", 2)
    assert read(device, "pending_bytes") == read(device, "pending_bytes") > STATE
    first = read(device, "data_offset")
    assert read(device, "data_offset") == first
    size = read(device, "data_size")
    assert device.pread(9, first, size) == device.pread(9, first, size)


def test_pending_bytes_is_what_is_delivered(world):
    device = world.open()
    write(device, "device_state", 2)
    promised, given = read(device, "pending_bytes"), 0
    while read(device, "pending_bytes"):
        assert read(device, "data_offset") >= v5.HEADER_SIZE
        given += read(device, "data_size")
    assert given == promised


def test_reset_leads_back_to_running(world):
    device = world.open()
    write(device, "device_state", 4)
    write_register(device, "SCRATCH", 5)
    device.reset()
    assert read(device, "device_state") == 1
    assert read_register(device, "SCRATCH") == 0


def test_running_without_the_registers_having_come_is_refused(world):
    device = world.open()
    write(device, "device_state", 4)
    with pytest.raises(DeviceError):
        write(device, "device_state", 1)
    device.reset()
