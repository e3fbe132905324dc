"""Looks at a live table: each row is converted once, whatever is appended and flushed between them."""

import itertools
import threading

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiokit import accesses as a
from vfiokit.errors import AccessError
from vfiokit.recording import Recording
from vfiokit.recording.schema import arrow_schema
from vfiokit.recording.stores import CHUNK, RowStore


def append(recording, number):
    """One row in each of accesses, events and bitmaps; names come as they go."""
    error = AccessError(a.Now(), 5) if number % 11 == 0 else None
    access = [a.Read(f"dev{number % 3}", 9, 8, 8, f"r{number // 5}"), a.Put(b"%06d" % number * 3, "item")][
        number % 2
    ]
    recording.access("source", access, number if number % 2 == 0 else None, error, number, 1)
    recording.access("source", a.Emit(f"event{number % 7}", (f"x{number}", number)), None, None, number, 0)
    recording.access("source", a.SyncLog("ram"), b"%08d" % number, None, number, 1)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["look", "flush", "both"])), max_size=12))
def test_looks_change_nothing(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("looks") / "x.vfk"
    looked, other = Recording(path), Recording()
    number = 0
    for count, then in steps:
        for _ in range(count):
            append(looked, number)
            append(other, number)
            number += 1
        if then != "flush":
            assert [len(table.to_arrow()) for table in looked.tables.values()] == [
                len(table) for table in other.tables.values()
            ]
        if then != "look":
            looked.flush()
            for name, table in Recording.load(path).tables.items():
                assert len(table) == len(other.tables[name])
    for name, table in other.tables.items():
        whole = looked.tables[name].to_arrow()
        assert whole.schema == arrow_schema(name)
        assert whole.to_pylist() == table.to_arrow().to_pylist()
    looked.close()
    for name, table in Recording.load(path).tables.items():
        assert table.to_arrow().to_pylist() == other.tables[name].to_arrow().to_pylist()


def row(number):
    return (number, number, "source", f"machine{number % 5}", f"state{number % 3}")


def test_a_row_is_converted_once_and_the_pieces_stay_few():
    seen = []

    def prepare(row):
        seen.append(row[0])
        return row

    store = RowStore("states", threading.RLock(), prepare)
    most = 0
    for number in range(CHUNK + 300):
        store.append(row(number))
        if number % 7 == 0:
            table = store.arrow()
            assert table.num_rows == number + 1
            assert store.arrow() is table  # nothing new costs nothing
            most = max(most, table["seq"].num_chunks)
    assert store.arrow()["seq"].to_pylist() == list(range(CHUNK + 300))
    assert seen == list(range(CHUNK + 300))
    assert most <= 16
    assert store.arrow().slice(0, CHUNK)["seq"].num_chunks == 1  # a full chunk is one piece
    assert set(store.arrow()["state"].combine_chunks().dictionary.to_pylist()) == {
        "state0",
        "state1",
        "state2",
    }


def test_accesses_with_data_are_converted_once(monkeypatch):
    recording = Recording()
    store = recording._stores["accesses"]
    converted, convert = [], store.convert
    monkeypatch.setattr(
        store, "convert", lambda start, stop: converted.append((start, stop)) or convert(start, stop)
    )
    for number in range(CHUNK + 1000):
        recording.access("source", a.Put(b"%06d" % number * 3, f"item{number % 9}"), None, None, number, 1)
        if number % 500 == 0:
            recording.accesses.to_arrow()
    data = recording.accesses.to_arrow()["data"].to_pylist()
    assert data == [b"%06d" % number * 3 for number in range(CHUNK + 1000)]
    edges = [0, *(stop for _, stop in converted)]
    assert converted == list(itertools.pairwise(edges))
    assert edges[-1] == CHUNK + 1000


def test_long_bitmaps_are_not_copied_again_and_again():
    recording, bitmap = Recording(), bytes(3 << 20)
    addresses = []
    for number in range(4):
        recording.access("source", a.SyncLog("ram"), bitmap, None, number, 1)
        chunks = recording.bitmaps.to_arrow()["bitmap"].chunks
        addresses.append([chunk.buffers()[2].address for chunk in chunks])
    assert [len(found) for found in addresses] == [1, 2, 3, 4]
    assert all(addresses[-1][: len(found)] == found for found in addresses)


@pytest.mark.parametrize("looks", [1, 3])
def test_tail(looks):
    recording, seen = Recording(), []
    start = 0
    for part in range(looks):
        for number in range(part * 20, part * 20 + 20):
            append(recording, number)
        tail = recording.events.tail(start)
        append(recording, 10_000)  # it does not grow
        assert len(tail) == len(tail.column("seq")) == len(tail.column("name")) == 20 + bool(start)
        seen += [row.args[0] for row in tail]
        start += len(tail)
    assert len(recording.events.tail(start)) == 1
    assert seen == [row.args[0] for row in recording.events][:start]
    assert isinstance(recording.events.tail(start).to_arrow(), pa.Table)
