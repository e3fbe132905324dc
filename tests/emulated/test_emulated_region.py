"""v5 spec 1.2 to 1.6, access by access."""

from __future__ import annotations

import errno
import itertools
import sys

import pytest
from emulated_vmm import PRECOPY, REGION, RESUMING, RUNNING, SAVING, STOPPED, Vmm, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.emulated import open_emulated
from vfiokit.emulated.state_memory import StateMemory
from vfiokit.errors import DeviceError
from vfiokit.uapi.migration_v5 import REGISTERS

STATES = (STOPPED, RUNNING, PRECOPY, SAVING, RESUMING)


@pytest.fixture
def device():
    with open_emulated("emulated:v5?state=64K&chunk=16K&bitmap=64&data=trapped") as device:
        yield device


@pytest.fixture
def vmm(device):
    return Vmm(device)


# What 1.6 says, one letter for each of STATES: y allowed, n refused, u unspecified (here: answered with 0).
TABLE = {
    ("read", "device_state"): "yyyyy",
    ("read", "pending_bytes"): "uuyyu",
    ("read", "data_offset"): "nnyyy",
    ("read", "data_size"): "uuyyn",
    ("write", "data_size"): "nnnny",
    ("write", "start_pfn"): "nnyyn",
    ("write", "page_size"): "nnyyn",
    ("write", "total_pfns"): "nnyyn",
    ("read", "copied_pfns"): "nnyyn",
    ("write", "pending_bytes"): "nnnnn",
    ("write", "data_offset"): "nnnnn",
    ("write", "copied_pfns"): "nnnnn",
    ("read", "start_pfn"): "nnnnn",
    ("read", "page_size"): "nnnnn",
    ("read", "total_pfns"): "nnnnn",
    ("read", "reserved"): "uuuuu",
    ("write", "reserved"): "yyyyy",
    ("read", "data"): "nnyyn",
    ("write", "data"): "nnnny",
}
CASES = [
    (call, name, state, letter)
    for (call, name), letters in TABLE.items()
    for state, letter in zip(STATES, letters, strict=True)
]


@pytest.mark.parametrize(("call", "name", "state", "letter"), CASES)
def test_access_table(vmm, device, call, name, state, letter):
    vmm.put("device_state", state)
    place = 0x1000
    if state & (SAVING | RESUMING):  # a chunk is staged, or its place told
        if state & SAVING:
            for register, value in (("start_pfn", 0), ("page_size", 4096), ("total_pfns", 8)):
                vmm.put(register, value)
            vmm.get("pending_bytes")
        place = vmm.get("data_offset")

    def access():
        if name == "data":
            return (
                device.pread(REGION, place, 8) if call == "read" else device.pwrite(REGION, place, b"x" * 8)
            )
        return vmm.get(name) if call == "read" else vmm.put(name, 4096)

    if letter == "n":
        with refused():
            access()
    elif letter == "u":
        assert access() == 0
    else:
        access()
    assert vmm.get("device_state") == state


@pytest.mark.parametrize(("old", "low"), list(itertools.product(STATES, (5, 6, 7))))
def test_invalid_states_change_nothing(vmm, old, low):
    vmm.put("device_state", old)
    with pytest.raises(DeviceError, match=rf"pwrite\(migration device_state={low:#x}\).*EINVAL"):
        vmm.put("device_state", low)
    assert vmm.get("device_state") == old


@pytest.mark.parametrize("call", ["pread", "pwrite"])
def test_only_native_width_and_alignment(device, vmm, call):
    vmm.put("device_state", SAVING)
    legal = {(r.offset, r.width) for r in REGISTERS.values()}
    for offset, size in itertools.product(range(64), (1, 2, 3, 4, 5, 8, 12, 16, 64)):
        if (offset, size) not in legal:
            with refused():
                device.pread(REGION, offset, size) if call == "pread" else device.pwrite(
                    REGION, offset, bytes(size)
                )
    assert vmm.get("device_state") == SAVING


def test_high_state_bits_are_kept(vmm):
    vmm.put("device_state", 0xDEADBEE8 | PRECOPY)
    assert vmm.get("device_state") == 0xDEADBEE8 | PRECOPY
    assert vmm.get("pending_bytes") > 0


def test_device_runs_after_open_and_reset(vmm, device):
    assert vmm.get("device_state") == RUNNING
    vmm.put("device_state", RESUMING)
    device.reset()
    assert vmm.get("device_state") == RUNNING


@pytest.mark.parametrize("kind", ["trapped", "mapped", "mixed", "direct"])
def test_pending_is_exactly_what_comes(kind):
    with open_emulated(f"emulated:v5?state=256K&chunk=20K&data={kind}&dirty=400K/s") as device:
        vmm = Vmm(device)
        vmm.put("device_state", PRECOPY)
        device.clock.advance(10**8)
        for rounds in range(12):  # chunks leave one by one while blocks below the cursor get dirty again
            if rounds % 3 == 0:
                device.clock.advance(3 * 10**7)
            before = vmm.get("pending_bytes")
            assert before == vmm.get("pending_bytes")
            place = vmm.get("data_offset")
            assert vmm.get("pending_bytes") == before
            assert vmm.get("data_offset") == place
            size = vmm.get("data_size")
            vmm.read(place, size)
            assert vmm.get("pending_bytes") == before - size
        vmm.put("device_state", SAVING)
        total = vmm.get("pending_bytes")
        assert total == sum(map(len, vmm.drain()))
        assert (vmm.get("data_offset") >= 64, vmm.get("data_size")) == (True, 0)


def test_staged_chunk_is_a_copy(vmm, device):
    vmm.put("device_state", PRECOPY)
    place = vmm.get("data_offset")
    size = vmm.get("data_size")
    before = device.pread(REGION, place, size)
    device.pwrite(0, 0x60, (10_000).to_bytes(4, "little"))
    assert device.pread(REGION, place, size) == before
    with refused():
        device.pread(REGION, place, size + 1)
    with refused():
        device.pread(REGION, place - 8, 8)


def test_entering_saving_starts_over_and_cancel_drops(vmm):
    vmm.put("device_state", SAVING)
    first = vmm.drain()
    vmm.put("device_state", RUNNING)
    vmm.put("device_state", SAVING)
    assert vmm.drain() == first


def test_running_again_sends_the_registers_again(vmm, device):
    vmm.put("device_state", SAVING)
    chunks = vmm.drain()
    vmm.put("device_state", PRECOPY)
    assert vmm.get("pending_bytes") == 0
    device.pwrite(0, 0x10, b"again!!!"[:4])
    vmm.put("device_state", SAVING)
    chunks += vmm.drain()
    with open_emulated("emulated:v5?state=64K&chunk=16K&data=trapped&fill=zero") as other:
        Vmm(other).resume(chunks)
        assert other.pread(0, 0x10, 4) == b"agai"
        assert bytes(other.memory.view) == bytes(device.memory.view)


def test_direct_chunks_survive_running_again():
    with open_emulated("emulated:v5?state=64K&chunk=16K&data=direct") as device:
        vmm = Vmm(device)
        vmm.put("device_state", SAVING)
        chunks = [vmm.chunk()]  # a head; its memory is the next chunk
        vmm.put("device_state", PRECOPY)
        device.pwrite(0, 0x60, (500).to_bytes(4, "little"))
        vmm.put("device_state", SAVING)
        vmm.put("device_state", PRECOPY)
        device.pwrite(0, 0x60, (500).to_bytes(4, "little"))
        chunks.append(vmm.chunk())
        vmm.put("device_state", SAVING)
        chunks += vmm.drain()
        with open_emulated("emulated:v5?state=64K&chunk=16K&data=direct&fill=zero") as other:
            Vmm(other).resume(chunks)
            assert bytes(other.memory.view) == bytes(device.memory.view)


def test_two_meanings_of_data_offset(vmm, device):
    device.map_dma(0, memoryview(bytearray(16 * 4096)))
    vmm.put("device_state", PRECOPY)
    device.pwrite(0, 0x20, (16).to_bytes(8, "little"))
    data = vmm.get("data_offset")
    for rounds in range(3):
        device.pwrite(0, 0x38, (3).to_bytes(4, "little"))
        for register, value in (("total_pfns", 16), ("start_pfn", 0), ("page_size", 4096)):
            vmm.put(register, value)
        assert vmm.get("copied_pfns") == 16
        if rounds == 1:
            vmm.get("pending_bytes")  # turns it back to device data
        else:
            assert vmm.get("data_offset") != data
        assert vmm.get("data_offset") == data  # told once
    assert vmm.get("copied_pfns") == 0  # everything was given: nothing dirty, so no bitmap
    assert vmm.get("data_offset") == data


def test_header_is_never_mapped():
    for kind in ("trapped", "mapped", "mixed", "direct"):
        with open_emulated(f"emulated:v5?state=64K&data={kind}") as device:
            region = device.region(REGION)
            assert region.type == (2, 1)
            assert region.mappable == bool(region.areas) == (kind != "trapped")
            assert all(
                a.offset >= 4096 and a.offset % 4096 == 0 and a.end <= region.size for a in region.areas
            )
            with refused():
                device.mmap(REGION, 0, 4096)


def test_running_is_left_after_the_work_was_done(vmm, device):
    memory = bytearray(4096 * 64)
    device.map_dma(0, memoryview(memory))
    for offset, width, value in ((0x20, 8, 64), (0x28, 8, 1000), (0x50, 8, 1000), (0x08, 4, 1)):
        device.pwrite(0, offset, value.to_bytes(width, "little"))
    device.clock.advance(10**7)
    vmm.put("device_state", STOPPED)
    frozen = bytes(memory), bytes(device.memory.view)
    assert int.from_bytes(device.pread(0, 0x40, 8), "little") == 10
    device.clock.advance(10**9)
    assert int.from_bytes(device.pread(0, 0x0C, 4), "little") == 0
    assert (bytes(memory), bytes(device.memory.view)) == frozen
    for doorbell in (0x38, 0x60):
        with refused(number=errno.EBUSY):
            device.pwrite(0, doorbell, b"\1\0\0\0")
    vmm.put("device_state", RUNNING)
    device.clock.advance(10**7)
    assert int.from_bytes(device.pread(0, 0x40, 8), "little") == 20


def test_registers_are_in_host_byte_order(vmm, device):
    assert device.pread(REGION, 0, 4) == (1).to_bytes(4, sys.byteorder)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.lists(st.integers(0, 63), max_size=20), st.integers(0, 8)), min_size=1, max_size=8),
)
def test_pending_foresees_the_runs(limit, rounds):
    memory = StateMemory(64 * 4096)
    for marks, takes in rounds:
        for block in marks:
            memory.mark(block)
        for _ in range(takes):
            blocks, runs = memory.pending(limit)
            run = memory.next_run(limit)
            assert memory.pending(limit) == ((blocks - run[1], runs - 1) if run else (0, 0))
    blocks, runs = memory.pending(limit)
    left = list(iter(lambda: memory.next_run(limit), None))
    assert (sum(n for _, n in left), len(left)) == (blocks, runs)
    memory.close()


def test_pending_of_much_memory_foresees_the_runs_too():
    memory = StateMemory(20_000 * 4096)  # enough for the numpy path
    for start in range(0, 20_000, 37):
        for block in range(start, min(start + start % 23, 20_000)):
            memory.mark(block)
    memory.next_run(5)
    memory.mark(19_999)
    memory.mark(0)
    blocks, runs = memory.pending(5)
    left = list(iter(lambda: memory.next_run(5), None))
    assert (sum(n for _, n in left), len(left)) == (blocks, runs)
    memory.close()
