"""Against QEMU itself: its migration of our driver's device, its stream, and its trace log."""

import re
import sys
from pathlib import Path

import pytest

from vfiokit import lab
from vfiokit.accesses import Put
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
from vfiokit.emulated.program import read_register
from vfiokit.protocol.v5 import AS_POSTED, markers
from vfiokit.runner import run
from vfiokit.side import Side
from vfiokit.streams import MemoryStream
from vfiokit.trace import Record, Tracer, load, read_log
from vfiokit.vmm import sections
from vfiokit.vmm.incoming import migrate_in
from vfiokit.vmm.outgoing import migrate_out
from vfiokit.vmm.sections import SectionHead

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(lab.available() is not None, reason=str(lab.available())),
    pytest.mark.xdist_group("lab"),
]
DATA = markers.VFIO_MIG_FLAG_DEV_DATA_STATE.to_bytes(8, "big")
END = markers.VFIO_MIG_FLAG_END_OF_STATE.to_bytes(8, "big")
SETUP = markers.VFIO_MIG_FLAG_DEV_SETUP_STATE.to_bytes(8, "big")


@pytest.fixture(scope="module")
def qemu(tmp_path_factory):
    """QEMU's stream and its log."""
    out = tmp_path_factory.mktemp("qemu")
    script = Path(__file__).parent / "guest_qemu_migrates.py"
    result = lab.run(
        [sys.executable, str(script), str(out)],
        writable=[out],
        visible=[script],
        parameters={"region_type": 3},  # QEMU 7.2 looks for the merged interface's pair
        timeout=300,
    )
    assert result.returncode == 0, result.output
    return (out / "stream").read_bytes(), (out / "log").read_text(errors="replace")


def records_of(stream, at):
    """Cut DATA records from *at* to END; the records' bytes, and where the end is."""
    start = at
    while stream[at : at + 8] == DATA:
        at += 16 + int.from_bytes(stream[at + 8 : at + 16], "big")
    assert stream[at : at + 8] == END
    return stream[start:at], at + 8


def device_sections(stream):
    """Return the device's START, PART and END payloads, cut by v5 spec 4.1 and 4.2."""
    begin = re.search(rb"\x01(....)(.)([^/]{1,30}/vfio)\x00{7}\x01", stream, re.DOTALL)
    section, length, idstr = begin[1], begin[2][0], begin[3]
    assert length == len(idstr)
    footer = bytes((sections.FOOTER,)) + section
    at = begin.end()
    assert stream[at : at + 16] == SETUP + END
    assert stream[at + 16 : at + 21] == footer
    parts, at = [], at + 21
    while (found := stream.find(bytes((sections.SECTION_PART,)) + section + DATA, at)) >= 0:
        data, at = records_of(stream, found + 5)
        assert stream[at : at + 5] == footer
        parts.append(data)
    found = stream.index(bytes((sections.SECTION_END,)) + section + DATA, at)
    data, at = records_of(stream, found + 5)
    assert stream[at : at + 5] == footer
    return idstr.decode(), parts, data


def test_its_stream_is_cut_by_our_markers_and_loads_into_our_device(qemu):
    idstr, parts, last = device_sections(qemu[0])
    assert parts
    stream = MemoryStream()

    class Writer:
        def perform(self, access):
            assert isinstance(access, Put)
            stream.write(access.data)

    def flow():
        yield sections.put_stream_head()
        yield sections.put_head(SectionHead(1, 5, idstr, 0, 1))
        yield Put(SETUP + END, "setup")
        yield sections.put_footer(5)
        for kind, payload in [*((2, part) for part in parts), (3, last)]:
            yield sections.put_head(SectionHead(kind, 5))
            yield Put(payload + END, "data")
            yield sections.put_footer(5)
        yield sections.put_eof()

    run(flow(), Writer())
    clock = SimulatedClock()
    there = open_device("emulated:v5?state=4M&fill=random", clock=clock)
    with Side([there], memory=0, clock=clock, source=stream.reader()) as side:
        side.run(side.vm.plug(there.name, path=idstr.removesuffix("/vfio")))
        side.run(migrate_in(side.vm))
        side.run(side.vm.start())
    # QEMU's device had just been reset: no memory is left of what was random here.
    assert not any(there.memory.view)
    assert read_register(there, "COUNTER") == 0


def test_its_log_reads_as_typed_records_and_agrees_with_ours(qemu):
    _, log = qemu
    records = [record for record in read_log(log.splitlines(), load("v5")) if isinstance(record, Record)]
    names = [record.name for record in records]
    for name in ("vfio_migration_probe", "vfio_save_setup", "vfio_update_pending", "vfio_save_buffer",
                 "vfio_save_iterate", "vfio_save_complete_precopy", "vfio_save_cleanup"):  # fmt: skip
        assert name in names
    theirs = [record["state"] for record in records if record.name == "vfio_migration_set_state"]
    # A VMM as posted, over an emulated device with the same state: the same states in the same order.
    clock = SimulatedClock()
    tracer = Tracer(load("v5"), clock=clock.now)
    device = open_device("emulated:v5?state=4M", clock=clock)
    with Side(
        [device],
        memory=1 << 20,
        clock=clock,
        tracer=tracer,
        profile=AS_POSTED,
        sink=MemoryStream(),
        simulated=True,
    ) as side:
        side.plug()
        side.run(side.vm.start())
        side.run(migrate_out(side.vm, transferred=lambda: side.host.transferred))
    ours = [record["state"] for record in tracer if record.name == "vfio_migration_set_state"]
    assert theirs == ours == [1, 3, 2, 2, 0]
    # Each change of the VM and each state as QEMU prints them: the same text but for the name.
    for name in ("vfio_vmstate_change", "vfio_migration_set_state", "vfio_save_complete_precopy"):
        mine, other = (
            [re.sub(r"\([^)]*\)", "", record.text) for record in side if record.name == name]
            for side in (tracer, records)
        )
        assert mine == other
    # The chunks: as many bytes of device data as ours, which is the model's whole state.
    sizes = [sum(r["data_size"] for r in side if r.name == "vfio_save_buffer") for side in (tracer, records)]
    assert sizes[0] == sizes[1]
