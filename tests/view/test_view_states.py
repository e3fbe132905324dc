"""The graph of device states and the lanes."""

import errno

import pytest
from bokeh.models import FactorRange
from scripted import Scripted

from vfiokit.accesses import Enter, Read, Write
from vfiokit.clock import SimulatedClock
from vfiokit.errors import AccessError, StateError
from vfiokit.protocol.v5.device import MigratingDevice
from vfiokit.protocol.v5.states import TRANSITIONS, set_state
from vfiokit.recording import Recorder, Recording
from vfiokit.runner import run as perform_all
from vfiokit.view import states
from vfiokit.view.state_graph import ARCS, PLACES, curve, node_of

MS = 1_000_000


def write(recording, time_ns, value, error=None, device="dev0", side="source"):
    recording.access(side, Write(device, 9, 0, 4, "device_state", value), None, error, time_ns, 1000)


def enter(recording, time_ns, machine, state, side="source"):
    recording.access(side, Enter(machine, state), None, None, time_ns, 0)


def refusal(value):
    return AccessError(Write("dev0", 9, 0, 4, "device_state", value), errno.EINVAL)


@pytest.fixture
def run():
    recording = Recording()
    enter(recording, 0, "vm", "running")
    for time, value, name in ((1, 1, "running"), (2, 3, "pre-copy"), (4, 2, "stop-and-copy")):
        write(recording, time * MS, value)
        enter(recording, time * MS + 1000, "dev0", name)
    return recording


def source(picture, column):
    """The data of the one source that has the column."""
    found = {
        renderer.data_source.id: renderer.data_source.data
        for renderer in picture.root.select({"type": _renderer()})
        if column in renderer.data_source.data
    }
    (data,) = found.values()
    return data


def _renderer():
    from bokeh.models import GlyphRenderer

    return GlyphRenderer


def words(picture):
    return " ".join(child.text for child in picture.root.children[:2])


def test_the_arcs_are_those_that_the_protocol_allows():
    assert {start: set(ends) for start, ends in ARCS.items()} == {
        start: set(map(int, ends)) - {start} for start, ends in TRANSITIONS.items()
    }


def test_every_value_has_a_node_and_every_arc_a_line():
    assert {node_of(value) for value in range(8)} == set(PLACES)
    assert node_of(0xFFFF_FFF9) == "running"
    for start in PLACES:
        for end in PLACES:
            assert len(curve(start, end).xs) > 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_path_is_numbered_and_the_present_state_lit(run, theme):
    picture = states(run, theme=theme)
    taken = source(picture, "order")
    assert taken["name"] == ["running → pre-copy", "pre-copy → stop-and-copy"]
    assert taken["order"] == ["1", "2"]
    assert taken["times"][0].endswith("= 2,001,000 ns")
    nodes = source(picture, "entered")
    assert nodes["name"][nodes["width"].index(4)] == "stop-and-copy"
    assert "dev0 (source) is in stop-and-copy" in words(picture)


def test_refused_transitions_are_told(run):
    write(run, 5 * MS, 6, refusal(6))
    picture = states(run)
    arcs = source_of(picture, "why", "xs")
    assert arcs["name"] == ["stop-and-copy → invalid (5, 6, 7)"]
    assert "AccessError" in arcs["why"][0]
    assert "Refused: 1 write of device_state" in words(picture)
    assert source_of(picture, "why", "lane")["x"] == [5.0 * MS]


def source_of(picture, *columns):
    for renderer in picture.root.select({"type": _renderer()}):
        is_key = (renderer.name or "").startswith("key of")
        if not is_key and all(column in renderer.data_source.data for column in columns):
            return renderer.data_source.data
    raise AssertionError(columns)


def test_lanes_hold_what_was_asked_and_what_was_read(run):
    run.access("source", Read("dev0", 9, 0, 4, "device_state"), 3, None, 3 * MS, 1000)
    bars = source_of(states(run), "lane", "exact")
    asked = [k for k, lane in enumerate(bars["lane"]) if lane == "dev0 asked (src)"]
    assert [bars["name"][k] for k in asked] == ["running", "pre-copy", "stop-and-copy"]
    assert [bars["x"][k] for k in asked] == [1.0 * MS, 2.0 * MS, 4.0 * MS]
    assert bars["exact"][asked[1]] == "3 (0x3)"
    read = bars["lane"].index("dev0 read (src)")
    assert (bars["name"][read], bars["x"][read]) == ("pre-copy", 3.0 * MS)
    assert bars["name"][bars["lane"].index("vm (src)")] == "running"


def test_a_live_recording_is_followed_and_an_empty_one_says_so():
    recording = Recording()
    picture = states(recording)
    assert "nothing to show" in words(picture)
    enter(recording, 0, "dev0", "running")
    assert picture.update()
    assert not picture.update()
    enter(recording, 5, "dev0", "pre-copy")
    write(recording, 6, 2)
    assert picture.update()
    assert "is in pre-copy" in words(picture)
    assert picture.root.children[2].visible


def test_a_devices_name_is_text():
    recording = Recording()
    name = "<script>alert(1)</script>"
    enter(recording, 0, name, "running")
    write(recording, 1, 1, device=name)
    picture = states(recording)
    assert "<script>alert" not in picture.html("x")
    assert "&lt;script&gt;" in words(picture)


def lanes(picture):
    """(state, from, to) in ms, by lane."""
    bars, found = source_of(picture, "lane", "exact"), {}
    for k, lane in enumerate(bars["lane"]):
        found.setdefault(lane, []).append((bars["name"][k], bars["x"][k] / MS, bars["x1"][k] / MS))
    return found


def read(recording, time_ns, value):
    recording.access("source", Read("dev0", 9, 0, 4, "device_state"), value, None, time_ns, 1000)


def test_where_a_device_came_to_after_a_refusal_has_a_lane(run):
    write(run, 5 * MS, 6, refusal(6))
    picture = states(run)
    factors = picture.root.select_one({"type": FactorRange}).factors
    assert "dev0 recovered (src)" in factors
    read(run, 6 * MS, 2)
    read(run, 7 * MS, 2)
    read(run, 8 * MS, 0)
    write(run, 9 * MS, 1)
    write(run, 10 * MS, 3)
    read(run, 11 * MS, 3)
    assert picture.update()
    assert lanes(picture)["dev0 recovered (src)"] == [
        ("stop-and-copy", 6, 8),
        ("stopped", 8, 9),
        ("running", 9, 10),
    ]
    assert lanes(picture)["dev0 read (src)"] == [
        ("stop-and-copy", 6, 8),
        ("stopped", 8, 11),
        ("pre-copy", 11, 11),
    ]
    assert "dev0 recovered (dst)" not in lanes(picture)


def test_without_a_refusal_there_is_no_lane_for_it(run):
    read(run, 6 * MS, 2)
    assert not [
        lane for lane in states(run).root.select_one({"type": FactorRange}).factors if "recov" in lane
    ]


def test_what_the_vmm_itself_did_not_write_is_refused_too(run):
    device, clock = MigratingDevice("dev0"), SimulatedClock()
    device.device_state = 2
    clock.advance(7 * MS)
    with pytest.raises(StateError):
        perform_all(set_state(device, 4), Recorder(Scripted(), run, "source", clock))
    picture = states(run)
    assert "Refused: 1 write" in words(picture)
    arcs = source_of(picture, "why", "xs")
    assert arcs["name"] == ["stop-and-copy → resuming"]
    assert arcs["why"] == ["the VMM did not write it: the device is in stop-and-copy"]
    assert source_of(picture, "why", "lane")["x"] == [7.0 * MS]


def test_more_bits_of_a_state_are_no_entry_of_the_legend(run):
    write(run, 6 * MS, 0xF001)
    bars = source_of(states(run), "lane", "exact")
    assert "running" in bars["kind"][-1]
    assert set(bars["kind"]) <= {"running", "pre-copy", "stop-and-copy"}
