"""Recordings of sessions: they load, and a replay reaches the same point, wherever the session ended."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vfiokit
from vfiokit.clock import SimulatedClock
from vfiokit.debugger import ReplayDifferenceError
from vfiokit.debugger.replaying import version_note
from vfiokit.errors import MigrationCancelledError, MigrationFailedError, RecordingError
from vfiokit.protocol.v5 import AS_POSTED, INTERFACE
from vfiokit.vmm.outgoing import Parameters

LIMITS = Parameters(downtime_limit_ns=20_000_000, bandwidth=50 << 20)


def session(profile=INTERFACE, **options):
    from vfiokit.addresses import open_device

    clock = SimulatedClock()
    source = open_device("emulated:v5?state=256K&chunk=64K&dirty=1M/s&dma=1M/s&irq=msix&name=a", clock=clock)
    there = open_device("emulated:v5?state=256K&fill=zero&name=b", clock=clock)
    return vfiokit.debug(source, there, memory=1 << 20, parameters=LIMITS, profile=profile, **options)


@pytest.mark.parametrize("profile", [INTERFACE, AS_POSTED], ids=lambda profile: profile.name)
def test_a_whole_session_from_a_file(tmp_path, profile):
    dbg = session(profile, record=tmp_path / "x.vfk")
    assert dbg.finish().reason == "ended"
    dbg.close()
    again = vfiokit.replay(tmp_path / "x.vfk")
    assert again.finish().reason == "ended"
    assert again.moment.sides == dbg.moment.sides
    assert [fact.text for fact in again.history] == [fact.text for fact in dbg.history]


def test_a_replay_steps_and_stops_and_shows_earlier_moments():
    dbg = session()
    dbg.finish()
    again = vfiokit.replay(dbg.recording)
    assert again.next_access is not None
    stop = again.until("vfio_save_iterate")
    assert stop.breakpoint is not None
    here = again.moment.count
    assert again.at(here) == again.moment
    assert again.at(100) == dbg.at(100)
    assert again.where("source")[0].function == "source_flow"


@settings(max_examples=25)
@given(st.integers(1, 1200), st.sampled_from(["cancel", "errno", "value"]))
def test_wherever_it_is_broken_off(tmp_path_factory, count, how):
    path = tmp_path_factory.mktemp("r") / "x.vfk"
    dbg = session()
    dbg.step(count=count)
    if dbg.ends["source"].done:
        return
    if how == "cancel":
        dbg.cancel()
    elif how == "errno":
        dbg.step("source", errno=errno.EIO)
    else:
        dbg.until(access="read pending_bytes", side="source")
        if dbg.ends["source"].done:
            return
        dbg.step("source", value=1 << 40)
    stop = dbg.finish()
    dbg.recording.save(path)
    again = vfiokit.replay(path)
    assert again.finish().reason == stop.reason
    assert again.moment.sides == dbg.moment.sides
    assert [fact.error for fact in again.history] == [fact.error for fact in dbg.history]
    if isinstance(dbg.ends["source"].error, (MigrationFailedError, MigrationCancelledError)):
        assert dbg.moment.side("source").device("a").state in (0, 1)


def test_a_session_that_is_not_over_replays_to_where_it_is():
    dbg = session()
    dbg.step(count=500)
    again = vfiokit.replay(dbg.recording)
    again.step(count=500)
    assert again.moment.sides == dbg.moment.sides
    stop = again.finish()
    assert isinstance(stop.error, ReplayDifferenceError)
    assert "nothing more" in str(stop.error)


def test_it_stops_at_the_first_access_that_differs(tmp_path):
    dbg = session()
    dbg.finish()
    dbg.recording.metadata["quirks"] = "saving-written-twice"
    dbg.recording.save(tmp_path / "x.vfk")
    stop = vfiokit.replay(tmp_path / "x.vfk").finish()
    error = stop.error
    assert isinstance(error, ReplayDifferenceError)
    assert error.asked.field == "device_state"
    assert "differs at access" in str(error)


def test_another_version_says_so(tmp_path):
    dbg = session()
    dbg.step(count=10)
    assert version_note(dbg.recording) == ""
    dbg.recording.metadata["vfiokit"] = "0.0.9"
    assert "made by vfiokit 0.0.9" in version_note(dbg.recording)


def test_what_is_no_session_is_refused(tmp_path):
    vfiokit.Recording().save(tmp_path / "empty.vfk")
    with pytest.raises(RecordingError, match="how it was made"):
        vfiokit.replay(tmp_path / "empty.vfk")
    with pytest.raises(RecordingError):
        vfiokit.replay(tmp_path)


@pytest.mark.parametrize("count", [60, 600, 900])
def test_killed_in_the_middle_it_replays_what_was_flushed(tmp_path, count):
    script = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_replay import session\n"
        "dbg = session(record=sys.argv[1])\n"
        f"dbg.step(count={count})\n"
        "dbg.recording.flush()\n"
        "dbg.step(count=50)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "x.vfk"
    folder = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", script, str(path), folder], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = vfiokit.replay(path)
    again.step(count=count)
    alive = session()
    alive.step(count=count)
    assert again.moment.sides == alive.moment.sides


def test_what_ended_a_flow_is_kept_with_its_rule_be_no_access_refused():
    dbg = session()
    dbg.until(access="read data_offset")
    dbg.step(value=0x20)  # comes back well, and breaks a rule
    assert dbg.finish().reason == "failed"
    source, *_ = [row for row in dbg.recording.failures if row.side == "source"]
    assert source.error == "MigrationFailedError"
    assert "data_offset 0x20" in source.message
    assert "0x40" in source.rule
    assert not any(row.side == "source" and row.error for row in dbg.recording.accesses)
