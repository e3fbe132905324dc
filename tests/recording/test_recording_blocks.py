"""Where memory lies: recorded with the first access of each side, kept, and not needed to load."""

import pytest
from recorded_world import World

from vfiokit import accesses as a
from vfiokit.clock import SimulatedClock
from vfiokit.debugger import debug
from vfiokit.emulated import open_emulated
from vfiokit.errors import RecordingError
from vfiokit.recording import Recorder, Recording, Section
from vfiokit.side import Side
from vfiokit.vmm.memory import RamBlock

RAM = Section("ram", "pc.ram", 0, 4 << 20)


def sections(recording, side):
    return [
        Section(row.kind, row.name, row.address, row.size, row.page_size, row.device, row.why)
        for row in recording.blocks
        if row.side == side
    ]


def test_both_sides_of_a_migration_tell_of_their_memory(tmp_path):
    recording = Recording()
    world = World(recording)
    world.migrate()
    world.close()
    for side in ("source", "destination"):
        assert sections(recording, side) == [RAM, RAM._replace(kind="mapped", device="dev0")]
        first = next(step.seq for step in recording.steps(side))
        assert {row.seq for row in recording.blocks if row.side == side} == {first}
    recording.save(tmp_path / "x.vfk")
    loaded = Recording.load(tmp_path / "x.vfk")
    assert list(loaded.blocks) == list(recording.blocks)
    assert loaded.seq == recording.seq
    assert len(list(loaded.steps("source"))) == len(list(recording.steps("source")))


def test_a_debugging_session_tells_of_it():
    device = open_emulated("emulated:v5?state=64K&name=a")
    session = debug(device, memory=1 << 20)
    assert len(session.recording.blocks) == 0  # time begins with the first access
    session.step()
    assert sections(session.recording, "source") == [
        Section("ram", "pc.ram", 0, 1 << 20),
        Section("mapped", "pc.ram", 0, 1 << 20, device="a"),
    ]
    session.finish()
    assert len(session.recording.blocks) == 2
    session.close()


def test_the_hole_between_two_blocks_is_skipped(monkeypatch):
    blocks = (RamBlock("pc.ram", 0, 1 << 20), RamBlock("pc.ram.high", 3 << 20, 1 << 20))
    monkeypatch.setattr("vfiokit.side.layout", lambda size: blocks)
    with Side([], memory=2 << 20, clock=SimulatedClock()) as side:
        *ram, hole = side.sections
    assert [section.name for section in ram] == ["pc.ram", "pc.ram.high"]
    assert (hole.kind, hole.address, hole.size, hole.device) == ("skipped", 1 << 20, 2 << 20, None)
    assert "no RAM" in hole.why
    assert side.sections == ()  # closed, it has none
    with Side([], memory=0, clock=SimulatedClock()) as bare:
        assert bare.sections == ()


class Answers:
    def perform(self, access):
        return 7


def test_recorded_once_with_the_first_access():
    clock, recording = SimulatedClock(), Recording()
    recorder = Recorder(Answers(), recording, "source", clock, [RAM])
    perform = recorder.perform
    recording.access("destination", a.Now(), 1, None, 0, 0)
    clock.advance(50)
    assert [perform(a.Now()), perform(a.Now()), recorder.perform(a.Now())] == [7, 7, 7]
    assert [(row.seq, row.time_ns) for row in recording.blocks] == [(1, 50)]
    assert len(recording.accesses) == 4


def test_survives_a_killed_writer(tmp_path):
    recording = Recording(tmp_path / "open.vfk")
    recording.place("source", [RAM, Section("skipped", "bar", 1 << 63, 1 << 63, why="being sized")], 0)
    recording.flush()
    loaded = Recording.load(tmp_path / "open.vfk")
    assert loaded.seq == -1  # no access yet
    assert sections(loaded, "source")[1].address == 1 << 63
    assert list(loaded.results("source")) == []


def test_a_recording_without_the_table_loads(tmp_path):
    with Recording(tmp_path / "old.vfk") as recording:
        recording.access("source", a.Now(), 1, None, 0, 0)
    (tmp_path / "old.vfk" / "blocks.parquet").unlink()
    loaded = Recording.load(tmp_path / "old.vfk")
    assert len(loaded.blocks) == 0
    assert len(loaded.accesses) == 1


@pytest.mark.parametrize(
    "section",
    [
        RAM._replace(kind="rom"),
        RAM._replace(address=-4096),
        RAM._replace(size=1 << 65),
        RAM._replace(address=1 << 63, size=(1 << 63) + 1),
        RAM._replace(page_size=0),
    ],
)
def test_sections_that_cannot_be(section):
    recording = Recording()
    with pytest.raises(RecordingError, match="section"):
        recording.place("source", [section], 0)
    assert len(recording.blocks) == 0


def test_a_closed_recording_is_told_nothing():
    recording = Recording()
    recording.close()
    with pytest.raises(RecordingError, match="closed"):
        recording.place("source", [RAM], 0)
