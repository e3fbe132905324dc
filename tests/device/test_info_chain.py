from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from vfiokit.device.info_chain import parse_region
from vfiokit.device.iommu_info import parse_iommu_info
from vfiokit.errors import RuleError
from vfiokit.uapi import vfio


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer whose capabilities are mostly linked, and mostly mean something."""
    size = draw(st.integers(0, 40)) * 4
    data = bytearray(
        struct.pack("=IIIIQQ", 32 + size, draw(st.integers(0, 15)), 9, 0, 0x5000, 9 << 40) + bytes(size)
    )
    places = st.one_of(
        st.integers(0, len(data) + 8), st.integers(8, len(data) // 4).map(lambda word: word * 4)
    )
    struct.pack_into("=I", data, 12, draw(places))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(places)
        chunk = struct.pack(
            "=HHIIIQQ", draw(st.integers(0, 5)), 1, draw(places), draw(st.integers(0, 4)), 0, 0, 4096
        )
        data[at : at + len(chunk)] = chunk[: max(0, len(data) - at)]
    return bytes(data)


@given(st.one_of(answers(), st.binary(max_size=200)))
def test_a_region_or_a_broken_rule_and_nothing_else(data):
    try:
        region = parse_region(data, "the region")
    except RuleError:
        return
    assert len(region.sparse or ()) * 16 <= len(data)
    assert len(region.other_capabilities) * 8 <= len(data)
    if not region.flags & vfio.VFIO_REGION_INFO_FLAG_CAPS:
        assert (region.sparse, region.type, region.msix_mappable) == (None, None, False)


@given(st.one_of(answers(), st.binary(max_size=200)))
def test_iommu_info_or_a_broken_rule(data):
    try:
        info = parse_iommu_info(data)
    except RuleError:
        return
    assert info.page_size > 0
    assert len(info.iova_ranges or ()) * 16 <= len(data)
