"""The timeline of accesses and trace events."""

import errno
import random

import numpy as np
import pytest
from bokeh.models import FactorRange, GlyphRenderer, Legend, Range1d
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.accesses import Emit, Now, Read
from vfiokit.errors import AccessError
from vfiokit.recording import Recording
from vfiokit.view import timeline
from vfiokit.view.marks import spread


def read(recording, time_ns, value, device="dev0", error=None, took=100):
    access = Read(device, 9, 8, 8, "pending_bytes")
    recording.access("source", access, value, error, time_ns, took)


def refusal():
    return AccessError(Read("dev0", 9, 8, 8, "pending_bytes"), errno.EIO)


def emit(recording, time_ns, *args):
    recording.access("source", Emit("vfio_migration_probe", args), None, None, time_ns, 0)


def drawn(picture):
    """The data of accesses, refused ones and events, in the order in which they are drawn."""
    found = {}
    for renderer in picture.root.children[1].renderers:
        assert isinstance(renderer, GlyphRenderer)
        found[renderer.data_source.id] = renderer.data_source.data
    return list(found.values())[:3]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_are_the_recordings_rows(theme):
    recording = Recording()
    read(recording, 1000, 2**64 - 1)
    read(recording, 2000, None, error=refusal())
    recording.access("source", Now(), 7, None, 3000, 0)
    picture = timeline(recording, theme=theme)
    accesses, refused, _ = drawn(picture)
    assert accesses["x"].tolist() == [0, 2000]
    assert accesses["end"].tolist() == [100, 2000]
    assert accesses["lane"].tolist() == ["dev0 (src)", "vmm (src)"]
    assert accesses["text"][0] == "18,446,744,073,709,551,615 (0xffffffffffffffff)"
    assert refused["x"].tolist() == [1000]
    assert "AccessError" in refused["text"][0]


def test_events_are_on_the_lane_of_a_device_that_is_known():
    recording = Recording()
    read(recording, 0, 1)
    emit(recording, 5, "dev0", 9)
    emit(recording, 6, "migration mmaps[0]", 9)
    events = drawn(timeline(recording))[2]
    assert events["lane"].tolist() == ["dev0 (src)", "vmm (src)"]
    assert events["text"][0] == "dev0, 0x9"


def test_events_alone_are_a_picture():
    recording = Recording()
    emit(recording, 5, "dev7", 9)
    assert drawn(timeline(recording))[2]["lane"].tolist() == ["dev7 (src)"]


def test_the_newest_are_shown_and_the_cut_is_said():
    recording = Recording()
    for number in range(50):
        read(recording, number * 1000, number)
    picture = timeline(recording, marks=20, newest=True)
    assert drawn(picture)[0]["x"].tolist() == [number * 1000 for number in range(40, 50)]
    assert "the newest 10 of 50 accesses" in picture.root.children[0].text


def test_marks_are_spread_over_the_run_and_the_refused_come_first():
    recording = Recording()
    for number in range(1000):  # a burst, then silence with an access now and then
        read(recording, number if number < 900 else number * 1000, number)
    for number in range(3):
        read(recording, 1_000_000 + number * 1000, None, error=refusal())
    picture = timeline(recording, marks=200)
    accesses, refused, _ = drawn(picture)
    assert len(refused["x"]) == 3
    assert len(accesses["x"]) + 3 == 100
    assert sum(x < 900 for x in accesses["x"]) > 70
    assert sum(x >= 900_000 for x in accesses["x"]) > 10
    assert "spread over the run, of 1,003 accesses" in picture.root.children[0].text


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.integers(2, 50), st.data())
def test_a_spread_rises_has_what_is_wanted_and_not_too_much(times, most, data):
    wanted = sorted(data.draw(st.sets(st.integers(0, len(times) - 1), max_size=most)))
    found = spread(np.array(sorted(times)), most, wanted).tolist()
    assert found == sorted(set(found))
    assert set(wanted) <= set(found) <= set(range(len(times)))
    assert len(found) <= most or len(times) <= most


def test_reading_on_gives_what_reading_all_gives():
    recording, pick = Recording(), random.Random(3)
    live = timeline(recording, marks=30, newest=True)
    for number in range(120):
        for _ in range(pick.choice((0, 1, 3, 20))):
            kind = pick.randrange(4)
            if kind == 0:
                emit(recording, number * 100, pick.choice(("dev0", "elsewhere")), number)
            else:
                refused = kind == 1 and number % 40 < 20
                read(recording, number * 100, number, error=refusal() if refused else None)
        live.update()
        for now, whole in zip(drawn(live), drawn(timeline(recording, marks=30, newest=True)), strict=True):
            assert {name: list(some) for name, some in now.items()} == {
                name: list(some) for name, some in whole.items()
            }


def test_an_events_lane_is_told_again_when_its_device_becomes_known():
    recording = Recording()
    emit(recording, 5, "migration mmaps[0]", 9)
    picture = timeline(recording)
    assert drawn(picture)[2]["lane"].tolist() == ["migration mmaps[0] (src)"]
    read(recording, 9, 1)
    assert picture.update()
    assert drawn(picture)[2]["lane"].tolist() == ["vmm (src)"]


def test_every_entry_of_the_legend_has_a_symbol_and_hides_its_marks():
    picture = timeline(Recording())
    items = picture.root.select_one({"type": Legend}).items
    assert [item.label.value for item in items] == ["access", "refused access", "trace event"]
    for item in items:
        (key,) = item.renderers
        assert len(key.data_source.data["x"]) == 1  # a glyph without data has no symbol
        hidden = key.js_property_callbacks["change:visible"]
        named = list(picture.root.select({"name": item.label.value}))
        assert {one.id for one in named} == {callback.args["other"].id for callback in hidden}


def test_a_live_recording_is_followed_and_an_empty_one_says_so():
    recording = Recording()
    picture = timeline(recording)
    assert "nothing to show" in picture.root.children[0].text
    read(recording, 0, 1)
    assert picture.update()
    assert not picture.update()
    read(recording, 9, 1, device="dev1")
    assert picture.update()
    assert set(picture.root.select_one({"type": FactorRange}).factors) == {"dev0 (src)", "dev1 (src)"}


def test_a_time_axis_can_be_shared():
    shared = Range1d(start=0, end=9)
    assert timeline(Recording(), x_range=shared).root.children[1].x_range is shared


def test_a_devices_name_is_text():
    recording = Recording()
    read(recording, 0, 1, device="<script>alert(1)</script>")
    assert "<script>alert" not in timeline(recording).html("x")
