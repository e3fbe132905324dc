"""What a hostile device, a failing access or a bad file does to a whole migration.

Each ends in a typed error that names the access and the rule, the device in a defined state, and what was
saved so far intact.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.accesses import Put
from vfiokit.clock import SimulatedClock
from vfiokit.emulated import open_emulated
from vfiokit.errors import (
    AccessError,
    DeviceError,
    MigrationCancelledError,
    MigrationError,
    MigrationFailedError,
    RuleError,
    StreamCutError,
    StreamError,
    VerifyError,
    VfioError,
)
from vfiokit.migration import load_file, migrate, save_file
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5 import markers
from vfiokit.protocol.v5.load import load_state
from vfiokit.protocol.v5.states import MigrationStatus
from vfiokit.runner import run
from vfiokit.side import Side
from vfiokit.streams import FileSource, MemoryStream, Pipe
from vfiokit.vmm import sections
from vfiokit.vmm.outgoing import Parameters, migrate_out
from vfiokit.vmm.sections import take_footer, take_head, take_stream_head

MEMORY = 1 << 20
STATE = "state=256K&chunk=16K"
WORK = "&dirty=1M/s&dma=1M/s"

FAULTS = {
    "data_offset:0": "lies in the header",
    "data_offset:0x20": "lies in the header",
    "data_offset:past-end": "past the region's end",
    "data_size:too-large": "ends past the region's end",
    "pending_bytes:never-falls": "not fallen|data_size is 0",
    "copied_pfns:more": "copied_pfns is",
    "short:4@pending_bytes#5": "only 4 bytes moved",
    "short:2@device_state#2": "only 2 bytes moved",
    "errno:EIO@device_state#2": "EIO",
    "errno:EIO@device_state#3": "EIO",
    "errno:ENXIO@pending_bytes#4": "ENXIO",
    "errno:EIO@data_offset#3": "EIO",
    "errno:EIO@data_size#3": "EIO",
    "errno:EIO@copied_pfns#1": "EIO",
    "errno:EIO@start_pfn#1": "EIO",
    "errno:EIO@page_size#1": "EIO",
    "errno:EIO@total_pfns#1": "EIO",
}


def device_state(device):
    device = getattr(device, "device", device)
    return int.from_bytes(device.pread(9, 0, 4), "little")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_misbehaves(fault, tmp_path):
    clock, path = SimulatedClock(), tmp_path / "stream"
    with open_emulated(f"emulated:v5?{STATE}{WORK}&fault={fault}", clock=clock) as source:
        with pytest.raises(MigrationFailedError, match=FAULTS[fault]) as caught:
            save_file(source, path, memory=MEMORY)
        cause = caught.value.__cause__
        assert isinstance(cause, (AccessError, RuleError))
        assert getattr(cause, "access", None) is not None
        if isinstance(cause, RuleError):
            assert "v5 spec" in cause.rule
        assert device_state(source) == 1  # it runs on, and has been told so
    # What was saved is there, and can be cut into its items to the last whole one.
    assert cut_into_items(path) >= 1


@pytest.mark.parametrize("data", ["trapped", "mapped"])
def test_short_and_failing_data(data, tmp_path):
    for fault, words in (("short:7@data#2", "only 7 bytes"), ("errno:EFAULT@data#2", "EFAULT")):
        source = open_emulated(f"emulated:v5?{STATE}&data={data}&fault={fault}")
        if data == "mapped":
            save_file(source, tmp_path / "stream", memory=MEMORY)  # a mapping is out of a fault's reach
            continue
        with pytest.raises(MigrationFailedError, match=words):
            save_file(source, tmp_path / "stream", memory=MEMORY)
        assert device_state(source) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("data_offset:0", "lies in the header"),
        ("data_offset:past-end", "past the region's end"),
        ("errno:EIO@data_size#2", "EIO"),
        ("errno:EIO@device_state#1", "EIO"),
        ("errno:ENOSPC@data#2", "ENOSPC"),
        ("short:100@data#1", "only 100 bytes"),
    ],
)
def test_a_destination_that_misbehaves(fault, words):
    clock = SimulatedClock()
    source = open_emulated(f"emulated:v5?{STATE}{WORK}&data=trapped&name=a", clock=clock)
    there = open_emulated(f"emulated:v5?{STATE}&data=trapped&name=b&fault={fault}", clock=clock)
    with pytest.raises(MigrationFailedError, match=words):
        migrate(source, there, memory=MEMORY)
    assert device_state(source) == 1  # the source runs on
    assert device_state(there) == (1 if "device_state" in fault else 4)


def cut_into_items(path):
    """Read sections as far as they go; the number of whole ones. Only an end may be wrong."""
    source, cursor = FileSource(path), Cursor()
    count = 0

    class Reader:
        def perform(self, access):
            return source.take(access.size)

    def flow():
        nonlocal count
        yield from take_stream_head(cursor)
        while (head := (yield from take_head(cursor))) is not None:
            yield from skip(head)
            yield from take_footer(cursor, head.section_id)
            count += 1

    def skip(head):
        # The payload is not framed: go over it to the footer of this section.
        footer = bytes((sections.FOOTER,)) + head.section_id.to_bytes(4, "big")
        while bytes(source._source._view[source.position : source.position + 5]) != footer:
            yield from cursor.take(1, "payload")

    try:
        run(flow(), Reader())
    except StreamCutError:
        pass
    return count


def test_a_failed_source_leaves_the_footer_behind_a_failed_section(tmp_path):
    path = tmp_path / "stream"
    source = open_emulated(f"emulated:v5?{STATE}&fault=errno:EIO@data_size#1")
    with pytest.raises(MigrationFailedError):
        save_file(source, path, memory=MEMORY)
    assert path.read_bytes()[-5] == sections.FOOTER


def test_a_full_disk_is_the_streams_failure():
    class Full(MemoryStream):
        def write(self, data):
            if self.position + len(data) > 1 << 16:
                raise DeviceError("stream", "write", 28, hint="is the disk full?")
            super().write(data)

    source = open_emulated(f"emulated:v5?{STATE}{WORK}")
    sink = Full()
    with Side([source], memory=MEMORY, clock=source.clock, sink=sink, simulated=True) as side:
        side.plug()
        side.fill()
        side.run(side.vm.start())
        with pytest.raises(MigrationFailedError, match="ENOSPC") as caught:
            side.run(migrate_out(side.vm, transferred=lambda: side.host.transferred))
    assert isinstance(caught.value.__cause__.access, Put)
    assert device_state(source) == 1


def saved(tmp_path_factory=None):
    stream = MemoryStream()
    source = open_emulated(f"emulated:v5?{STATE}&name=a")
    with Side([source], memory=0, clock=source.clock, sink=stream, simulated=True) as side:
        side.plug()
        side.run(side.vm.start())
        side.run(migrate_out(side.vm, transferred=lambda: side.host.transferred))
    return stream.getvalue()


STREAM = saved()


def load(data, tmp_path):
    there = open_emulated(f"emulated:v5?{STATE}&fill=zero&name=b")
    path = tmp_path / "stream"
    path.write_bytes(data)
    try:
        load_file(path, there, memory=0)
    finally:
        assert device_state(there) in (0, 1, 4)
    return there


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("streams")


def test_cut_at_every_byte_of_the_framing(folder):
    """Every cut in the first and last 700 bytes: all kinds of items are there; data lies between."""
    for cut in [*range(700), *range(len(STREAM) - 700, len(STREAM))]:
        with pytest.raises(MigrationFailedError) as caught:
            load(STREAM[:cut], folder)
        assert isinstance(caught.value.__cause__, StreamCutError), cut
    assert device_state(load(STREAM, folder)) == 1


@settings(max_examples=60)
@given(st.integers(0, len(STREAM) - 1))
def test_cut_anywhere(folder, cut):
    with pytest.raises(MigrationFailedError):
        load(STREAM[:cut], folder)


@settings(max_examples=150)
@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_any_byte_changed_is_an_error_or_harmless(folder, at, change):
    data = bytearray(STREAM)
    data[at] ^= change
    try:
        load(data, folder)
    except MigrationError as error:
        assert isinstance(error.__cause__, VfioError)


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1, 1 << 40])
def test_a_length_of_2_63(size, folder):
    data_marker = markers.VFIO_MIG_FLAG_DEV_DATA_STATE.to_bytes(8, "big")
    at = STREAM.index(data_marker) + 8
    with pytest.raises(MigrationFailedError, match="room for"):
        load(STREAM[:at] + size.to_bytes(8, "big") + STREAM[at + 8 :], folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"QEVM", b"QEVX", "no QEMU migration stream"),
        (b"QEVM\0\0\0\3", b"QEVM\0\0\0\2", "version 2"),
        (b"04.0/vfio\0\0\0\0\0\0\0\1", b"04.0/vfio\0\0\0\0\0\0\0\2", "is version 2"),
        (b"04.0/vfio\0\0\0\0", b"04.0/vfio\0\0\0\1", "instance 1"),
        (b"04.0/vfio", b"05.0/vfio", "a section for"),
        (b"\x7e\0\0\0\1\2", b"\x7e\0\0\0\2\2", "footer says section 2"),
        (b"\x7e\0\0\0\1\2", b"\x7e\0\0\0\1\4", "section type 0x04"),
        (b"\x7e\0\0\0\1\2\0\0\0\1", b"\x7e\0\0\0\1\2\0\0\0\5", "never started"),
    ],
)
def test_wrong_framing(old, new, words, folder):
    assert old in STREAM
    with pytest.raises(MigrationFailedError, match=words) as caught:
        load(STREAM.replace(old, new, 1), folder)
    assert isinstance(caught.value.__cause__, StreamError)


def test_a_stream_that_ends_before_a_device_does(folder):
    end = STREAM.index(b"\3\0\0\0\1")
    with pytest.raises(MigrationFailedError, match="ends before the state of"):
        load(STREAM[:end] + b"\0", folder)


def test_a_driver_that_forgets_pages_is_found_out():
    """The fault: nothing is ever dirty."""
    clock = SimulatedClock()
    source = open_emulated(
        f"emulated:v5?{STATE}&dma=4M/s&pattern=random&fault=copied_pfns:0&name=a", clock=clock
    )
    there = open_emulated(f"emulated:v5?{STATE}&name=b", clock=clock)
    with pytest.raises(VerifyError, match="pages of memory"):
        migrate(source, there, memory=MEMORY, parameters=Parameters(bandwidth=4 << 20))


@settings(max_examples=60)
@given(st.integers(1, 700))
def test_cancel_at_any_access(count):
    """Wherever the cancel comes, the device runs again, nothing stays mapped, and the error is the cancel."""
    source = open_emulated(f"emulated:v5?{STATE}{WORK}")
    with Side([source], memory=MEMORY, clock=source.clock, sink=Pipe(), simulated=True) as side:
        side.plug()
        side.fill()
        side.run(side.vm.start())
        task = side.task(migrate_out(side.vm, transferred=lambda: side.host.transferred))
        for _ in range(count):
            task.step()
        if task.done:
            return
        if side.vm.status is MigrationStatus.COMPLETED:  # too late, and of no effect
            task.throw(MigrationCancelledError("cancelled"))
            task.run()
            assert (device_state(source), side.vm.run_state.value) == (0, "postmigrate")
        else:
            with pytest.raises(MigrationCancelledError):
                task.throw(MigrationCancelledError("cancelled"))
                task.run()
            assert (device_state(source), side.vm.run_state.value) == (1, "running")
        assert side.vm.devices[0].mapped == set()


def test_a_tag_is_taken_before_anything_is_done():
    from scripted import Scripted, device_with, migration_region

    with pytest.raises(StreamCutError):
        run(load_state(device_with(migration_region()), Cursor()), Scripted())
