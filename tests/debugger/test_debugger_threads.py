"""One thread at a time runs a debugger; others may pause it, look, and switch faults."""

import threading

import pytest

import vfiokit
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
from vfiokit.debugger import Breakpoint
from vfiokit.emulated import parse_fault
from vfiokit.errors import StateError, VfioError

WORK = "emulated:v5?state=256K&chunk=64K&dirty=1M/s&dma=1M/s"


@pytest.fixture
def dbg():
    clock = SimulatedClock()
    ends = [open_device(f"{WORK}&name={name}", clock=clock) for name in "ab"]
    debugger = vfiokit.debug(*ends, memory=1 << 20)
    yield debugger
    debugger.close()


def run_until_held(dbg):
    """Run in a thread that is held at an access; return what lets it go, the thread and what came."""
    held, go, came = threading.Event(), threading.Event(), []

    def hold(_point, _moment):
        held.set()
        assert go.wait(30)

    dbg.add(Breakpoint(event="vfio_save_setup", actions=[hold], stops=False))
    thread = threading.Thread(target=lambda: came.append(dbg.finish()))
    thread.start()
    assert held.wait(30)
    return go, thread, came


def test_what_runs_in_another_thread_can_be_paused_and_goes_on(dbg):
    go, thread, came = run_until_held(dbg)
    dbg.pause()
    go.set()
    thread.join(30)
    assert came[0].reason == "paused"
    assert not dbg.ended
    assert dbg.next_access is not None
    assert dbg.finish().reason == "ended"


@pytest.mark.parametrize("verb", ["step", "next", "finish", "cancel"])
def test_a_verb_is_refused_while_another_thread_runs(dbg, verb):
    go, thread, came = run_until_held(dbg)
    before = len(dbg.history)
    with pytest.raises(StateError, match="another thread"):
        getattr(dbg, verb)()
    assert len(dbg.history) == before
    go.set()
    thread.join(30)
    assert came[0].reason == "ended"


def test_a_place_to_run_to_that_is_refused_stops_nobody_else(dbg):
    go, thread, came = run_until_held(dbg)
    points = list(dbg.breakpoints)

    class Watched(list):
        def append(self, point):
            raise AssertionError("it was there for the other thread to stop at")

    dbg.breakpoints = Watched(points)
    with pytest.raises(StateError, match="another thread"):
        dbg.until("vfio_save_iterate")
    assert dbg.breakpoints == points
    go.set()
    thread.join(30)
    assert came[0].reason == "ended"


def test_a_pause_when_nothing_runs_does_not_stop_the_next_run(dbg):
    dbg.pause()
    assert dbg.finish().reason == "ended"


def test_a_pace_is_kept_between_accesses_and_ends_with_a_pause(dbg):
    dbg.pace = 3600.0  # the second access would come in an hour
    came = []
    thread = threading.Thread(target=lambda: came.append(dbg.finish()))
    thread.start()
    while len(dbg.history) < 1:
        thread.join(0.001)
    while thread.is_alive():
        dbg.pause()
        thread.join(0.001)
    assert came[0].reason == "paused"
    assert len(dbg.history) == 1


def test_a_fault_is_switched_on_and_off_while_a_device_is_stepped(dbg):
    device = dbg.faulty["source", "a"]
    dbg.until("vfio_save_setup")
    device.faults = (parse_fault("errno:EIO@pending_bytes"),)
    stop = dbg.finish()
    assert stop.reason == "failed"
    assert isinstance(stop.error, VfioError)
    assert "EIO" in str(stop.error)
    device.faults = ()
    assert device.pread(9, 0x18, 8)
