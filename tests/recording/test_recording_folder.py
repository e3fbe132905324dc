"""On disk: closed, killed at any byte, hostile, foreign."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vfiokit import accesses as a
from vfiokit.errors import AccessError, RecordingError
from vfiokit.recording import TABLES, Recording
from vfiokit.recording.schema import arrow_schema


def fill(recording, first, stop):
    """One access of each table for every number."""
    for number in range(first, stop):
        recording.access("source", a.Read(f"dev{number % 3}", 9, 8, 8, f"r{number}"), number, None, number, 1)
        recording.access("source", a.Put(b"x" * (number % 20), "some"), None, None, number, 1)
        recording.access("source", a.Emit("event", (f"dev{number}", number)), None, None, number, 0)
        recording.access("destination", a.Enter("vm", f"state {number}"), None, None, number, 0)
        recording.access("source", a.SyncLog("ram"), bytes([number % 256] * 16), None, number, 0)
        recording.access("source", a.Say("dev0", f"message {number}"), None, None, number, 0)
        recording.access("source", a.Sample(number, (("ram", 1),), 0, 0.0, 0, 0, 0), None, None, number, 0)
        error = AccessError(a.Now(), 5) if number % 7 == 0 else None
        recording.access("source", a.Now(), number, error, number, 0)


EACH = 8


def test_closed_is_parquet_with_metadata(tmp_path):
    path = tmp_path / "run.vfk"
    with Recording(path, metadata={"seed": "7"}) as recording:
        fill(recording, 0, 50)
        recording.metadata["verdict"] = "converged"
    assert sorted(entry.name for entry in path.iterdir()) == sorted(f"{name}.parquet" for name in TABLES)
    assert len(recording.accesses) == 50 * 4  # can be read on
    recording.close()
    with pytest.raises(RecordingError, match="closed"):
        recording.access("source", a.Now(), 1, None, 0, 0)
    loaded = Recording.load(path)
    assert loaded.seq == recording.seq == 50 * EACH - 1
    assert loaded.metadata == recording.metadata
    assert loaded.metadata["verdict"] == "converged"
    assert {"format", "vfiokit", "python", "kernel", "created", "seed"} <= set(loaded.metadata)
    for name, table in loaded.tables.items():
        assert table.to_arrow().to_pylist() == recording.tables[name].to_arrow().to_pylist()
        assert pq.read_schema(path / f"{name}.parquet").metadata[b"seed"] == b"7"
    with pytest.raises(RecordingError, match="loaded"):
        loaded.access("source", a.Now(), 1, None, 0, 0)


def test_an_empty_recording(tmp_path):
    Recording(tmp_path / "empty.vfk").close()
    loaded = Recording.load(tmp_path / "empty.vfk")
    assert loaded.seq == -1
    assert list(loaded.results("source")) == []
    for table in loaded.tables.values():
        assert len(table) == 0
        assert list(table.to_pandas().columns) == [column.name for column in table.columns]
        for column in table.columns:
            assert len(table.column(column.name)) == len(table.valid(column.name)) == 0


def test_flushed_while_open(tmp_path):
    path = tmp_path / "open.vfk"
    recording = Recording(path)
    for part in range(5):
        fill(recording, part * 10, part * 10 + 10)
        recording.flush()
    fill(recording, 50, 60)
    other = Recording.load(path)
    assert other.seq == 50 * EACH - 1
    assert [row.value for row in other.accesses if row.kind == "Read"] == list(range(50))
    assert len(list(other.results("source"))) == 50 * (EACH - 1)
    recording.close()
    assert Recording.load(path).seq == 60 * EACH - 1


def test_flushed_by_itself(tmp_path):
    recording = Recording(tmp_path / "long.vfk")
    for number in range(40_000):
        recording.access("source", a.Now(), number, None, 0, 0)
    found = Recording.load(tmp_path / "long.vfk").accesses.column("value")
    assert found.tolist() == list(range(len(found)))
    assert len(found) >= 16_384
    recording.close()


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_recording_folder import fill
from vfiokit.recording import Recording
recording = Recording(sys.argv[1])
fill(recording, 0, 30)
recording.flush()
fill(recording, 30, 60)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed(tmp_path):
    path = tmp_path / "killed.vfk"
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), here], timeout=60)
    assert done.returncode == -signal.SIGKILL
    loaded = Recording.load(path)
    assert loaded.seq == 30 * EACH - 1
    assert len(list(loaded.steps("source"))) == 30 * (EACH - 1)
    assert len(loaded.bitmaps) == 30
    loaded.save(tmp_path / "mended.vfk")
    assert Recording.load(tmp_path / "mended.vfk").seq == loaded.seq


@pytest.mark.parametrize("table", ["accesses", "events", "bitmaps", "samples"])
def test_cut_at_every_byte(tmp_path, table):
    path = tmp_path / "cut.vfk"
    recording = Recording(path)
    ends = []
    for part in range(2):
        fill(recording, part, part + 1)
        recording.flush()
        ends.append((os.path.getsize(path / f"{table}.arrows"), len(recording.tables[table])))
    recording.flush()
    alone = tmp_path / "alone.vfk"
    alone.mkdir()
    file = alone / f"{table}.arrows"
    shutil.copy(path / f"{table}.arrows", file)
    rows = recording.tables[table].to_arrow().to_pylist()
    schema_ends = None
    for size in range(os.path.getsize(file), -1, -1):
        os.truncate(file, size)
        flushed = max((count for end, count in ends if end <= size), default=0)
        try:
            found = Recording.load(alone).tables[table].to_arrow()
        except RecordingError as error:
            assert "no table can be read" in str(error)  # not even the schema was written
            schema_ends = schema_ends or size
            continue
        assert schema_ends is None
        assert len(found) >= flushed
        assert found.to_pylist() == rows[: len(found)]
    assert 500 < schema_ends < ends[0][0]
    recording.close()


def test_killed_while_closing(tmp_path):
    """Any number of tables may be Parquet already, and one half written."""
    path = tmp_path / "x.vfk"
    recording = Recording(path)
    fill(recording, 0, 10)
    recording.flush()
    shutil.copytree(path, tmp_path / "streams")
    recording.close()
    for count in range(len(TABLES) + 1):
        mixed = tmp_path / f"mixed{count}"
        shutil.copytree(tmp_path / "streams", mixed)
        for name in list(TABLES)[:count]:
            shutil.copy(path / f"{name}.parquet", mixed)
        (mixed / "accesses.parquet.new").write_bytes(b"PAR1")
        loaded = Recording.load(mixed)
        assert [kind for kind, _ in loaded.results("source")] == [k for k, _ in recording.results("source")]


def test_a_hole_between_tables_ends_the_replay(tmp_path):
    path = tmp_path / "x.vfk"
    with Recording(path) as recording:
        fill(recording, 0, 10)
    events = pq.read_table(path / "events.parquet")
    pq.write_table(events.slice(0, 5), path / "events.parquet")
    assert len(list(Recording.load(path).steps("source"))) == 5 * (EACH - 1) + 2


# Hostile and foreign


def foreign(path, schema, rows=None):
    path.mkdir()
    table = pa.Table.from_pylist(rows or [], schema=schema)
    pq.write_table(table, path / "accesses.parquet")
    return path


FORMAT = {"format": "1"}


@pytest.mark.parametrize("suffix", [".parquet", ".arrows"])
@pytest.mark.parametrize("data", [b"PAR1", b"\xff\xff\xff\xff\x08\0\0\0junkjunk", b"hello" * 100, b"\0" * 64])
def test_junk_is_refused(tmp_path, suffix, data):
    (tmp_path / ("accesses" + suffix)).write_bytes(data)
    with pytest.raises(RecordingError):
        Recording.load(tmp_path)


def test_foreign_folders_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="there is nothing"):
        Recording.load(tmp_path / "no.vfk")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordingError, match="no folder"):
        Recording.load(tmp_path / "file")
    (tmp_path / "bare").mkdir()
    with pytest.raises(RecordingError, match="no table"):
        Recording.load(tmp_path / "bare")
    plain = pa.schema([("seq", pa.uint64())])
    with pytest.raises(RecordingError, match="not a recording"):
        Recording.load(foreign(tmp_path / "plain", plain))
    with pytest.raises(RecordingError, match="its columns are not those of accesses"):
        Recording.load(foreign(tmp_path / "other", plain.with_metadata(FORMAT)))
    newer = arrow_schema("accesses").with_metadata({"format": "2", "vfiokit": "9.9"})
    with pytest.raises(RecordingError, match=r"format '2'; made by vfiokit 9\.9"):
        Recording.load(foreign(tmp_path / "newer", newer))


def bad_rows():
    """Rows that no recording has, table by table."""
    base = dict.fromkeys(arrow_schema("accesses").names)
    base |= {"seq": 0, "time_ns": 0, "duration_ns": 0, "side": "source"}
    yield "accesses", base | {"kind": "Nonsense"}
    yield "accesses", base | {"kind": "Read"}
    yield "accesses", base | {"kind": "MarkDirty", "device": "d"}
    yield "accesses", base | {"kind": "SyncLog", "what": "ram"}
    yield "accesses", base | {"kind": "Take", "size": 1 << 63, "what": "x"}
    yield "accesses", base | {"kind": "Query", "device": "d", "info": "{"}
    yield "accesses", base | {"kind": "Query", "device": "d", "info": "[]"}
    yield "accesses", base | {"kind": "Query", "device": "d", "info": '{"type": "Region"}'}
    yield "accesses", base | {"kind": "ReadPages", "what": "r", "offset": 1, "size": 1, "value": 0}
    event = {"seq": 0, "time_ns": 0, "thread": 1, "side": "source", "name": "e"}
    yield "events", event | {"signature": "QQ", "args": [1], "texts": []}
    yield "events", event | {"signature": "z", "args": [1], "texts": []}


@pytest.mark.parametrize(("table", "row"), list(bad_rows()))
def test_rows_that_cannot_be_are_refused_in_replay(tmp_path, table, row):
    schema = arrow_schema(table).with_metadata(FORMAT)
    pq.write_table(pa.Table.from_pylist([row], schema=schema), tmp_path / f"{table}.parquet")
    recording = Recording.load(tmp_path)
    if row.get("kind") == "Read":  # nulls where numbers are due: whatever is made of it is no crash
        list(recording.steps("source"))
        return
    with pytest.raises(RecordingError):
        list(recording.steps("source"))


@pytest.mark.parametrize("closed", [False, True], ids=["stream", "parquet"])
def test_any_byte_may_be_wrong(tmp_path, closed):
    """A damaged file loads, or is refused with a typed error; nothing else."""
    path = tmp_path / "x.vfk"
    recording = Recording(path)
    fill(recording, 0, 20)
    recording.flush()
    if closed:
        recording.close()
    file = path / ("accesses.parquet" if closed else "accesses.arrows")
    good = file.read_bytes()
    generator = random.Random(1)
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(generator.choice((1, 1, 4))):
            bad[generator.randrange(len(bad))] = generator.randrange(256)
        file.write_bytes(bad)
        try:
            loaded = Recording.load(path)
            loaded.accesses.to_pandas()
            list(loaded.steps("source"))
        except RecordingError:
            refused += 1
    assert refused
    recording.close()


# Where it may be written


def test_a_folder_with_something_in_it_is_not_recorded_into(tmp_path):
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(RecordingError, match="not empty"):
        Recording(tmp_path)
    with pytest.raises(RecordingError, match="letter"):
        Recording().save(tmp_path)
    with pytest.raises(RecordingError, match="make the folder"):
        Recording(tmp_path / "letter" / "x.vfk")


def test_saving_again_replaces(tmp_path):
    recording = Recording()
    fill(recording, 0, 3)
    recording.save(tmp_path / "x.vfk")
    fill(recording, 3, 5)
    recording.save(tmp_path / "x.vfk")
    assert Recording.load(tmp_path / "x.vfk").seq == 5 * EACH - 1
    live = Recording(tmp_path / "live.vfk")
    with pytest.raises(RecordingError, match="being written"):
        live.save(tmp_path / "live.vfk")
    live.close()


def test_a_disk_that_refuses_does_not_end_the_run(tmp_path):
    recording = Recording(tmp_path / "x.vfk")
    for file in recording._folder._files.values():
        file.close()  # what follows cannot be written
    for number in range(40_000):
        recording.access("source", a.Now(), number, None, 0, 0)
    with pytest.raises(RecordingError, match="append"):
        recording.flush()
    assert len(recording.accesses) == 40_000


def test_an_open_recording_can_be_read_before_the_first_flush(tmp_path):
    recording = Recording(tmp_path / "live.vfk", metadata={"who": "me"})
    seen = Recording.load(tmp_path / "live.vfk")
    assert (len(seen.accesses), seen.metadata["who"]) == (0, "me")
    recording.close()
