"""Whatever a VMM does, it gets an answer or a DeviceError, and the device keeps its senses."""

from __future__ import annotations

import sys

from emulated_vmm import REGION, Vmm
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.emulated import open_emulated
from vfiokit.errors import DeviceError
from vfiokit.uapi.migration_v5 import REGISTERS

ORDERS = st.sampled_from(["v5", "merged", "mapped", "late-trapped"])
numbers = st.sampled_from([0, 1, 2, 3, 4, 8, 64, 4096, 8192, 0x20A8, 1 << 40, 1 << 63, (1 << 64) - 1])
steps = st.one_of(
    st.tuples(st.just("state"), st.sampled_from([0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 11])),
    st.tuples(st.just("read"), st.sampled_from(sorted(REGISTERS))),
    st.tuples(st.just("write"), st.sampled_from(sorted(REGISTERS)), numbers),
    st.tuples(st.just("pread"), numbers, st.integers(1, 9000)),
    st.tuples(st.just("pwrite"), numbers, st.binary(min_size=1, max_size=80)),
    st.tuples(st.just("give"), st.integers(0, 5), ORDERS),
    st.tuples(st.just("work"), st.sampled_from([0x38, 0x60]), st.integers(0, 700)),
    st.tuples(st.just("wait"), st.integers(0, 10**9)),
)


def chunks_of(kind):
    with open_emulated(f"emulated:v5?state=32K&chunk=16K&data={kind}") as device:
        return Vmm(device).save()


CHUNKS = chunks_of("mapped") + chunks_of("direct")


def perform(device, vmm, step):
    match step:
        case "state", value:
            vmm.put("device_state", value)
        case "read", name:
            vmm.get(name)
        case "write", name, value:
            vmm.put(name, value & ((1 << 8 * REGISTERS[name].width) - 1))
        case "pread", offset, size:
            device.pread(REGION, offset, size)
        case "pwrite", offset, data:
            device.pwrite(REGION, offset, data)
        case "give", number, order:
            vmm.give(CHUNKS[number % len(CHUNKS)], order)
        case "work", doorbell, count:
            device.pwrite(0, doorbell, count.to_bytes(4, sys.byteorder))
        case "wait", ns:
            device.clock.advance(ns)


def refusal(device, vmm, step):
    try:
        perform(device, vmm, step)
    except DeviceError as error:
        return error
    return None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["trapped", "mapped", "mixed", "direct"]), st.lists(steps, max_size=40))
def test_any_sequence_is_survived(kind, sequence):
    address = f"emulated:v5?state=32K&chunk=16K&bitmap=8&data={kind}&dirty=1M/s&dma=1M/s"
    with open_emulated(address) as device, open_emulated("emulated:v5?state=32K&chunk=16K") as other:
        device.map_dma(0, memoryview(bytearray(16 * 4096)))
        vmm = Vmm(device)
        for step in sequence:
            state = vmm.get("device_state")
            if refusal(device, vmm, step) is not None:
                assert vmm.get("device_state") == state
            assert vmm.get("device_state") & 7 in (0, 1, 2, 3, 4)
        device.reset()
        Vmm(other).resume(vmm.save(rounds=2))
        assert bytes(other.memory.view) == bytes(device.memory.view)
