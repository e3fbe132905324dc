"""Rewinding: a picture at a moment is what the recording was then; pictures of one page share the moment."""

import errno
import random

import pytest
from bokeh.models import GlyphRenderer, TapTool
from bokeh.models.annotations import Span
from bokeh.models.widgets import Div
from bokeh.plotting import figure

from vfiokit.accesses import Enter, Map, Query, Read, ReadData, Sample, Unmap, Write
from vfiokit.errors import AccessError
from vfiokit.recording import Recording
from vfiokit.uapi.info import Area, Region
from vfiokit.view import convergence, inspector, regions, states, timeline
from vfiokit.view.link import MOMENT, Link

OVER_TIME = (convergence, states, timeline)
MIGRATION = Region(9, 15, 0x13000, type=(2, 1), sparse=(Area(0x1000, 0x1000),))


def run(count=400, seed=1):
    """Return accesses of two devices on two sides, in which everything that is shown changes."""
    pick = random.Random(seed)
    found = []
    for side, name in (("source", "a"), ("destination", "b")):
        found += [
            (side, Query(name, 7), Region(7, 3, 0x1000), None),
            (side, Query(name, 9), MIGRATION, None),
            (side, ReadData(name, 7, 0, 64, None), bytes(range(64)), None),
        ]
    for _ in range(count):
        side, name = pick.choice((("source", "a"), ("destination", "b")))
        register, offset, size = pick.choice(
            (("device_state", 0, 4), ("pending_bytes", 8, 8), ("data_offset", 16, 8), ("data_size", 24, 8))
        )
        read, write = Read(name, 9, offset, size, register), Write(name, 9, 0, 4, "device_state", 3)
        found.append(
            pick.choice(
                (
                    (side, read, pick.choice((0, 1, 0x1000, 0x1800)), None),
                    (side, read, None, AccessError(read, errno.EIO)),
                    (side, write, None, pick.choice((None, AccessError(write, errno.EINVAL)))),
                    (side, Enter(name, pick.choice(("running", "pre-copy", "stopped"))), None, None),
                    (side, pick.choice((Map, Unmap))(name, 9, 0x1000, 0x1000, 0), None, None),
                    (side, Write(name, 7, 4, 2, "command", pick.randrange(8)), None, None),
                )
            )
        )
    return found


def record(recording, one):
    side, access, result, error = one
    recording.access(side, access, result, error, (recording.seq + 1) * 1000, 10)


def shown(picture):
    """All that the picture shows, but what it says of the moment itself."""
    data = [
        (renderer.glyph.__class__.__name__, {name: list(some) for name, some in sorted(source.data.items())})
        for renderer in picture.root.select({"type": GlyphRenderer})
        for source in [renderer.data_source]
    ]
    # The lanes have all of the time, at any moment.
    data = [(kind, columns) for kind, columns in data if "lane" not in columns]
    said = [part.text for part in picture.root.select({"type": Div})]
    return sorted(map(repr, data)), said


@pytest.mark.parametrize("factory", [inspector, regions, states])
def test_a_moment_is_what_was_known_then(factory):
    whole, growing = Recording(), Recording()
    accesses = run()
    for one in accesses:
        record(whole, one)
    rewound, live = factory(whole), factory(growing)
    newest = shown(rewound)
    for number, one in enumerate(accesses):
        record(growing, one)
        if number % 7 == 0 and number > 20:  # by then there is a state: without one, no graph
            live.update()
            rewound.update(number)
            then, now = shown(rewound), shown(live)
            assert then[0] == now[0], number
    rewound.update(0)
    assert rewound.update()
    assert shown(rewound) == newest


def test_the_registers_and_config_space_of_a_moment():
    whole, growing = Recording(), Recording()
    accesses = run(1500, seed=2)
    for one in accesses:
        record(whole, one)
    rewound, live = inspector(whole), inspector(growing)
    for number, one in enumerate(accesses):
        record(growing, one)
        if number % 31 == 5:
            live.update()
            rewound.update(number)
            assert rewound.registers.text == live.registers.text, number
            assert rewound.config.text == live.config.text, number


def test_the_access_after_a_moment_is_the_next_one():
    recording = Recording()
    for one in run(0):
        record(recording, one)
    write = Write("a", 9, 0, 4, "device_state", 3)
    record(recording, ("source", Read("a", 9, 8, 8, "pending_bytes"), 0x40000, None))
    record(recording, ("source", write, None, None))
    picture = inspector(recording)
    assert "next" not in picture.accesses.text
    assert picture.update(5)
    assert "<td>next: 6</td>" in picture.accesses.text
    assert "<td>read pending_bytes</td>" in picture.accesses.text  # what it will give is not told
    assert "after access 5" in picture.title.text
    assert picture.update(6)
    assert "<td>write device_state = 0x3 (pre-copy)</td>" in picture.accesses.text
    picture.next_text = "of now"
    assert "of now" not in picture.accesses.text
    assert picture.update()
    assert "<tr><td>next</td><td></td><td>of now</td></tr><tr class=lit><td>7</td>" in picture.accesses.text


def test_who_drives_the_flow_tells_what_comes_next():
    picture = inspector(Recording(), next_text="ask for <b>region 9")
    assert "ask for &lt;b&gt;region 9" in picture.accesses.text
    picture.next_text = None
    assert picture.accesses.text == ""


def test_a_device_is_not_there_before_its_first_access():
    recording = Recording()
    for one in run(0):
        record(recording, one)
    for factory in (inspector, regions):
        picture = factory(recording, side="destination", device="b")
        assert picture.update(1)
    assert "No device on the destination yet" in inspector_at(recording, 1).title.text
    assert inspector_at(recording, 4).title.text.startswith("b, destination")


def inspector_at(recording, seq):
    picture = inspector(recording, side="destination", device="b")
    picture.update(seq)
    return picture


def test_pictures_over_time_show_all_at_any_moment():
    recording = Recording()
    for one in run():
        record(recording, one)
    for factory in OVER_TIME:
        picture = factory(recording)
        lanes = [source.data for source in sources(picture) if "lane" in source.data]
        before = [{name: list(some) for name, some in data.items()} for data in lanes]
        picture.update(3)
        assert [{name: list(some) for name, some in data.items()} for data in lanes] == before


def sources(picture):
    found = {one.data_source.id: one.data_source for one in picture.root.select({"type": GlyphRenderer})}
    return list(found.values())


@pytest.mark.parametrize("factory", OVER_TIME)
def test_marks_can_be_tapped_and_nothing_else_turns_grey(factory):
    recording = Recording()
    for one in run():
        record(recording, one)
    for number in range(3):
        sample = Sample(number, (("ram", 5),), 1, 0.0, 0, 0, 0)
        recording.access("source", sample, None, None, 10**6 + number, 0)
    link = Link()
    picture = factory(recording, link=link)
    (tool,) = picture.root.select({"type": TapTool})
    assert tool.renderers
    for renderer in tool.renderers:
        assert {"seq", "x"} <= renderer.data_source.data.keys()
        assert renderer.nonselection_glyph is None
    assert any(len(renderer.data_source.data["seq"]) for renderer in tool.renderers)
    assert not list(factory(recording).root.select({"type": TapTool}))


def cursors_of(picture):
    plots = picture.root.select({"type": figure})
    return [one for plot in plots for one in plot.center if isinstance(one, Span)]


def test_cursors_follow_the_link_and_are_in_a_page_made_now():
    link = Link()
    recording = Recording()
    pictures = [factory(recording, link=link) for factory in OVER_TIME]
    cursors = [cursor for picture in pictures for cursor in cursors_of(picture)]
    assert [cursor.visible for cursor in cursors] == [False] * 3
    link.show(7, 2500.0)
    assert [(cursor.location, cursor.visible) for cursor in cursors] == [(2500.0, True)] * 3
    assert link.moment.name == MOMENT
    assert dict(link.moment.data) == {"seq": [7], "x": [2500.0]}
    (later,) = cursors_of(timeline(recording, link=link))
    assert (later.location, later.visible) == (2500.0, True)
    link.show(None)
    assert not any(cursor.visible for cursor in cursors)
