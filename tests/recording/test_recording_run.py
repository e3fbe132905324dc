"""A recorded migration: what the tables say, and that the same flows run again from it."""

import errno
from collections import Counter

import numpy as np
import pytest
from recorded_world import Player, World

from vfiokit import accesses as a
from vfiokit.clock import SimulatedClock
from vfiokit.errors import (
    AccessError,
    MigrationFailedError,
    RecordingError,
    RuleError,
    StreamCutError,
    VfioError,
)
from vfiokit.recording import TABLES, Recorder, Recording
from vfiokit.recording.schema import BESIDE
from vfiokit.runner import StarvedError, run
from vfiokit.trace import load
from vfiokit.uapi.info import Area, Info, Region
from vfiokit.vmm.incoming import migrate_in
from vfiokit.vmm.memory import layout
from vfiokit.vmm.outgoing import Parameters, migrate_out
from vfiokit.vmm.vm import Vm


@pytest.fixture(scope="module", params=[False, True], ids=["bare", "with-data"])
def recorded(request):
    recording = Recording(with_data=request.param)
    world = World(recording)
    world.migrate()
    yield recording, world
    world.close()


def replay(recording, side):
    """Run the side's flows from the recording; return how many accesses were played."""
    player = Player(recording, side)
    vm = Vm(layout(4 << 20))
    run(vm.plug("dev0", pci=True), player)
    if side == "source":
        run(vm.start(), player)
        parameters = Parameters(downtime_limit_ns=20_000_000)
        run(migrate_out(vm, parameters, transferred=lambda: player.transferred), player)
    else:
        run(migrate_in(vm), player)
        run(vm.start(), player)
    assert next(player.steps, None) is None
    return player.played


def test_the_same_flows_run_from_the_recording(recorded, tmp_path):
    recording, _ = recorded
    played = replay(recording, "source") + replay(recording, "destination")
    assert played == recording.seq + 1
    recording.save(tmp_path / "x.vfk")
    loaded = Recording.load(tmp_path / "x.vfk")
    assert replay(loaded, "source") + replay(loaded, "destination") == played


def test_numbers_run_over_all_tables(recorded):
    recording, _ = recorded
    seqs = [recording.tables[name].column("seq") for name in TABLES if name not in BESIDE]
    assert sorted(np.concatenate(seqs).tolist()) == list(range(recording.seq + 1))
    for table in recording.tables.values():
        assert (np.diff(table.column("seq").astype(np.int64)) >= 0).all()
        assert len(table.column("time_ns")) == len(table)


def test_bulk_data_is_kept_when_asked_for(recorded):
    recording, world = recorded
    with_data = recording.metadata["with_data"] == "yes"
    rows = recording.accesses.to_pandas()
    moved = rows[rows.kind.isin(["ReadData", "WriteData", "Put", "Take", "ReadPages"])]
    bulk = moved[moved["size"] >= 4096]
    assert len(bulk) > 5
    assert bulk.hash.notna().all()
    assert bulk.data.notna().all() == with_data
    small = moved[moved["size"] < 4096]
    assert small.hash.isna().all()
    assert small.data.notna().all()
    assert [len(data) for data in small.data] == small["size"].tolist()
    put = rows[(rows.side == "source") & (rows.kind == "Put")]
    assert put["size"].sum() == world.pipe.position
    if with_data:
        taken = rows[(rows.side == "destination") & (rows.kind == "Take")]
        assert b"".join(put.data) == b"".join(taken.data)


def test_events_come_back_as_the_tracer_saw_them(recorded):
    recording, world = recorded
    found = list(recording.records(side="source"))
    assert [(r.name, r.args) for r in found] == [(r.name, r.args) for r in world.tracer]
    assert [r.text for r in found] == [r.text for r in world.tracer]
    assert len(found) > 20


def test_what_the_migration_knew(recorded):
    recording, _ = recorded
    last = recording.samples[-1]
    assert last.total == sum(size for _, size in last.pending)
    assert [name for name, _ in last.pending] == ["ram", "dev0"]
    machines = {(row.side, row.machine): row.state for row in recording.states}
    assert machines["source", "migration"] == "completed"
    syncs = [row for row in recording.bitmaps if row.kind == "sync"]
    assert syncs[0].block == "pc.ram"
    assert syncs[0].pages == 1024
    assert len(syncs[0].bitmap) == 128
    kinds = Counter(row.kind for row in recording.bitmaps)
    assert ("nonzero" in kinds) == (recording.metadata["with_data"] == "no")


def test_a_failed_migration_fails_alike_from_the_recording():
    recording = Recording()
    world = World(recording)
    inner = world.here.host.perform
    reads = Counter()

    class Fragile:
        def perform(self, access):
            if isinstance(access, a.Read) and access.field == "data_size":
                reads["data_size"] += 1
                if reads["data_size"] == 3:
                    raise AccessError(access, errno.EIO, rule="a rule", hint="a hint")
            return inner(access)

    world.recorders["source"] = Recorder(Fragile(), recording, "source", world.clock)
    with pytest.raises(MigrationFailedError, match="EIO") as first:
        world.migrate()
    world.close()
    with pytest.raises(MigrationFailedError) as again:
        replay(recording, "source")
    assert str(again.value) == str(first.value)
    failed = [row for row in recording.accesses if row.error is not None]
    assert [(row.error, row.errno, row.rule, row.hint) for row in failed] == [
        ("AccessError", errno.EIO, "a rule", "a hint")
    ]
    assert not recording.accesses.valid("value")[[row.seq for row in recording.accesses].index(failed[0].seq)]


ACCESSES = [
    (a.Read("dev0", 9, 8, 8, "pending_bytes"), (1 << 64) - 1),
    (a.Read("dev1", 9, 0, 4, "device_state"), 3),
    (a.Write("dev0", 9, (1 << 64) - 8, 8, "data_size", 1 << 63), None),
    (a.ReadData("dev0", 9, 4096, 3, None), b"abc"),
    (a.ReadData("dev0", 9, 4096, 3, 2), memoryview(b"abc")),
    (a.WriteData("dev0", 9, 4096, bytearray(b"xy"), 0), None),
    (a.Map("dev0", 9, 1, 0x1000, 0x2000), None),
    (a.Unmap("dev0", 9, 1, 0x1000, 0x2000), None),
    (a.Query("dev0"), Info(2, 10, 5)),
    (a.Query("dev0", 9), Region(9, 7, 1 << 40, 9 << 40, (Area(0, 4096),), (2, 1), True, (77,))),
    (a.Query("dev0", 3), Region(3, 0, 0)),
    (a.Reset("dev0"), None),
    (a.Put(b"", "nothing"), None),
    (a.Put(b"12345678", "word"), None),
    (a.Put(b"123456789", "more"), None),
    (a.Take(0, "nothing"), b""),
    (a.Take(4095, "much"), b"\0" * 4095),
    (a.ReadPages("pc.ram", (3,), 4096), b"\1" * 4096),
    (a.ReadPages("pc.ram", (3, 5, 100), 4096), bytes(4096) + b"\1" * 4096 + bytes(4096)),
    (a.ReadPages("pc.ram", (), 4096), b""),
    (a.WritePages("pc.ram", (7,), 4096, None), None),
    (a.WritePages("pc.ram", (7,), 4096, b"a" * 4096), None),
    (a.WritePages("pc.ram", (7, 9), 4096, b"a" * 8192), None),
    (a.WritePages("pc.ram", (7, 9), 4096, None), None),
    (a.MarkDirty("dev0", 5, 9, 4096, b"\xff\1"), None),
    (a.MarkDirty("dev0", 5, 9, 4096, None), None),
    (a.SyncLog("pc.ram"), b"\1\2\3"),
    (a.Now(), 1 << 62),
    (a.Wait(5), None),
    (a.Emit("an_event", ("dev0", -5, (1 << 64) - 1, None, 1)), None),
    (a.Emit("void", ()), None),
    (a.Say("dev0", "text – with anything\n"), None),
    (a.Enter("vm", "running"), None),
    (a.Sample(1, (("ram", 1 << 63), ("dev0", 2)), 3, 4.5, 5, 6, 7), None),
]


@pytest.mark.parametrize("saved", [False, True], ids=["live", "saved"])
def test_every_access_comes_back(saved, tmp_path):
    recording = Recording(with_data=True, metadata={"seed": "7"})
    for at, (access, result) in enumerate(ACCESSES):
        recording.access("source", access, result, None, at * 10, at)
    if saved:
        recording.save(tmp_path / "all.vfk")
        recording = Recording.load(tmp_path / "all.vfk")
        assert recording.metadata["seed"] == "7"
    steps = list(recording.steps("source"))
    assert len(steps) == len(ACCESSES) == recording.seq + 1
    for step, (access, result) in zip(steps, ACCESSES, strict=True):
        assert step.differs(access) is None
        assert step.exact
        assert step.kind == type(access).__name__
        if result is None:
            assert step.result is None
        else:
            assert step.result == result
            assert type(step.result) in (type(result), bytes)
        assert str(step.access) == str(access)
    assert [step.time_ns for step in steps] == [at * 10 for at in range(len(ACCESSES))]
    assert [kind for kind, _ in recording.results("source")] == [type(acc).__name__ for acc, _ in ACCESSES]
    assert list(recording.steps("destination")) == []


def test_a_step_says_in_what_an_access_differs():
    recording = Recording()
    for access, result in ACCESSES:
        recording.access("source", access, result, None, 0, 0)
    steps = list(recording.steps("source"))
    for step, (access, _) in zip(steps, ACCESSES, strict=True):
        other = ACCESSES[0][0] if not isinstance(access, a.Read) else ACCESSES[2][0]
        assert "recorded" in step.differs(other)
    assert "value differs" in steps[2].differs(a.Write("dev0", 9, (1 << 64) - 8, 8, "data_size", 5))
    assert "data differs" in steps[13].differs(a.Put(b"12345679", "word"))
    assert "data differs" in steps[22].differs(a.WritePages("pc.ram", (7, 9), 4096, b"a"))
    assert steps[22].differs(a.WritePages("pc.ram", (7, 9), 4096, b"b" * 8192)) is None  # was not kept
    assert "pages differs" in steps[18].differs(a.ReadPages("pc.ram", (3, 5, 101), 4096))


@pytest.mark.parametrize(
    "error",
    [
        AccessError(ACCESSES[0][0], errno.EBUSY, hint="try"),
        AccessError(ACCESSES[0][0], moved=3, rule="whole"),
        RuleError(ACCESSES[0][0], "is odd", rule="even"),
        StreamCutError(77, "8 bytes are due"),
        VfioError("anything"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("access", [access for access, _ in ACCESSES], ids=lambda acc: type(acc).__name__)
def test_errors_come_back_of_every_access(access, error):
    recording = Recording()
    recording.access("source", access, None, error, 1, 2)
    ((kind, found),) = recording.results("source")
    assert kind == type(access).__name__
    assert type(found) is type(error)
    assert str(found) == str(error)
    for name in ("errno", "moved", "position", "rule", "hint", "found"):
        if name != "found" or access is getattr(error, "access", None):
            assert getattr(found, name, "none") == getattr(error, name, "none")


def test_unknown_error_classes_come_back_as_the_root():
    class OddError(VfioError):
        pass

    recording = Recording()
    recording.access("source", a.Now(), None, OddError("odd"), 0, 0)
    ((_, found),) = recording.results("source")
    assert type(found) is VfioError
    assert found.message == "odd"


class Scripted:
    def __init__(self, *results):
        self.results = list(results)

    def perform(self, access):
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


def test_a_recorder_passes_everything_on_and_times_it():
    clock = SimulatedClock()
    recording = Recording()
    failure = AccessError(a.Now(), errno.EIO)

    class Slow(Scripted):
        def perform(self, access):
            clock.advance(5)
            return super().perform(access)

    recorder = Recorder(Slow(1, StarvedError(), failure, KeyboardInterrupt(), 2), recording, "source", clock)
    assert recorder.perform(a.Now()) == 1
    with pytest.raises(StarvedError):
        recorder.perform(a.Now())
    with pytest.raises(AccessError) as caught:
        recorder.perform(a.Now())
    assert caught.value is failure
    with pytest.raises(KeyboardInterrupt):
        recorder.perform(a.Now())
    assert recorder.perform(a.Now()) == 2
    rows = list(recording.accesses)
    assert [(row.value, row.error, row.time_ns, row.duration_ns) for row in rows] == [
        (1, None, 0, 5),
        (None, "AccessError", 10, 5),
        (2, None, 20, 5),
    ]


def test_live_windows_are_copied_at_once():
    recording = Recording(with_data=True)
    window = bytearray(b"first" * 1000)
    recording.access("source", a.ReadData("d", 9, 0, len(window), 0), memoryview(window), None, 0, 0)
    recording.access("source", a.Put(memoryview(window)[:5], "x"), None, None, 0, 0)
    window[:] = b"later" * 1000
    assert recording.accesses[0].data == b"first" * 1000
    assert recording.accesses[1].data == b"first"


@pytest.mark.parametrize(
    ("access", "result"),
    [
        (a.Read("d", 9, 0, 8, "x"), None),
        (a.Read("d", 9, 0, 8, "x"), 1 << 64),
        (a.Write("d", 9, 0, 8, "x", -1), None),
        (a.ReadData("d", 9, 0, 8, None), 5),
        (a.Take(8, "x"), None),
        (a.Put(None, "x"), None),
        (a.Wait(-1), None),
        ("no access", None),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(access, result):
    recording = Recording()
    with pytest.raises(RecordingError, match="cannot be recorded"):
        recording.access("source", access, result, None, 0, 0)
    recorder = Recorder(Scripted(result), recording, "source", SimulatedClock())
    with pytest.raises(RecordingError, match="cannot be recorded"):
        recorder.perform(access)
    recording.access("source", a.Now(), 7, None, 0, 0)
    assert [row.value for row in recording.accesses] == [7]


def test_without_hashes():
    recording = Recording(hash_data=False)
    recording.access("source", a.Put(bytes(5000), "x"), None, None, 0, 0)
    row = recording.accesses[0]
    assert (row.hash, row.data, row.size) == (None, None, 5000)


def test_tables_as_sequences():
    recording = Recording()
    for number in range(20_000):
        recording.access("source", a.Now(), number, None, number, 0)
    table = recording.accesses
    assert table[-1].value == 19_999
    assert [row.value for row in table[16_380:16_390]] == list(range(16_380, 16_390))
    assert [row.value for row in table[5:0:-2]] == [5, 3, 1]
    assert table.column("value").dtype == np.uint64
    assert table.column("kind")[0] == "Now"
    assert not table.valid("offset").any()
    assert (table.column("offset") == 0).all()
    with pytest.raises(IndexError):
        table[20_000]
    with pytest.raises(RecordingError, match="no column 'nothing'"):
        table.column("nothing")
    frame = table.to_pandas()
    assert frame["value"].dtype == "UInt64"
    assert frame["seq"].dtype == np.uint64
    assert frame["kind"].dtype == "category"
    assert "20000 rows" in repr(table)


def test_numbers_stay_exact_in_pandas():
    recording = Recording()
    big = (1 << 64) - 1
    recording.access("source", a.Read("d", 9, big, 8, "x"), big - 1, None, 0, 0)
    recording.access("source", a.Reset("d"), None, None, 0, 0)
    frame = recording.accesses.to_pandas()
    assert int(frame["value"][0]) == big - 1
    assert int(frame["offset"][0]) == big
    assert frame["value"].isna().tolist() == [False, True]


def test_events_of_another_set_are_not_formatted():
    recording = Recording()
    recording.access("source", a.Emit("no_such_event", (1,)), None, None, 0, 0)
    with pytest.raises(VfioError, match="no_such_event"):
        list(recording.records(load("v5")))


def test_nothing_heavy_is_imported_before_it_is_needed():
    import subprocess
    import sys

    code = (
        "import sys, vfiokit.recording as r; r.Recording(hash_data=False);"
        "print([m for m in ('numpy', 'pyarrow', 'pandas', 'xxhash') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_column_of_names_that_are_all_missing():
    recording = Recording()
    recording.access("source", a.Read("dev0", 9, 0, 4, "device_state"), 1, None, 0, 0)
    assert recording.accesses.column("error").tolist() == [None]
