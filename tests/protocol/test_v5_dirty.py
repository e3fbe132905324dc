"""The dirty page list: orders, bitmaps, and what a hostile device may answer (v5 spec 2.4, 7)."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, device_with, migration_region

from vfiokit.accesses import MarkDirty, ReadData
from vfiokit.errors import AccessError, RuleError
from vfiokit.protocol.v5 import AS_POSTED, INTERFACE
from vfiokit.protocol.v5.dirty import bitmap_bytes, get_dirty_page_list
from vfiokit.runner import run

NONE, ALL = 0, (1 << 64) - 1


def ask(registers, *, profile=INTERFACE, start=0x100, count=0x300, **script):
    device = device_with(migration_region(), profile=profile)
    world = Scripted(registers, **script)
    run(get_dirty_page_list(device, start, count, 4096), world)
    return world


def marks(world):
    return [(x.pfn, x.pages, x.bitmap) for x in world.log if isinstance(x, MarkDirty)]


def test_rounds_rewrite_the_request():
    world = ask({"copied_pfns": [0x200, 0x100], "data_offset": 0x1000}, data={0x1000: b"\1" * 64})
    assert [x for x in world.fields() if x.startswith("W64")] == [
        *("W64 start_pfn=0x100", "W64 page_size=0x1000", "W64 total_pfns=0x300"),
        *("W64 start_pfn=0x300", "W64 page_size=0x1000", "W64 total_pfns=0x100"),
    ]
    assert marks(world) == [(0x100, 0x200, b"\1" * 64), (0x300, 0x100, b"\1" * 32)]
    assert world.events() == ["vfio_get_dirty_page_list"]


def test_none_ends_and_marks_nothing():
    world = ask({"copied_pfns": NONE})
    assert marks(world) == []
    assert "R64 data_offset" not in world.fields()


def test_all_in_a_later_round_is_the_rest_or_as_posted_the_whole():
    registers = {"copied_pfns": [0x100, ALL], "data_offset": 0x1000}
    assert marks(ask(dict(registers, copied_pfns=[0x100, ALL])))[1] == (0x200, 0x200, None)
    assert marks(ask(dict(registers, copied_pfns=[0x100, ALL]), profile=AS_POSTED))[1] == (0x100, 0x300, None)


@given(st.integers(1, 1 << 20))
def test_bitmap_size(pages):
    assert bitmap_bytes(pages) == -(-pages // 64) * 8
    assert bitmap_bytes(pages, one_word_more=True) == (-(-pages // 64) + 1) * 8


def test_quirk_one_word_more():
    for profile, size in ((INTERFACE, 0x60), (AS_POSTED, 0x68)):
        world = ask({"copied_pfns": 0x300, "data_offset": 0x1000}, profile=profile)
        assert [x.size for x in world.log if isinstance(x, ReadData)] == [size]


@pytest.mark.parametrize("copied", [0x301, 1 << 63, ALL - 1])
def test_more_than_asked(copied):
    with pytest.raises(RuleError, match="copied_pfns"):
        ask({"copied_pfns": copied, "data_offset": 0x1000})


@pytest.mark.parametrize("offset", [0, 0x3F, 0x10000, 0xFFFF, ALL])
def test_hostile_place_of_the_bitmap(offset):
    with pytest.raises(RuleError, match="dirty bitmap"):
        ask({"copied_pfns": 0x300, "data_offset": offset})


@pytest.mark.parametrize(
    "field", ["start_pfn", "page_size", "total_pfns", "copied_pfns", "data_offset", "ReadData"]
)
def test_errors_are_not_swallowed(field):
    with pytest.raises(AccessError):
        ask({"copied_pfns": 0x300, "data_offset": 0x1000}, errors={field: errno.EIO})


@given(st.lists(st.integers(0, ALL), min_size=1), st.integers(0, ALL))
def test_any_answers_end(copied, offset):
    try:
        ask({"copied_pfns": copied, "data_offset": offset})
    except RuleError as error:
        assert error.rule
