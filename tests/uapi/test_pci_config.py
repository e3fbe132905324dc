from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from vfiokit.uapi.pci_config import decode, find_capability, find_extended_capability


def image(size: int = 256, **fields: int) -> bytearray:
    data = bytearray(size)
    struct.pack_into("<HHHH", data, 0, 0x1234, 0x11E8, 0x0406, 0x0010)
    data[0x09:0x0C] = (0x010802).to_bytes(3, "little")
    return data


def put(data: bytearray, offset: int, layout: str, *values: int) -> None:
    struct.pack_into("<" + layout, data, offset, *values)


def test_header_is_decoded_by_name():
    data = image()
    data[0x3D] = 1
    space = decode(data)
    assert space.value("PCI_VENDOR_ID") == 0x1234
    text = {row.name: row.text for row in space.rows()}
    assert text["COMMAND"] == "MEMORY MASTER INTX_DISABLE"
    assert text["STATUS"] == "CAP_LIST DEVSEL=fast"
    assert text["class_code"] == "non-volatile memory controller (NVMe)"
    assert text["HEADER_TYPE"] == "normal"
    assert text["INTERRUPT_PIN"] == "INTA"
    assert not space.problems


def test_bars_of_every_kind():
    data = image()
    put(data, 0x10, "6I", 0xFEB0000C, 0x1, 0xC001, 0xFEA00000, 0x0, 0xFEC00008)
    bars = decode(data).bars
    assert [bar.index for bar in bars] == [0, 2, 3, 4, 5]
    assert (bars[0].kind, bars[0].address, bars[0].prefetchable) == ("memory 64-bit", 0x1_FEB0_0000, True)
    assert (bars[1].kind, bars[1].address) == ("I/O", 0xC000)
    assert (bars[2].kind, bars[2].prefetchable) == ("memory 32-bit", False)
    assert str(bars[3]) == "not set or not there"
    assert str(bars[4]) == "memory 32-bit prefetchable at 0xfec00000"


def test_a_64_bit_bar_in_the_last_register_is_a_problem():
    data = image()
    put(data, 0x24, "I", 0x4)
    assert "BAR5 is 64-bit" in decode(data).problems[0].text


def test_capabilities_are_decoded():
    data = image()
    data[0x34] = 0x40
    put(data, 0x40, "BBHI", 0x05, 0x60, 0x0185, 0xFEE01000)  # MSI: enabled, 4 vectors, 64 bit, masks
    put(data, 0x48, "IHHII", 0x1, 0x4041, 0, 0xA, 0xB)
    put(data, 0x60, "BBHII", 0x11, 0x70, 0xC003, 0x2004, 0x3004)  # MSI-X
    put(data, 0x70, "BBHH", 0x01, 0x80, 0xC803, 0x0003)  # PM in D3hot
    put(data, 0x80, "BBBBI", 0x09, 0x90, 0x08, 0x7, 0xAABBCCDD)  # vendor-specific
    put(data, 0x90, "BBH", 0x7F, 0, 0)  # no such id
    space = decode(data)
    assert [c.name for c in space.capabilities] == ["MSI", "MSIX", "PM", "VNDR", "0x7f"]
    msi = space.capability("MSI")
    assert msi.field("PCI_MSI_FLAGS", "ENABLE") == 1
    assert msi.value("PCI_MSI_ADDRESS_HI") == 1
    assert msi.value("PCI_MSI_DATA_64") == 0x4041
    assert (msi.value("PCI_MSI_MASK_64"), msi.value("PCI_MSI_PENDING_64")) == (0xA, 0xB)
    text = {row.name: row.text for row in space.rows()}
    assert text["MSI.MSI_FLAGS"] == "ENABLE QMASK=4 vectors QSIZE=1 vectors 64BIT MASKBIT"
    assert text["MSIX.MSIX_FLAGS"] == "QSIZE=4 vectors MASKALL ENABLE"
    assert text["MSIX.MSIX_TABLE"] == "BIR=BAR4 OFFSET=0x2000"
    assert "STATE=D3hot" in text["PM.PM_CTRL"]
    assert space.capability("VNDR").data == bytes.fromhex("07ddccbbaa")
    assert find_capability(data, 0x11) == 0x60
    assert find_capability(data, 0x10) is None
    assert not space.problems
    assert "capability 0x7f" in str(space)


def test_narrow_msi_has_its_data_where_the_upper_address_would_be():
    data = image()
    data[0x34] = 0x40
    put(data, 0x40, "BBHIH", 0x05, 0, 0x0001, 0xFEE01000, 0x99)
    msi = decode(data).capability("MSI")
    assert msi.value("PCI_MSI_DATA_32") == 0x99
    assert {v.register.name for v in msi.values}.isdisjoint({"PCI_MSI_ADDRESS_HI", "PCI_MSI_MASK_32"})


def test_extended_chain():
    data = image(4096)
    data[0x34] = 0x80
    put(data, 0x80, "BBH", 0x10, 0, 0x0002)
    put(data, 0x100, "IIII", 0x03 | 1 << 16 | 0x140 << 20, 0x11223344, 0x55667788, 0)
    put(data, 0x140, "IIII", 0x0B | 1 << 16 | 0x180 << 20, 0x010 << 20 | 0x42, 1, 2)
    put(data, 0x180, "III", 0x01 | 2 << 16, 0, 0x40000)
    space = decode(data)
    assert [c.name for c in space.capabilities if c.extended] == ["DSN", "VNDR", "ERR"]
    assert space.capability("DSN", extended=True).value("serial_high") == 0x55667788
    assert space.capability("VNDR", extended=True).data == struct.pack("<II", 1, 2)
    aer = space.capability("ERR", extended=True)
    assert aer.version == 2
    assert aer.field("PCI_ERR_UNCOR_MASK", "MALF_TLP") == 1
    assert "PCI_ERR_ROOT_STATUS" not in {v.register.name for v in aer.values}  # not a root port
    assert find_extended_capability(data, 0x01) == 0x180
    assert not space.problems


def test_loops_and_wild_pointers_end_the_walk_and_are_told():
    loop = image()
    loop[0x34] = 0x40
    put(loop, 0x40, "BB", 0x01, 0x50)
    put(loop, 0x50, "BB", 0x09, 0x42)  # reserved low bits: it is 0x40 again
    space = decode(loop)
    assert [c.offset for c in space.capabilities] == [0x40, 0x50]
    assert "loops to 0x40" in str(space.problems[-1])

    inside = image()
    inside[0x34] = 0x20
    assert "inside the header" in decode(inside).problems[0].text

    extended = image(4096)
    put(extended, 0x100, "I", 0x03 | 1 << 16 | 0x100 << 20)
    assert "loops to 0x100" in decode(extended).problems[-1].text
    put(extended, 0x100, "I", 0x03 | 1 << 16 | 0x40 << 20)
    assert "below 0x100" in decode(extended).problems[-1].text


def test_a_chain_is_followed_only_when_the_status_says_so():
    data = image()
    data[0x34] = 0x40
    put(data, 0x40, "BB", 0x01, 0)
    data[0x06] = 0
    assert decode(data).capabilities == ()
    assert find_capability(data, 1) is None


def test_nobody_answers():
    space = decode(b"\xff" * 256)
    assert "no device answers" in space.problems[0].text
    assert space.capabilities == ()


def test_capability_at_the_end_is_cut():
    data = image()
    data[0x34] = 0xFC
    put(data, 0xFC, "BBH", 0x11, 0, 0x8000)
    space = decode(data)
    assert space.capability("MSIX").field("PCI_MSIX_FLAGS", "ENABLE") == 1
    assert "cut short" in space.problems[0].text


def check(data: bytes) -> None:
    space = decode(data)
    rows = space.rows()
    assert rows == sorted(rows, key=lambda row: row.offset)
    for row in rows:
        assert row.offset + row.width <= len(data)
        assert row.value == int.from_bytes(data[row.offset : row.offset + row.width], "little")
    for capability in space.capabilities:
        assert (capability.offset >= 0x100) == capability.extended
    standard = [c.offset for c in space.capabilities if not c.extended]
    assert len(standard) == len(set(standard)) <= 48  # as many as fit
    assert str(space)
    for number in range(256):
        offset = find_capability(data, number)
        assert offset == next(
            (c.offset for c in space.capabilities if c.id == number and not c.extended), None
        )


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_are_safe(data):
    check(data)


@st.composite
def tangled(draw: st.DrawFn) -> bytes:
    """An image whose pointers mostly point at something."""
    data = image(draw(st.sampled_from([64, 100, 256, 257, 300, 4096])))
    data[0x0E] = draw(st.integers(0, 3))
    for place in (0x14, 0x34):
        data[place] = draw(st.integers(0, 255))
    for _ in range(draw(st.integers(0, 12))):
        offset = draw(st.integers(0x30, len(data) - 1))
        chunk = draw(st.binary(min_size=1, max_size=8))
        data[offset : offset + len(chunk)] = chunk[: len(data) - offset]
    if len(data) == 4096:
        offsets = draw(
            st.lists(st.integers(0x40, 0x3FF).map(lambda dword: dword * 4), min_size=1, max_size=8)
        )
        for here, there in zip([0x100, *offsets], [*offsets, draw(st.sampled_from([0, 0x100]))], strict=True):
            put(data, here, "I", draw(st.integers(0, 0x30)) | 1 << 16 | there << 20)
    return bytes(data)


@given(tangled())
def test_tangled_chains_are_safe(data):
    check(data)
