"""Migrations record what happens in them when asked to, and what they recorded can be replayed."""

import pytest

import vfiokit
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
from vfiokit.errors import MigrationFailedError, RecordingError
from vfiokit.recording import Recording, recordings

WORK = "emulated:v5?state=256K&chunk=64K&dirty=1M/s&dma=1M/s"
MEMORY = 1 << 20


def ends(fault=""):
    clock = SimulatedClock()
    return [open_device(f"{WORK}{more}&name={name}", clock=clock) for name, more in (("a", fault), ("b", ""))]


def test_a_migration_is_recorded_into_a_folder_and_replayed(tmp_path):
    report = vfiokit.migrate(*ends(), memory=MEMORY, record=tmp_path / "run.vfk")
    recording = Recording.load(tmp_path / "run.vfk")
    assert {row.side for row in recording.states} == {"source", "destination"}
    assert sum(1 for _ in recording.samples) == report.outgoing.turns
    assert vfiokit.replay(recording).finish().reason == "ended"


def test_comparing_the_ends_is_not_part_of_the_recording():
    records = []
    for verify in (True, False):
        recording = Recording()
        vfiokit.migrate(*ends(), memory=MEMORY, verify=verify, record=recording)
        records.append((recording.seq, len(recording.accesses), len(recording.events)))
    assert records[0] == records[1]


def test_a_recording_that_was_given_stays_open():
    recording = Recording()
    vfiokit.migrate(*ends(), memory=MEMORY, record=recording)
    first = recording.seq
    vfiokit.migrate(*ends(), memory=MEMORY, record=recording)
    assert recording.seq > first > 0
    assert recording.metadata["source"] == "a"


def test_a_migration_that_fails_keeps_what_was_recorded(tmp_path):
    with pytest.raises(MigrationFailedError):
        vfiokit.migrate(*ends("&fault=data_offset:0x20"), memory=MEMORY, record=tmp_path / "failed.vfk")
    kept = Recording.load(tmp_path / "failed.vfk")
    assert "failed" in [row.state for row in kept.states]
    (failure,) = kept.failures
    assert (failure.side, failure.error) == (None, "MigrationFailedError")
    assert "data_offset 0x20" in failure.message
    assert "0x40" in failure.rule


def test_saving_and_loading_are_recorded_each(tmp_path):
    source, there = ends()
    with recordings() as made:
        vfiokit.save_file(source, tmp_path / "stream", memory=MEMORY)
        vfiokit.load_file(tmp_path / "stream", there, memory=MEMORY)
    saved, loaded = made
    assert {row.side for row in saved.states} == {"source"}
    assert {row.side for row in loaded.states} == {"destination"}
    for recording in made:
        assert vfiokit.replay(recording).finish().reason == "ended"


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_done(tmp_path):
    (tmp_path / "taken.vfk").mkdir()
    (tmp_path / "taken.vfk" / "file").touch()
    source, there = ends()
    with pytest.raises(RecordingError):
        vfiokit.migrate(source, there, memory=MEMORY, record=tmp_path / "taken.vfk")
