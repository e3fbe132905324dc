"""Whole flows over every way to reach a device: the same stream, the same events, the same end."""

import pytest
from reach import KINDS, registers_of

from vfiokit.clock import RealClock
from vfiokit.emulated.program import write_register
from vfiokit.errors import (
    MigrationBlockedError,
    MigrationCancelledError,
    MigrationFailedError,
    RuleError,
    StreamError,
)
from vfiokit.migration import Control, load_file, migrate, save_file, tracer_for
from vfiokit.protocol.v5.quirks import AS_POSTED
from vfiokit.runner import run
from vfiokit.vmm.outgoing import Parameters

MEMORY = 4 << 20


def state(device):
    return int.from_bytes(device.pread(9, 0, 4), "little")


@pytest.mark.parametrize("kind", KINDS)
def test_live_migration_of_a_working_device(world, kind):
    source = world.open(kind, "dirty=4M/s&dma=4M/s&pattern=random")
    there = world.open(kind)
    tracer = tracer_for(RealClock())
    report = migrate(source, there, memory=MEMORY, tracer=tracer, parameters=Parameters(bandwidth=100 << 20))
    assert report.verified
    assert report.pages_differ == 0
    assert report.incoming.position == report.outgoing.transferred
    assert (state(source), state(there)) == (0, 1)
    names = {record.name for record in tracer}
    assert {"vfio_save_buffer", "vfio_get_dirty_page_list", "vfio_save_complete_precopy"} <= names


def test_from_one_kind_of_data_section_to_another(world):
    source, there = world.open("trapped", "dma=4M/s"), world.open("mapped")
    write_register(source, "SCRATCH", 77)
    report = migrate(source, there, memory=MEMORY, verify=False)
    assert report.outgoing.transferred > MEMORY // 2
    assert registers_of(there)["SCRATCH"] == 77


def test_as_posted_ends_the_same(world):
    source, there = world.open("mapped", "dirty=4M/s&dma=4M/s"), world.open("mapped")
    assert migrate(source, there, memory=MEMORY, profile=AS_POSTED).verified


def test_two_devices_of_one_vm(world):
    sources = [world.open("mapped", "dma=2M/s"), world.open("trapped", "dma=2M/s&seed=9")]
    others = [world.open("mapped"), world.open("trapped")]
    report = migrate(sources, others, memory=MEMORY)
    assert report.verified
    assert len(report.devices) == 2


def test_through_a_file(world, tmp_path):
    source, there = world.open(), world.open()
    write_register(source, "SCRATCH", 0xABCD)
    write_register(source, "STATE_DOORBELL", 100)
    path = tmp_path / "stream"
    saved = save_file(source, path, memory=MEMORY)
    assert path.stat().st_size == saved.outgoing.transferred
    loaded = load_file(path, there, memory=MEMORY)
    assert loaded.incoming.position == saved.outgoing.transferred
    want, have = registers_of(source), registers_of(there)
    assert {k: v for k, v in have.items() if k != "STATUS"} == {
        k: v for k, v in want.items() if k != "STATUS"
    }
    assert state(there) == 1


def test_cancel(world):
    source, there = world.open("mapped", "dma=4M/s"), world.open()
    control, seen = Control(), []

    def between(report):
        seen.append(report)
        if len(seen) == 2:
            control.cancel()

    with pytest.raises(MigrationCancelledError):
        migrate(source, there, memory=16 << 20, control=control, between=between)
    assert state(source) == 1
    # The source runs on and can be migrated after all.
    there.reset()
    assert migrate(source, there, memory=MEMORY).verified


def test_blocked_with_the_reason(world):
    with pytest.raises(MigrationBlockedError, match="VFIO device doesn't support migration"):
        migrate(world.open("none"), world.open("none"), memory=MEMORY)


def cut_streams(path):
    whole = path.read_bytes()
    # Everywhere in the first section heads, and then at steps that meet every kind of item.
    for cut in [*range(0, 400, 7), *range(400, len(whole), max(len(whole) // 25, 1)), len(whole) - 1]:
        yield whole[:cut]


def test_a_cut_stream_leaves_the_device_resuming_and_resettable(world, tmp_path):
    source, there = world.open(), world.open()
    path = tmp_path / "stream"
    save_file(source, path, memory=1 << 20)
    cut_path = tmp_path / "cut"
    for cut in cut_streams(path):
        cut_path.write_bytes(cut)
        with pytest.raises(MigrationFailedError) as caught:
            load_file(cut_path, there, memory=1 << 20)
        assert isinstance(caught.value.__cause__, StreamError)
        assert state(there) == 4
        there.reset()
    assert load_file(path, there, memory=1 << 20).incoming.sections > 2


def test_a_corrupt_chunk_is_refused_by_the_driver(world, tmp_path):
    source, there = world.open(), world.open()
    write_register(source, "STATE_DOORBELL", 50)
    path = tmp_path / "stream"
    save_file(source, path, memory=1 << 20)
    data = bytearray(path.read_bytes())
    at = data.index(b"VKDV") if b"VKDV" in data else data.index((0x56444B56).to_bytes(4, "little"))
    data[at + 64] ^= 0xFF  # the payload's first byte, under its CRC
    path.write_bytes(data)
    with pytest.raises(MigrationFailedError, match="EINVAL"):
        load_file(path, there, memory=1 << 20)
    there.reset()
    assert state(there) == 1


def test_the_flow_ends_when_run_by_hand(world):
    from vfiokit.host import Host
    from vfiokit.protocol.v5.device import MigratingDevice
    from vfiokit.protocol.v5.region import finalize, map_areas, probe
    from vfiokit.protocol.v5.states import set_state

    device = world.open()
    host, mine = Host([device], clock=RealClock()), MigratingDevice(device.name)
    assert run(probe(mine), host)
    run(map_areas(mine), host)
    run(set_state(mine, 1), host)
    run(set_state(mine, 3), host)
    run(set_state(mine, 1), host)
    run(finalize(mine), host)
    host.close()
    with pytest.raises(RuleError):
        assert mine.data_region
