"""Dirty pictures: cells against a slow reference, the Hilbert curve, blocks, syncs, live growth."""

import numpy as np
import pytest
from dirty_recordings import ask, lay, one_block, packed, record, sync, two_blocks
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.accesses import MarkDirty, ReadPages
from vfiokit.errors import AddressError
from vfiokit.recording import Recording, Section
from vfiokit.view.dirty import Span, cells, dirty
from vfiokit.view.dirty_cells import overlap, window
from vfiokit.view.hilbert import index_of, order_for, place_of

# Hilbert


@given(st.integers(0, 7))
def test_hilbert_is_a_bijection_and_neighbours_stay_neighbours(order):
    index = np.arange(4**order)
    x, y = place_of(index, order)
    assert len({*zip(x.tolist(), y.tolist(), strict=True)}) == 4**order
    assert x.max(initial=0) < 2**order
    assert y.max(initial=0) < 2**order
    assert (np.abs(np.diff(x)) + np.abs(np.diff(y)) == 1).all()
    assert (index_of(x, y, order) == index).all()


@given(st.integers(0, 31), st.data())
def test_hilbert_there_and_back_at_any_order(order, data):
    index = data.draw(st.integers(0, 4**order - 1))
    x, y = place_of(index, order)
    assert index_of(x, y, order) == index
    assert order_for(4**order) == order


def test_hilbert_begins_and_ends_at_the_lower_corners():
    assert [axis.tolist() for axis in place_of([0, 1, 2, 3], 1)] == [[0, 0, 1, 1], [0, 1, 1, 0]]
    assert [int(axis) for axis in place_of(4**5 - 1, 5)] == [31, 0]


@pytest.mark.parametrize("call", [lambda: place_of(4, 1), lambda: index_of(2, 0, 1), lambda: place_of(0, 32)])
def test_hilbert_refuses_what_is_outside(call):
    with pytest.raises(ValueError, match="Hilbert"):
        call()


# Cells

spans = st.builds(
    lambda first, bits: Span(first, len(bits), np.packbits(bits, bitorder="little").tobytes()),
    st.integers(0, 300),
    st.lists(st.booleans(), min_size=1, max_size=200),
) | st.builds(lambda first, pages: Span(first, pages, None), st.integers(0, 300), st.integers(0, 200))


def slow_cells(bitmaps, first, pages, count):
    result = [0] * count
    edges = [first + i * pages // count for i in range(count + 1)]
    for span in bitmaps:
        for k in range(span.pages):
            if span.bitmap is None or span.bitmap[k // 8] >> k % 8 & 1:
                for i in range(count):
                    result[i] += edges[i] <= span.first + k < edges[i + 1]
    return result


@pytest.mark.parametrize("sparse", [0, 1 << 16], ids=["as a bitmap", "page by page"])
@given(
    bitmaps=st.lists(spans, max_size=4),
    first=st.integers(0, 300),
    pages=st.integers(1, 400),
    rows=st.integers(1, 5),
    columns=st.integers(1, 7),
)
def test_cells_are_exact(sparse, bitmaps, first, pages, rows, columns):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vfiokit.view.dirty_cells._SPARSE", sparse)
        found = cells(bitmaps, first, pages, rows, columns)
    assert found.shape == (rows, columns)
    assert found.ravel().tolist() == slow_cells(bitmaps, first, pages, rows * columns)


@given(bitmaps=st.lists(spans, max_size=3), first=st.integers(0, 200), pages=st.integers(1, 300))
def test_cells_on_a_hilbert_curve_are_the_same_elsewhere(bitmaps, first, pages):
    found = cells(bitmaps, first, pages, 8, 8, "hilbert")
    x, y = place_of(np.arange(64), 3)
    assert found[y, x].tolist() == cells(bitmaps, first, pages, 1, 64)[0].tolist()


@given(st.integers(0, 1000), st.integers(1, 5000), st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_a_window_has_room_for_its_pages_in_as_small_cells_as_can_be(first, pages, rows, columns, square):
    if square:
        rows = columns = 1 << rows % 5
    found = window(first, pages, rows, columns, square=square)
    assert (found.first, found.end) == (first, first + pages)
    assert 1 <= found.rows <= rows
    assert 1 <= found.columns <= columns
    assert found.pages >= pages
    assert found.each == 1 or rows * columns * found.each // 2 < pages
    assert not square or found.rows == found.columns


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 9)), max_size=5),
    st.integers(0, 50),
    st.integers(1, 99),
)
def test_overlap_is_a_count_of_pages(parts, first, pages):
    ranges, at = [], 0
    for gap, length in parts:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    whole = [Span(a, b - a, None) for a, b in ranges]
    assert overlap(ranges, first, pages, 6).tolist() == slow_cells(whole, first, pages, 6)


def test_a_terabyte_in_a_bitmap_of_32_mib():
    pages = 1 << 28
    bitmap = bytearray(pages // 8)
    for page in (0, 1, 77_777_777, pages - 1):
        bitmap[page // 8] |= 1 << page % 8
    span = Span(0, pages, bytes(bitmap))
    found = cells([span], 0, pages, 128, 256)
    assert found.sum() == 4
    assert found[0, 0] == 2
    assert found[-1, -1] == 1
    assert cells([span], 77_777_700, 100, 1, 100)[0].nonzero()[0].tolist() == [77]
    assert cells([span], 1, pages - 1, 128, 256).sum() == 3


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, 8, 1, 1),
        (0, 0, 1, 1),
        (0, 8, 0, 1),
        (0, 8, 2, 4, "hilbert"),
        (0, 8, 3, 3, "hilbert"),
        (0, 8, 1, 1, "z"),
    ],
)
def test_cells_that_cannot_be(arguments):
    with pytest.raises(AddressError):
        cells([], *arguments)


# The picture


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("order", ["rows", "hilbert"])
def test_exact_numbers(theme, order):
    picture = dirty(two_blocks(), theme=theme, order=order)
    assert [tuple(block) for block in picture.memory.blocks] == [
        ("pc.ram", 0, 512),
        ("pc.ram.high", 768, 256),
    ]
    assert (picture.first, picture.pages, picture.each) == (0, 1024, 1)
    pages = picture.figure.cells.data["first"][0]
    found = {int(page): int(n) for page, n in zip(pages.ravel(), picture.counts.ravel(), strict=True) if n}
    assert found == {0: 1, 1: 1, 2: 3, 3: 1, 500: 1, 1023: 2}
    assert "9 in all" in picture.note.text
    # The hole has no colour, clean memory has.
    colours = picture.figure.cells.data["image"][0]
    assert np.isnan(colours[(pages >= 512) & (pages < 768)]).all()
    assert not np.isnan(colours[(pages < 512)]).any()
    assert picture.html("dirty").startswith("<!DOCTYPE html>")


def test_one_sync_and_the_last():
    recording = two_blocks()
    assert dirty(recording, sync=0).counts.sum() == 4
    assert dirty(recording, sync=-1).counts.sum() == 2
    later = dirty(recording, sync=9)
    assert later.counts.sum() == 0
    assert "there is no sync 9 yet" in later.note.text
    assert "yet" not in dirty(recording, sync=0).note.text


def test_two_syncs_compared():
    picture = dirty(two_blocks(), compare=(0, 1))
    assert {name: int(grid.sum()) for name, grid in picture.counts.items()} == {
        "added": 1,
        "removed": 2,
        "both": 2,
    }
    assert "1 added, 2 removed, 2 both" in picture.note.text
    pages, colours = picture.figure.cells.data["first"][0], picture.figure.cells.data["image"][0]
    assert {int(page): int(c) for page, c in zip(pages.ravel(), colours.ravel(), strict=True) if c > 0} == {
        0: 2, 1: 2, 2: 3, 3: 1, 1023: 3,
    }  # fmt: skip


def test_zoom_counts_anew():
    recording = one_block(1 << 20)
    sync(recording, "pc.ram", 1 << 20, [5, 6, 4096, (1 << 20) - 1])
    picture = dirty(recording)
    assert picture.each == 32
    assert picture.counts.sum() == 4
    picture.zoom(0, 8)
    assert picture.each == 1
    assert (picture.counts > 0).sum() == 2
    picture.zoom(6, 4091)  # up to 4096
    assert picture.counts.sum() == 2
    picture.zoom(6, 4090)
    assert picture.counts.sum() == 1
    picture.zoom()
    assert picture.counts.sum() == 4
    with pytest.raises(AddressError, match="zoom to 0 pages"):
        picture.zoom(3, 0)


def test_now_is_what_was_not_read_since():
    recording = one_block(64)
    sync(recording, "pc.ram", 64, [3, 4, 5, 20])
    record(recording, ReadPages("pc.ram", (4, 5), 4096), bytes(8192))
    picture = dirty(recording, what="now")
    assert np.flatnonzero(picture.counts.ravel()).tolist() == [3, 20]
    sync(recording, "pc.ram", 64, [5])
    assert picture.update()
    assert np.flatnonzero(picture.counts.ravel()).tolist() == [3, 5, 20]


def test_memory_nobody_tracks_is_seen():
    recording = one_block(1024)
    sync(recording, "pc.ram", 1024, [1])
    picture = dirty(recording)
    assert "no device was asked for dirty pages yet" in picture.note.text
    assert picture.memory.untracked == []
    record(recording, MarkDirty("dev0", 0, 1000, 4096, packed(1000, [1])))
    assert picture.update()
    assert picture.memory.untracked == [(1000, 1024)]
    assert int(picture.figure.cells.data["untracked"][0].sum()) == 24
    assert "no device was asked for 24 of them" in picture.note.text


def test_marks_alone_are_shown():
    recording = Recording()
    record(recording, MarkDirty("dev0", 16, 16, 4096, None))
    record(recording, MarkDirty("dev0", 1, 2, 8192, packed(2, [1])))
    picture = dirty(recording)
    assert picture.counts.sum() == 18
    assert picture.memory.present == [(2, 6), (16, 32)]


@pytest.mark.parametrize("order", ["rows", "hilbert"])
def test_an_empty_recording_grows(order):
    recording = Recording()
    picture = dirty(recording, order=order)
    assert "no dirty pages yet" in picture.note.text
    assert not picture.update()
    lay(recording, "<script>", 0, 64)
    assert picture.update()
    sync(recording, "<script>", 64, [1])
    assert picture.update()
    assert picture.counts.sum() == 1
    assert picture.figure.outlines["blocks"][1].data["text"] == ["<script>, 256.00 KiB"]
    assert not picture.update()
    assert dirty(recording, side="destination").counts.sum() == 0
    assert dirty(recording, compare=(0, 1)).counts["both"].sum() == 0


# Where memory lies


def test_blocks_and_skipped_sections_are_outlined():
    picture = dirty(two_blocks())
    blocks, skipped = (picture.figure.outlines[name] for name in ("blocks", "skipped"))
    assert blocks[1].data["text"] == ["pc.ram, 2.00 MiB", "pc.ram.high, 1.00 MiB"]
    assert skipped[1].data["text"] == ["pci hole, 1.00 MiB"]
    # 64 columns: the hole is four rows, which have an edge on all sides.
    columns = (skipped[0].data[name] for name in ("x0", "y0", "x1", "y1"))
    edges = [tuple(map(int, ends)) for ends in zip(*columns, strict=True)]
    assert {(0, row, 0, row + 1) for row in range(8, 12)} <= set(edges)
    assert {(column, 12, column + 1, 12) for column in range(64)} <= set(edges)
    assert len(edges) == 2 * 4 + 2 * 64


def test_a_recording_that_tells_of_no_blocks():
    recording = Recording()
    sync(recording, "pc.ram", 64, [1])
    picture = dirty(recording)
    assert "no dirty pages yet; not shown: pc.ram" in picture.note.text
    record(recording, MarkDirty("dev0", 8, 8, 4096, packed(8, [1])))
    assert picture.update()
    assert picture.memory.present == [(8, 16)]
    assert "not shown: pc.ram" in picture.note.text


def test_what_no_device_was_given_is_not_untracked():
    recording = one_block(1024)
    lay(recording, "pc.ram", 0, 512, "mapped", device="dev0")
    lay(recording, "rom", 1024, 64, "ignored")
    ask(recording, 0, 500)
    picture = dirty(recording)
    assert picture.memory.untracked == [(500, 512)]
    assert picture.memory.present == [(0, 1088)]


def test_sections_that_cannot_be_shown_are_passed_over():
    recording = one_block(64)
    recording.place("source", [Section("skipped", "bar", (1 << 64) - 4096, 4096, why="sized")], 0)
    lay(recording, "none", 0, 0, "ram")
    sync(recording, "pc.ram", 128, [3, 100])  # longer than the block
    picture = dirty(recording)
    assert picture.pages == 64
    assert picture.counts.sum() == 1
    assert picture.figure.outlines["skipped"][1].data["text"] == []


def test_every_entry_of_the_legend_has_a_symbol_without_data():
    for options in ({}, {"compare": (0, 1)}):
        picture = dirty(Recording(), **options)
        for item in picture.figure.plot.legend[0].items:
            assert any(len(next(iter(renderer.data_source.data.values()))) for renderer in item.renderers), (
                item.label
            )


# Another moment


def test_no_update_makes_models():
    recording = two_blocks()
    picture = dirty(recording)
    models = {model.id for model in picture.root.references()}
    picture.update(at=3)
    lay(recording, "rom", 1024, 64)
    sync(recording, "pc.ram", 512, range(512))
    picture.update()
    assert {model.id for model in picture.root.references()} == models


@pytest.mark.parametrize("what", ["times", "now"])
def test_a_moment_is_what_was_known_then(what):
    recording = one_block(64)
    moments = []
    for dirtied, read in (([3, 4], [4]), ([3, 9], [3, 9]), ([9, 63], [])):
        sync(recording, "pc.ram", 64, dirtied)
        moments.append((recording.seq, dirty(recording, what=what).counts.copy()))
        if read:
            record(recording, ReadPages("pc.ram", read, 4096), bytes(4096 * len(read)))
            moments.append((recording.seq, dirty(recording, what=what).counts.copy()))
    picture = dirty(recording, what=what)
    newest = picture.counts.copy()
    for number in (4, 0, 3, 1, 2, 0, 4):
        seq, counts = moments[number]
        picture.update(seq)
        assert (picture.counts == counts).all(), number
        assert f"After access {seq:,}" in picture.note.text
    picture.update(0)
    assert picture.update(None)
    assert (picture.counts == newest).all()
    assert "After access" not in picture.note.text
    assert not picture.update(None)


def test_a_moment_before_the_first_access_knows_the_blocks():
    recording = two_blocks()
    picture = dirty(recording)
    assert picture.update(at=1)  # asked, not yet synced
    assert picture.counts.sum() == 0
    assert picture.pages == 1024
    assert picture.memory.untracked == []
    assert picture.update(at=0)
    assert picture.memory.untracked == [(768, 1024)]


def test_syncs_and_comparisons_at_a_moment():
    recording = two_blocks()
    last, compared = dirty(recording, sync=-1), dirty(recording, compare=(0, 1))
    assert last.update(at=7)  # the second sync, of the first block alone
    assert last.counts.sum() == 2 + 1
    assert compared.update(at=4)
    assert sum(int(grid.sum()) for grid in compared.counts.values()) == 0
    assert compared.update()
    assert compared.counts["both"].sum() == 2


@pytest.mark.parametrize(
    "options", [{"order": "spiral"}, {"what": "ever"}, {"sync": 1, "compare": (0, 1)}, {"theme": "pink"}]
)
def test_options_that_cannot_be(options):
    with pytest.raises(AddressError):
        dirty(Recording(), **options)


def test_a_loaded_one_is_the_same(tmp_path):
    recording = two_blocks()
    recording.save(tmp_path / "x.vfk")
    loaded = dirty(Recording.load(tmp_path / "x.vfk"))
    assert (loaded.counts == dirty(recording).counts).all()
