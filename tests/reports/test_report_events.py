"""Events as columns: nothing is lost on the way into the page."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.pages import Page

from vfiokit.errors import RecordingError
from vfiokit.recording import Recording
from vfiokit.recording.folder import save_folder
from vfiokit.reports import report
from vfiokit.reports.blocks import Columns
from vfiokit.reports.events import event_blocks, template_parts
from vfiokit.trace import load


def unpacked(head, data):
    """The other end of `Columns`, in Python; static/blocks.js has the same."""
    count, width, first, differences, start = head
    octets = np.zeros((count, 8), np.uint8)
    octets[:, :width] = np.frombuffer(data, np.uint8, width * count, start).reshape(width, count).T
    words = octets.view("<u8").ravel().tolist()
    if differences:
        now, found = int(first), []
        for word in words:
            now = (now + ((word >> 1) ^ -(word & 1))) % 2**64
            found.append(now)
        words = found
    return words


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=20), max_size=4), st.booleans())
def test_columns_come_back(lists, differences):
    columns = Columns()
    for numbers in lists:
        columns.add(np.array(numbers, np.uint64), differences=differences)
    data = columns.data()
    assert [unpacked(head, data) for head in columns.heads] == lists


def test_neighbours_that_are_alike_cost_nothing():
    columns = Columns()
    columns.add(np.full(1000, 2**63 + 5, np.uint64))
    assert columns.data() == b""


def test_an_event_is_taken_apart_as_it_is_declared():
    parts = template_parts(load("v5"), "vfio_save_iterate", "sQ")
    assert parts == [
        *(" (", {"a": 0, "k": "s", "b": 32, "f": "", "w": "", "p": ""}, ") data_size "),
        {"a": 1, "k": "d", "b": 32, "f": "", "w": "", "p": ""},
    ]


@pytest.mark.parametrize("signature", ["QQ", "s", ""])
def test_arguments_that_do_not_go_with_the_format_are_listed(signature):
    parts = template_parts(load("v5"), "vfio_save_iterate", signature)
    assert [part["a"] for part in parts if isinstance(part, dict)] == list(range(len(signature)))
    assert not any("data_size" in part for part in parts if isinstance(part, str))


def test_templates_are_the_recordings_events(migrated, tmp_path):
    page = Page(report(migrated, tmp_path / "x.html", moments=4).read_text())
    about, data = page.json("vfiokit-events"), page.octets("vfiokit-event-data")
    frame = migrated.events.to_pandas()
    assert unpacked(about["heads"][about["seq"]], data) == frame.seq.tolist()
    templates = unpacked(about["heads"][about["template"]], data)
    assert [about["templates"][code]["name"] for code in templates] == frame.name.tolist()
    assert about["devices"][:2] == list(dict.fromkeys(migrated.accesses.to_pandas().device.dropna()))


def test_a_row_whose_arguments_are_missing_is_refused(evil, tmp_path):
    tables = {name: table.to_arrow() for name, table in evil.tables.items()}
    events = tables["events"]
    empty = pa.array([[]] * len(events), events.schema.field("args").type)
    tables["events"] = events.set_column(
        events.schema.get_field_index("args"), events.schema.field("args"), empty
    )
    save_folder(tmp_path / "x.vfk", tables, evil.metadata)
    with pytest.raises(RecordingError, match="does not go with its arguments"):
        event_blocks(Recording.load(tmp_path / "x.vfk"))
