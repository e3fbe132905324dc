"""Looking up a moment gives what folding up to it gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.view.access_index import ConfigImages, Rows

PARTS = st.lists(st.tuples(st.integers(0, 4100), st.binary(min_size=1, max_size=8)), min_size=1, max_size=20)


@given(PARTS, st.integers(1, 60), st.integers(0, 1200))
def test_config_space_at_a_row_is_all_that_was_accessed_before(parts, times, bound):
    images, expected = ConfigImages(), None
    for row, (offset, data) in enumerate(parts * times):
        images.add(row, offset, data)
        if row < bound and offset + len(data) <= 4096:
            expected = expected if expected is not None else bytearray()
            expected.extend(bytes(max(0, offset + len(data) - len(expected))))
            expected[offset : offset + len(data)] = data
    assert images.at(bound) == expected


@given(st.lists(st.integers(0, 300), unique=True), st.integers(0, 300), st.integers(1, 5), st.integers(1, 90))
def test_rows_before_and_after_a_bound(numbers, bound, most, each):
    rows, ordered = Rows(), sorted(numbers)
    for start in range(0, len(ordered), each):
        rows.extend(np.array(ordered[start : start + each], np.int64))
    assert rows.last(most, bound) == [number for number in ordered if number < bound][-most:]
    assert rows.after(bound) == next((number for number in ordered if number >= bound), None)
