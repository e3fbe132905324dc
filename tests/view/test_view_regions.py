"""The picture of regions: parts, window, registers, growth, both themes, what a device may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vfiokit
from vfiokit.accesses import Map, Query, Read, ReadData, Unmap, Write
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
from vfiokit.errors import AccessError, AddressError
from vfiokit.recording import Recording
from vfiokit.uapi.info import Area, Info, Region
from vfiokit.uapi.pci_config import decode
from vfiokit.view.regions import parts, regions
from vfiokit.vmm.outgoing import Parameters

MIGRATION = Region(9, 15, 0x13000, sparse=(Area(0x1000, 0x10000), Area(0x11000, 0x2000)), type=(2, 1))


def record(recording, access, result=None, side="source", error=None):
    recording.access(side, access, result, error, recording.seq + 1, 1)


def read(recording, name, offset, value, width=8):
    record(recording, Read("dev0", 9, offset, width, name), value)


@pytest.fixture(scope="module")
def whole():
    clock = SimulatedClock()
    source = open_device("emulated:v5?state=256K&chunk=64K&irq=msix&name=a", clock=clock)
    there = open_device("emulated:v5?state=256K&irq=msix&fill=zero&name=b", clock=clock)
    limits = Parameters(downtime_limit_ns=20_000_000, bandwidth=50 << 20)
    dbg = vfiokit.debug(source, there, memory=1 << 20, parameters=limits)
    dbg.finish()
    yield dbg.recording
    dbg.close()


def test_parts_of_the_migration_region():
    found = [tuple(part) for part in parts(MIGRATION, migration=True)]
    assert found == [
        ("registers", "registers", 0, 64),
        ("", "trapped", 64, 0xFC0),
        ("area 0", "mappable", 0x1000, 0x10000),
        ("area 1", "mappable", 0x11000, 0x2000),
    ]


@given(
    st.integers(0, 1 << 63),
    st.lists(st.tuples(st.integers(0, 1 << 63), st.integers(0, 1 << 63)), max_size=5),
    st.binary(max_size=256),
    st.integers(0, 9),
)
def test_parts_cover_a_region_without_gaps(size, areas, image, index):
    region = Region(index, 15, size, sparse=tuple(Area(*area) for area in areas))
    found = parts(region, decode(image), migration=index == 9)
    assert sum(part.size for part in found) == size
    assert [part.offset for part in found] == [sum(p.size for p in found[:n]) for n in range(len(found))]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_whole_migration(whole, theme):
    picture = regions(whole, theme=theme)
    boxes = picture._boxes.data
    told = dict(zip(boxes["what"], boxes["offset"], strict=True))
    assert told["BAR2: MSI-X table"] == "0 B = 0 B (0x0)"
    assert told["BAR2: MSI-X PBA"] == "4.00 KiB = 4,096 B (0x1000)"
    assert told["CONFIG: MSIX"] == "112 B = 112 B (0x70)"
    sizes = dict(zip(boxes["what"], boxes["size"], strict=True))
    assert sizes["region 9: area 0"] == "64.00 KiB = 65,536 B (0x10000)"
    assert sizes["BAR2: MSI-X table"] == "128 B = 128 B (0x80)"
    assert "sparse mmap of [0x1000, +0x10000), [0x11000, +0x2000)" in picture.note.text
    assert "not there: BAR1, BAR3" in picture.note.text
    assert picture.html("regions").startswith("<!DOCTYPE html>")


def test_the_other_side_has_its_own_device(whole):
    picture = regions(whole, side="destination")
    assert picture.plot.title.text == "Regions of b, destination"
    assert regions(whole, device="a").plot.title.text == "Regions of a, source"
    with pytest.raises(AddressError, match="no device 'b' on the source"):
        regions(whole, device="b")


def test_the_window_moves_with_the_flow():
    recording = Recording()
    picture = regions(recording)
    assert "No region was asked for yet" in picture.note.text
    assert not picture.update()
    record(recording, Query("dev0", 9), MIGRATION)
    assert picture.update()
    assert picture._lit.data["what"] == []
    read(recording, "data_offset", 16, 0x1000)
    assert picture.update()
    assert picture._lit.data["what"] == ["data_offset"]  # the last access; no size yet, no window
    read(recording, "data_size", 24, 0x8000)
    picture.update()
    lit = picture._lit.data
    assert lit["what"] == ["data_offset, data_size", "data_size"]
    boxes = picture._boxes.data
    area = boxes["what"].index("region 9: area 0")
    left, right = boxes["left"][area], boxes["right"][area]
    assert (lit["left"][0], lit["right"][0]) == (left, pytest.approx((left + right) / 2))
    assert boxes["chunk"][area] == "[0x1000, +0x8000), 32,768 bytes"
    assert sum("bytes" in text for text in boxes["chunk"]) == 1
    # Over two areas it is lit in both; a failed read tells nothing.
    read(recording, "data_size", 24, 0x10001)
    failed = Read("dev0", 9, 24, 8, "data_size")
    record(recording, failed, error=AccessError(failed, errno=22))
    picture.update()
    assert picture._lit.data["what"] == ["data_offset, data_size"] * 2
    assert not picture.update()


def test_a_resuming_device_is_told_the_size():
    recording = Recording()
    record(recording, Query("dev0", 9), MIGRATION)
    read(recording, "data_offset", 16, 0x11000)
    record(recording, Write("dev0", 9, 24, 8, "data_size", 0x100))
    record(recording, Map("dev0", 9, 1, 0x11000, 0x2000))
    picture = regions(recording)
    assert picture._lit.data["size"][0] == "256 B = 256 B (0x100)"
    assert "mappable, area 1, mapped now" in picture._boxes.data["more"]
    record(recording, Unmap("dev0", 9, 1, 0x11000, 0x2000))
    picture.update()
    assert "mappable, area 1" in picture._boxes.data["more"]


def test_a_device_that_is_not_pci_has_no_config_space():
    recording = Recording()
    record(recording, Query("dev0"), Info(0, 9, 0))
    record(recording, Query("dev0", 7), Region(7, 3, 4096))
    record(recording, ReadData("dev0", 7, 0, 256, None), bytes(256))
    picture = regions(recording)
    assert picture._boxes.data["size"] == ["4.00 KiB = 4,096 B (0x1000)"]  # one part, no header


def test_sizes_a_million_times_apart_are_all_seen():
    recording = Recording()
    record(recording, Query("<script>", 0), Region(0, 15, 1 << 40, sparse=(Area(4096, 64),)))
    record(recording, Query("<script>", 1), Region(1, 3, 256))
    picture = regions(recording)
    boxes = picture._boxes.data
    widths = [b - a for a, b in zip(boxes["left"], boxes["right"], strict=True)]
    assert min(widths) > 0.1
    assert max(boxes["right"]) == pytest.approx(1)
    assert "<script>alert" not in picture.html("<script>alert(1)</script>")
