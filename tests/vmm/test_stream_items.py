"""A stream read item by item: what `save_file` writes, what a cut or a hostile one comes to."""

import functools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vfiokit
from vfiokit.errors import StreamCutError, StreamError
from vfiokit.vmm.stream_items import read_items

DEVICE = "emulated:v5?state=32K&chunk=16K&dirty=20M/s"
SPEC_4_2 = bytes.fromhex(
    "5145564d 00000003"
    "01 00000007 11 303030303a30303a30342e302f7666696f 00000000 00000001"
    "ffffffffef100003 ffffffffef100001 7e 00000007"
    "02 00000007 ffffffffef100004 0000000000000004 aabbccdd ffffffffef100001 7e 00000007"
    "03 00000007 ffffffffef100002 fe000000 00000000 00000000 00000000 00000000 00000000 00000001 0006"
    "ffffffffef100001 ffffffffef100001 7e 00000007"
    "00"
)


@functools.cache
def saved(irq="none", memory=32 << 10):
    with tempfile.TemporaryDirectory() as folder, vfiokit.open(f"{DEVICE}&irq={irq}") as device:
        path = Path(folder, "stream")
        vfiokit.save_file(device, path, memory=memory)
        return path.read_bytes()


def told(data, what):
    return [item.meaning for item in read_items(data) if item.what == what]


def test_the_example_of_spec_4_2():
    items = list(read_items(SPEC_4_2))
    assert b"".join(item.data for item in items) == SPEC_4_2
    assert told(SPEC_4_2, "idstr") == ["0000:00:04.0/vfio"]
    assert told(SPEC_4_2, "marker") == [
        "VFIO_MIG_FLAG_DEV_SETUP_STATE",
        "VFIO_MIG_FLAG_END_OF_STATE",
        "VFIO_MIG_FLAG_DEV_DATA_STATE",
        "VFIO_MIG_FLAG_END_OF_STATE",
        "VFIO_MIG_FLAG_DEV_CONFIG_STATE",
        "VFIO_MIG_FLAG_END_OF_STATE",
        "VFIO_MIG_FLAG_END_OF_STATE",
    ]
    (data,) = (item for item in items if item.what == "device data")
    assert (bytes(data.data), data.section) == (b"\xaa\xbb\xcc\xdd", "7 PART 0000:00:04.0/vfio")
    assert told(SPEC_4_2, "interrupt mode") == ["INTx"]
    assert told(SPEC_4_2, "command") == ["0x0006: memory, bus master"]
    assert str(items[0]) == "0x00000000  51 45 56 4d                          stream magic: QEVM"


@pytest.mark.parametrize(("irq", "size"), [("none", 30), ("msi", 42), ("msix", 32 + 16 * 8 + 1)])
def test_the_config_state_of_each_interrupt_mode(irq, size):
    """v5 spec 5.1 has the sizes; the stream does not tell how many vectors there are."""
    items = list(read_items(saved(irq)))
    begin = next(n for n, item in enumerate(items) if item.meaning == "VFIO_MIG_FLAG_DEV_CONFIG_STATE")
    end = next(n for n in range(begin, len(items)) if items[n].meaning == "VFIO_MIG_FLAG_END_OF_STATE")
    assert sum(item.size for item in items[begin + 1 : end]) == size
    if irq == "msix":
        assert told(saved(irq), "MSI-X table") == ["8 vectors"]


@pytest.mark.parametrize("memory", [0, 32 << 10])
def test_items_are_the_stream_without_gaps(memory):
    data = saved(memory=memory)
    position = 0
    for item in read_items(data):
        assert item.offset == position
        assert bytes(item.data) == data[position : position + item.size]
        position += item.size
    assert position == len(data)
    pages = [item for item in read_items(data) if item.what in ("ram page", "ram fill byte")]
    assert len(pages) >= memory // 4096


def test_what_is_behind_the_end_is_shown():
    *_, last = read_items(SPEC_4_2 + b"more")
    assert (last.what, bytes(last.data)) == ("rest", b"more")


@given(st.integers(0, len(SPEC_4_2) - 1))
def test_a_cut_stream_gives_what_is_whole_then_says_where_it_ends(size):
    items, reading = [], read_items(SPEC_4_2[:size])
    with pytest.raises(StreamCutError) as caught:
        while True:
            items.append(next(reading))
    whole = sum(item.size for item in items)
    assert caught.value.position == whole
    assert b"".join(item.data for item in items) == SPEC_4_2[:whole]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (0, "no QEMU migration stream"),
        (7, "version"),
        (8, "section type"),
        (30, "a section of"),
        (39, "unknown marker"),
        (47, "after the setup state"),
        (55, "footer"),
        (56, "the footer says section"),
        (60, "section type"),
        (62, "was never started"),
    ],
)
def test_a_wrong_byte_is_told_with_its_place(place, said):
    data = bytearray(SPEC_4_2)
    data[place] ^= 0x55
    with pytest.raises(StreamError, match=said):
        list(read_items(data))


@given(st.binary(max_size=400), st.integers(0, len(SPEC_4_2)))
def test_whatever_comes_it_ends_in_items_or_a_typed_error(noise, kept):
    """Behind a whole beginning, so that noise gets past the header."""
    data = SPEC_4_2[:kept] + noise
    position = 0
    try:
        for item in read_items(data):
            assert item.offset == position
            assert str(item)
            position += item.size
    except StreamError as error:
        assert 0 <= error.position <= len(data)
    else:
        assert position == len(data)


@given(st.data())
def test_one_wrong_byte_in_a_real_stream(data):
    stream = bytearray(saved("msix"))
    place = data.draw(st.integers(0, len(stream) - 1))
    stream[place] ^= data.draw(st.integers(1, 255))
    try:
        items = list(read_items(stream))
    except StreamError:
        return
    assert b"".join(item.data for item in items) == stream
