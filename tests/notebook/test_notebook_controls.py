"""The panel's controls, each by itself: slider, breakpoints, fault switch, keys, buttons."""

import pytest
from sessions import new_debugger

import vfiokit
from vfiokit.notebook.breakpoint_list import PLACES, BreakpointList, place_of
from vfiokit.notebook.fault_switch import FAULTS, FaultSwitch
from vfiokit.notebook.keys import Keys
from vfiokit.notebook.rewind import Rewind
from vfiokit.notebook.toolbar import VERBS, Toolbar


@pytest.fixture
def failures():
    return []


def failed(failures):
    return lambda verb, error: failures.append((verb, str(error)))


# The slider


def test_the_slider_follows_the_newest_until_it_is_moved_and_again_at_its_end():
    moved = []
    rewind = Rewind(lambda: moved.append(rewind.at))
    rewind.grow(10)
    assert (rewind.at, rewind.slider.value, rewind.slider.max) == (None, 10, 10)
    rewind.slider.value = 4
    assert rewind.at == 4
    rewind.grow(20)
    assert (rewind.at, rewind.slider.value) == (4, 4)
    rewind.slider.value = 20
    assert rewind.at is None
    rewind.grow(30)
    assert rewind.slider.value == 30
    assert moved == [4, None]


def test_one_access_back_and_on_and_no_further_than_the_ends():
    rewind = Rewind(lambda: None)
    rewind.grow(2)
    seen = []
    for by in (-1, -1, -1, 1, 1, 1):
        rewind.by(by)
        seen.append((rewind.at, rewind.slider.value))
    assert seen == [(1, 1), (0, 0), (0, 0), (1, 1), (None, 2), (None, 2)]


def test_its_buttons_do_the_same():
    rewind = Rewind(lambda: None)
    rewind.grow(5)
    rewind.back.click()
    assert rewind.at == 4
    rewind.newest.click()
    assert rewind.at is None


# Breakpoints


def test_a_place_in_words_becomes_a_breakpoint_that_can_be_switched_off_and_deleted(dbg, failures):
    points = BreakpointList(dbg, failed(failures))
    points.place.value = "write device_state if turn > 2"
    points.button.click()
    (point,) = dbg.breakpoints
    assert (point.access, point.condition) == ("write device_state", "turn > 2")
    assert points.place.value == ""
    (row,) = points.rows.children
    box, delete = row.children
    assert box.description == str(point)
    box.value = False
    assert not point.enabled
    delete.click()
    assert dbg.breakpoints == []
    assert points.rows.children == ()
    assert failures == []


def test_hits_are_shown_and_breakpoints_that_others_add(dbg, failures):
    points = BreakpointList(dbg, failed(failures))
    dbg.add(place_of("vfio_save_setup"))
    dbg.finish()
    points.update()
    assert "1 hits" in points.rows.children[0].children[0].description


def test_what_is_no_place_is_told(dbg, failures):
    points = BreakpointList(dbg, failed(failures))
    for text in ("no such place", "'unbalanced", ""):
        points.place.value = text
        points.button.click()
    assert [verb for verb, _ in failures] == ["break"] * 3
    assert dbg.breakpoints == []
    assert points.place.value == ""


def test_every_suggested_place_is_one():
    for text in PLACES:
        place_of(text)


# Faults


def test_a_fault_is_switched_on_and_off(dbg, failures):
    switch = FaultSwitch(dbg, failed(failures))
    switch.device.value = dbg.faulty["source", "a"]
    for text in FAULTS:
        switch.fault.value = text
        switch.switch.click()
    assert failures == []
    assert len(dbg.faulty["source", "a"].faults) == len(FAULTS)
    assert dbg.faulty["destination", "b"].faults == ()
    for _ in FAULTS:
        switch.rows.children[0].children[1].click()
    assert dbg.faulty["source", "a"].faults == ()
    assert switch.rows.children == ()


def test_faults_of_the_address_are_there_to_be_switched_off(failures):
    debugger = new_debugger("&fault=errno:EIO@pending_bytes#3&fault=data_offset:0x20")
    switch = FaultSwitch(debugger, failed(failures))
    labels = [row.children[0].value for row in switch.rows.children]
    assert labels == ["errno:EIO@pending_bytes#3", "data_offset: forced by the address"]
    switch.rows.children[0].children[1].click()
    assert len(switch.device.value.faults) == 1
    debugger.close()


def test_what_is_no_fault_is_told(dbg, failures):
    switch = FaultSwitch(dbg, failed(failures))
    switch.fault.value = "nonsense"
    switch.switch.click()
    assert failures[0][0] == "fault"
    assert switch.fault.value == "nonsense"


def test_without_an_emulated_device_it_says_so(dbg, failures):
    dbg.finish()
    switch = FaultSwitch(vfiokit.replay(dbg.recording), failed(failures))
    assert "there is none" in switch.widget.children[0].value


# Keys and buttons


def test_a_key_does_what_it_stands_for_and_nothing_else_does_anything():
    pressed = []
    keys = Keys({"s": lambda: pressed.append("s")})
    assert keys.names == ["s"]
    for content in ({"key": "s"}, {"key": "x"}, {"other": "s"}, "s", None, {"key": ["s"]}):
        keys._pressed(keys, content, [])
    assert pressed == ["s"]


def test_buttons_can_be_pressed_when_they_can_do_something():
    pressed = []
    toolbar = Toolbar({name: lambda name=name: pressed.append(name) for name, *_ in VERBS}, pressed.append)
    toolbar.allow(busy=False, ended=False)
    assert toolbar.buttons["Pause"].disabled
    toolbar.buttons["Step"].click()
    toolbar.place.value = "turn 3"
    toolbar.until.click()
    assert pressed == ["Step", "turn 3"]
    toolbar.allow(busy=True, ended=False)
    able = {name for name, button in toolbar.buttons.items() if not button.disabled}
    assert able == {"Pause"}
    toolbar.allow(busy=False, ended=True)
    assert all(button.disabled for button in (*toolbar.buttons.values(), toolbar.until))


def test_every_button_says_what_it_does_and_its_key():
    for name, _, key, told in VERBS:
        assert told
        assert not key or f"({key})" in told, name
