"""One thread appends while another reads: what is seen is always a prefix, whole and growing."""

import sys
import threading

import numpy as np
import pytest

from vfiokit import accesses as a
from vfiokit.recording import Recording


@pytest.fixture
def nervous():
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Device(threading.Thread):
    """Appends until it is told that it was enough; at least 20000 reads, at most 200000."""

    def __init__(self, recording):
        super().__init__(name="device")
        self.recording = recording
        self.began = threading.Event()
        self.enough = threading.Event()
        self.count = 0

    def run(self):
        record = self.recording.access
        while self.count < 20_000 or (not self.enough.is_set() and self.count < 200_000):
            number = self.count
            device, what = f"dev{number % 50}", f"r{number % 999}"
            record("source", a.Read(device, 9, number, 8, what), number, None, number, 1)
            if not number % 10:
                record("source", a.Put(b"%06d" % number * 3, "item"), None, None, number, 1)
                record("source", a.Emit("event", (f"dev{number}", number)), None, None, number, 0)
            if not number % 100:
                record("source", a.SyncLog("ram"), b"%06d" % number, None, number, 1)
            self.count += 1
            self.began.set()


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_a_reader_sees_whole_prefixes(nervous, tmp_path, on_disk):
    recording = Recording(tmp_path / "live.vfk" if on_disk else None)
    writer = Device(recording)
    writer.start()
    writer.began.wait()
    last = 0
    try:
        for _ in range(4):
            last = check(recording, last)
            if on_disk:
                recording.flush()
                assert check(Recording.load(tmp_path / "live.vfk"), last) > 0
    finally:
        writer.enough.set()
        writer.join()
    count = writer.count
    assert check(recording, last) == count
    assert recording.seq + 1 == count + 2 * -(-count // 10) + -(-count // 100)
    recording.close()


def check(recording, least):
    """Hold all that is there against what the writer appends; return how many reads there are."""
    rows = recording.accesses.to_pandas()
    reads = rows[rows.kind == "Read"]
    numbers = np.arange(len(reads))
    assert len(reads) >= least
    assert (reads.value.to_numpy(np.int64) == numbers).all()
    assert (reads.offset.to_numpy(np.int64) == numbers).all()
    assert (np.diff(rows.seq.to_numpy().astype(np.int64)) > 0).all()
    step = max(1, len(reads) // 20)
    for number in range(0, len(reads), step):
        assert reads.device.iloc[number] == f"dev{number % 50}"
        assert reads.what.iloc[number] == f"r{number % 999}"
    puts = rows[rows.kind == "Put"]
    assert [bytes(data) for data in puts.data] == [b"%06d" % (n * 10) * 3 for n in range(len(puts))]
    events = recording.events.to_arrow().to_pylist()
    assert [(event["args"], event["texts"]) for event in events] == [
        ([n * 10], [f"dev{n * 10}"]) for n in range(len(events))
    ]
    syncs = recording.bitmaps.column("bitmap")
    assert syncs.tolist() == [b"%06d" % (n * 100) for n in range(len(syncs))]
    return len(reads)


def test_two_readers(nervous):
    recording = Recording()
    writer = Device(recording)
    wrong, looks = [], []

    def read():
        seen = 0
        while len(looks) < 10 and writer.is_alive():
            values = recording.accesses.column("seq")
            if len(values) < seen or (np.diff(values.astype(np.int64)) <= 0).any():
                wrong.append(len(values))
            if len(values) > seen:
                looks.append(len(values))
            seen = len(values)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (writer, *readers):
        thread.start()
    for reader in readers:
        reader.join()
    writer.enough.set()
    writer.join()
    assert not wrong
    assert looks
    assert len(recording.accesses) == writer.count + -(-writer.count // 10) + -(-writer.count // 100)
