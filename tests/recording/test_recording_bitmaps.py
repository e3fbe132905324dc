"""Bitmaps against sets of page numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.recording import bitmaps


def pack(chosen, pages):
    bits = np.zeros(pages, np.uint8)
    bits[sorted(chosen)] = 1
    return np.packbits(bits, bitorder="little").tobytes()


@st.composite
def some_pages(draw, most=700):
    pages = draw(st.integers(1, most))
    return pages, draw(st.sets(st.integers(0, pages - 1)))


@given(some_pages(), st.integers(1, 9), st.integers(1, 9), st.binary(max_size=3))
def test_count_positions_and_grid_are_exact(some, rows, columns, tail):
    pages, chosen = some
    bitmap = pack(chosen, pages) + tail  # what is behind the last page does not count
    if pages % 8:
        spoilt = bytearray(bitmap)
        spoilt[pages // 8] |= 0xFF << pages % 8 & 0xFF
        bitmap = bytes(spoilt)
    assert bitmaps.count(bitmap, pages) == len(chosen)
    assert bitmaps.positions(bitmap, pages).tolist() == sorted(chosen)
    cells = rows * columns
    expected = [
        sum(i * pages // cells <= page < (i + 1) * pages // cells for page in chosen) for i in range(cells)
    ]
    assert bitmaps.grid(bitmap, pages, rows, columns).reshape(-1).tolist() == expected


@given(st.integers(0, 10), st.integers(1, 6), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_cells_of_a_power_of_two_of_pages_are_exact(power, rows, columns, seed):
    each = 1 << power
    bits = np.random.default_rng(seed).random(rows * columns * each) < 0.3
    bits[: each * (seed % 3)] = True  # full cells
    bitmap = np.packbits(bits, bitorder="little").tobytes() + b"\xff"
    found = bitmaps.grid(bitmap, len(bits), rows, columns)
    assert (found.reshape(-1) == bits.reshape(-1, each).sum(axis=1)).all()


@given(some_pages())
def test_ranges_are_the_runs(some):
    pages, chosen = some
    found = bitmaps.ranges(pack(chosen, pages), pages).tolist()
    assert {page for first, stop in found for page in range(first, stop)} == chosen
    edges = [edge for run in found for edge in run]
    assert edges == sorted(set(edges))  # runs neither overlap nor touch


@given(some_pages(200), some_pages(200))
def test_union_and_difference(one, two):
    left, right = pack(one[1], one[0]), pack(two[1], two[0])
    assert bitmaps.positions(bitmaps.union(left, right)).tolist() == sorted(one[1] | two[1])
    assert bitmaps.positions(bitmaps.difference(left, right)).tolist() == sorted(one[1] - two[1])


@given(some_pages(300), st.integers(0, 300), st.integers(0, 300))
def test_rates_count_each_page(some, first, stop):
    pages, chosen = some
    bitmap, every = pack(chosen, pages), pack(range(pages), pages)
    found = bitmaps.rates([bitmap, every, bitmap], 0.5, pages, first=first, stop=stop)
    expected = [(2 * (page in chosen) + 1) / 0.5 for page in range(pages)][first:stop]
    assert found.tolist() == expected


@pytest.mark.parametrize("words", [1, 8, 16, 24, 32, 1016, 1024, 5])
def test_even_cells_of_every_size(words):
    cells = 6
    generator = np.random.default_rng(words)
    for bitmap in (generator.bytes(cells * words * 8), b"\xff" * (cells * words * 8)):
        bits = np.unpackbits(np.frombuffer(bitmap, np.uint8)).reshape(cells, -1)
        found = bitmaps.grid(bitmap, cells * words * 64, 2, 3)
        assert found.reshape(-1).tolist() == bits.sum(axis=1).tolist()


def test_counting_without_numpy_2(monkeypatch):
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    bitmap = np.random.default_rng(1).bytes(1 << 20)
    expected = int(np.unpackbits(np.frombuffer(bitmap, np.uint8)).sum())
    assert bitmaps.count(bitmap) == expected
    assert bitmaps.grid(bitmap, 1 << 23, 32, 32).sum() == expected
    assert bitmaps.grid(bitmap, 1 << 23, 7, 11).sum() == expected


def test_a_terabyte():
    pages = (1 << 40) // 4096
    bitmap = bytearray(pages // 8)
    bitmap[5], bitmap[-1] = 0b110, 0x80
    cells = bitmaps.grid(bitmap, pages, 512, 512)
    assert cells[0, 0] == 2
    assert cells[511, 511] == 1
    assert cells.sum() == bitmaps.count(bitmap, pages) == 3
    assert bitmaps.ranges(bitmap, pages).tolist() == [[41, 43], [pages - 1, pages]]


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (-1, -1)])
def test_a_grid_has_cells(rows, columns):
    with pytest.raises(ValueError, match="grid"):
        bitmaps.grid(b"\0", 8, rows, columns)


def test_rates_need_time():
    with pytest.raises(ValueError, match="0 s"):
        bitmaps.rates([], 0, 8)
