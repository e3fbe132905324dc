"""Levels of dirty memory for a canvas: exact counts, levels, moments, zoom; any way through a recording."""

import threading

import numpy as np
import pytest
from dirty_recordings import ask, lay, one_block, record, sync, two_blocks
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.accesses import ReadPages
from vfiokit.errors import AddressError
from vfiokit.recording import Recording
from vfiokit.view.dirty_levels import DirtyLevels


def test_counts_are_those_of_numpy():
    pages, generator = 1 << 20, np.random.default_rng(5)
    recording = Recording()
    lay(recording, "pc.ram", 0, pages)
    lay(recording, "high", 3 * pages, pages)
    expected = np.zeros(4 * pages, np.int64)
    levels = DirtyLevels(recording)
    assert not levels.update()
    for share in (0.5, 0.01, 0.0001):
        for block, first in (("pc.ram", 0), ("high", 3 * pages)):
            found = generator.random(pages) < share
            sync(recording, block, pages, np.flatnonzero(found))
            expected[first : first + pages] += found
        assert levels.update()
        assert "found dirty in 1 sync;" in levels.note or share < 0.5
        assert not levels.update()
        assert (levels.first, levels.each, levels.end) == (0, 4, 4 * pages)
        assert levels.levels.shape == levels.counts.shape == (1024, 1024)
        assert (levels.counts.ravel() == expected.reshape(-1, 4).sum(axis=1)).all()
    assert levels.counts.sum() == expected.sum()
    assert f"{expected.sum():,} pages found dirty in 3 syncs" in levels.note
    # Memory is clean or dirty, the hole is neither.
    hole = slice(256, 768)
    assert (levels.levels[hole] == 0).all()
    assert (levels.levels[:256] > 0).all()
    assert ((levels.levels > 1) == (levels.counts > 0)).all()


@pytest.mark.parametrize(("columns", "rows"), [(1024, 1024), (100, 7), (1, 1), (64, 1)])
def test_any_grid_has_all_pages(columns, rows):
    recording = two_blocks()
    levels = DirtyLevels(recording, columns=columns, rows=rows)
    assert levels.levels.dtype == np.uint8
    assert levels.levels.shape[0] <= rows
    assert levels.levels.shape[1] <= columns
    assert levels.levels.size * levels.each >= 1024
    assert levels.counts.sum() == 9


def test_levels_rise_with_the_logarithm():
    recording = one_block(16)
    for number in range(16):  # page k is dirty in k syncs
        sync(recording, "pc.ram", 16, range(number + 1, 16))
    levels = DirtyLevels(recording)
    flat = levels.levels.ravel().tolist()
    assert (flat[0], flat[1], flat[15]) == (1, 2, 255)
    assert flat[1:16] == sorted(set(flat[1:16]))
    assert levels.high == 15
    assert abs(flat[4] - 2 - 253 * np.log(4) / np.log(15)) <= 1
    assert levels.legend[1:3] == ["clean", "1 to 15 pages of a cell found dirty"]
    assert len(levels.legend) == 256


def test_one_dirty_page_is_seen():
    recording = one_block(16)
    sync(recording, "pc.ram", 16, [3])
    levels = DirtyLevels(recording)
    assert levels.levels.ravel()[:5].tolist() == [1, 1, 1, 2, 1]


def test_counts_beyond_a_table_have_levels_of_their_own():
    recording = one_block(1 << 18)
    sync(recording, "pc.ram", 1 << 18, range(1 << 17))
    levels = DirtyLevels(recording, columns=2, rows=1)
    assert levels.high == 1 << 17
    assert levels.levels.tolist() == [[255, 1]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_palette(theme):
    colours = DirtyLevels.palette(theme)
    assert len(colours) == 256
    assert len(set(colours)) > 120
    assert all(len(colour) == 7 and int(colour[1:], 16) >= 0 for colour in colours)
    with pytest.raises(AddressError, match="no theme"):
        DirtyLevels.palette("pink")


def test_a_cell_is_told_of():
    recording = two_blocks()
    ask(recording, 0, 500)
    levels = DirtyLevels(recording)
    assert levels.told(2, 1) == "3 found dirty; pc.ram"
    assert levels.told(600, 1) == "0 found dirty; pci hole"
    assert levels.told(-1, 1) == levels.told(1 << 40, 1) == levels.told(0, 8) == ""
    alone = one_block(64, "<b>\n")
    ask(alone, 0, 60)
    assert DirtyLevels(alone).untracked == [(60, 64)]
    assert DirtyLevels(alone).told(60, 1) == "0 found dirty; <b>\ufffd; 1 that no device was asked for"


def test_zoom_counts_anew():
    recording = one_block(1 << 22)
    sync(recording, "pc.ram", 1 << 22, [5, 6, 4096])
    levels = DirtyLevels(recording)
    assert (levels.each, levels.counts.sum()) == (4, 3)
    levels.zoom(4, 100)
    assert (levels.first, levels.pages, levels.each) == (4, 100, 1)
    assert np.flatnonzero(levels.counts).tolist() == [1, 2]
    assert levels.told(5, 1) == "1 found dirty; pc.ram"
    sync(recording, "pc.ram", 1 << 22, [5])
    assert levels.update()
    assert levels.counts.sum() == 3
    levels.zoom()
    assert levels.counts.sum() == 4
    with pytest.raises(AddressError, match="zoom"):
        levels.zoom(-1)


def test_one_sync_chosen():
    levels = DirtyLevels(two_blocks(), sync=0)
    assert levels.counts.sum() == 4
    levels.choose(sync=-1)
    assert levels.counts.sum() == 2
    assert "in sync -1" in levels.note
    levels.choose()
    assert levels.counts.sum() == 9


def test_a_recording_that_grows_meanwhile():
    recording, count = one_block(4096), 300

    def append():
        for number in range(count):
            ask(recording, 0, 4096)
            sync(recording, "pc.ram", 4096, [number, 4095])

    writer = threading.Thread(target=append)
    levels, seen = DirtyLevels(recording), [0]
    writer.start()
    while writer.is_alive():
        levels.update()
        seen.append(int(levels.counts.sum()))
    writer.join()
    levels.update()
    assert seen == sorted(seen)
    assert not any(found % 2 for found in seen)  # whole syncs
    assert levels.counts.ravel()[:count].tolist() == [1] * count
    assert levels.counts.ravel()[4095] == count


def test_nothing_recorded_yet():
    levels = DirtyLevels(Recording(), "destination")
    assert levels.levels.tolist() == [[0]]
    assert levels.note == "the destination has recorded no memory yet"
    assert levels.told(0, 1) == "0 found dirty"


@pytest.mark.parametrize("options", [{"columns": 0}, {"what": "ever"}, {"what": "now", "sync": 1}])
def test_options_that_cannot_be(options):
    with pytest.raises(AddressError):
        DirtyLevels(Recording(), **options)


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 99))), max_size=8), st.data())
def test_any_way_through_the_moments_counts_the_same(steps, data):
    recording = one_block(100)
    for is_sync, pages in steps:
        if is_sync:
            sync(recording, "pc.ram", 104, pages)
        elif pages:
            record(recording, ReadPages("pc.ram", sorted(pages), 4096), bytes(4096 * len(pages)))
    views = [DirtyLevels(recording), DirtyLevels(recording, what="now")]
    for at in data.draw(st.lists(st.integers(-1, len(steps)) | st.none(), max_size=5)):
        times, now = [0] * 128, set()
        for row in (row for row in recording.bitmaps if row.kind in ("sync", "pages")):
            if at is not None and row.seq > at:
                break
            found = {row.pfn + k for k in range(row.pages) if row.bitmap[k // 8] >> k % 8 & 1}
            now = now | found if row.kind == "sync" else now - found
            for page in found if row.kind == "sync" else ():
                times[page] += 1
        for view, wanted in zip(views, (times, [page in now for page in range(128)]), strict=True):
            view.update(at)
            assert view.counts.ravel().tolist() == wanted[: view.counts.size]
