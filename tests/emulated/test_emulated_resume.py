"""Resuming: every data section, every order, and the refusals."""

from __future__ import annotations

import itertools
import struct

import pytest
from emulated_vmm import ORDERS, REGION, RESUMING, RUNNING, SAVING, STOPPED, Vmm, refused

from vfiokit.emulated import open_emulated

KINDS = ("trapped", "mapped", "mixed", "direct")


def source(kind, **options):
    more = "".join(f"&{name}={value}" for name, value in options.items())
    device = open_emulated(f"emulated:v5?state=128K&chunk=20K&data={kind}&seed=7{more}")
    device.pwrite(0, 0x10, b"abcd")
    device.pwrite(2, 0x2000, b"scratch" * 100)
    return device


def target(kind, **options):
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return open_emulated(f"emulated:v5?state=128K&chunk=20K&data={kind}&seed=9{more}")


@pytest.mark.parametrize(("saved", "resumed", "order"), list(itertools.product(KINDS, KINDS, ORDERS)))
def test_round_trip(saved, resumed, order):
    with source(saved, dirty="4M/s") as old, target(resumed) as new:
        old.clock.advance(10**7)
        vmm = Vmm(old)
        vmm.put("device_state", 3)
        chunks = [vmm.chunk(), vmm.chunk()]
        old.clock.advance(10**7)
        chunks += [vmm.chunk(), vmm.chunk()]
        vmm.put("device_state", SAVING)
        chunks += vmm.drain()
        Vmm(new).resume(chunks, order)
        assert bytes(new.memory.view) == bytes(old.memory.view)
        assert new.pread(2, 0x2000, 0x2000) == old.pread(2, 0x2000, 0x2000)
        vmm.put("device_state", RUNNING)
        for register in range(0, 0x60, 4):
            if register != 0x38:  # write only
                assert new.pread(0, register, 4) == old.pread(0, register, 4), hex(register)
        old.clock.advance(10**8)
        new.clock.advance(10**8)
        assert new.pread(0, 0x58, 8) == old.pread(0, 0x58, 8)
        assert bytes(new.memory.view) == bytes(old.memory.view)  # goes on as the source would


def damaged(chunk, at, new):
    data = bytearray(chunk)
    data[at : at + len(new)] = new
    return bytes(data)


@pytest.mark.parametrize("kind", ["trapped", "mapped"])
@pytest.mark.parametrize(
    ("what", "at", "new"),
    [
        ("magic", 0, b"nope"),
        ("version", 4, b"\7"),
        ("kind", 6, b"\7"),
        ("outside device memory", 8, struct.pack("<Q", 128 << 10)),
        ("outside device memory", 8, b"\xff" * 8),
        ("carries", 16, struct.pack("<Q", 1)),
        ("carries", 16, b"\xff" * 8),
        ("CRC-32", 24, b"\0\1\2\3"),
        ("CRC-32", 100, b"\0\1\2\3"),
        ("source has", 32, struct.pack("<Q", 64 << 10)),
    ],
)
def test_bad_records_are_refused(kind, what, at, new):
    with source("trapped") as old, target(kind) as device:
        chunks = Vmm(old).save()
        vmm = Vmm(device)
        vmm.put("device_state", RESUMING)
        vmm.give(chunks[0])
        with refused(what):
            vmm.give(damaged(chunks[1], at, new))
        with refused("a record was refused"):
            vmm.put("device_state", RUNNING)
        assert vmm.get("device_state") == RESUMING
        vmm.put("device_state", STOPPED)
        vmm.resume(chunks)  # starting over leads out
        assert bytes(device.memory.view) == bytes(old.memory.view)


def test_zero_magic_in_a_mapping_is_noticed_at_the_next_place():
    with source("mapped") as old, target("mapped") as device:
        chunks = Vmm(old).save()
        vmm = Vmm(device)
        vmm.put("device_state", RESUMING)
        vmm.give(damaged(chunks[0], 0, bytes(4)))
        with refused("not come whole"):
            vmm.get("data_offset")
        with refused():
            vmm.put("device_state", RUNNING)


def test_corruption_passes_without_integrity():
    with source("trapped", integrity="off") as old, target("trapped") as device:
        chunks = Vmm(old).save()
        chunks[0] = damaged(chunks[0], 100, b"\0\1\2\3")
        Vmm(device).resume(chunks)
        assert bytes(device.memory.view) != bytes(old.memory.view)


def test_running_needs_the_registers():
    with source("trapped") as old, target("trapped") as device:
        chunks = Vmm(old).save()
        vmm = Vmm(device)
        vmm.put("device_state", RESUMING)
        for chunk in chunks[:-1]:
            vmm.give(chunk)
        with refused("registers record has not come"):
            vmm.put("device_state", RUNNING)
        vmm.put("device_state", STOPPED)
        for state in (RUNNING, SAVING):
            with refused("registers record has not come"):
                vmm.put("device_state", state)
        device.reset()
        assert vmm.get("device_state") == RUNNING


def test_reordered_chunks_are_refused():
    with source("mapped") as old, target("mapped") as device:
        chunks = Vmm(old).save()
        with refused("registers record has not come"):
            Vmm(device).resume(chunks[-1:] + chunks[:-1])


def test_sizes_and_places_are_bounded():
    with target("trapped") as device:
        vmm = Vmm(device)
        vmm.put("device_state", RESUMING)
        with refused("data_offset is read first"):
            vmm.put("data_size", 64)
        with refused():
            device.pwrite(REGION, 0x1000, b"early")
        place = vmm.get("data_offset")
        for size in (0, (20 << 10) + 1, 1 << 63):
            with refused("a chunk here has"):
                vmm.put("data_size", size)
        vmm.put("data_size", 100)
        with refused("the chunk's place"):
            device.pwrite(REGION, place + 96, b"12345")
        with refused():
            vmm.put("data_size", 100)
        device.pwrite(REGION, place + 50, b"\1" * 50)
        with refused("not come whole"):
            vmm.get("data_offset")
        with refused("magic"):
            device.pwrite(REGION, place, b"\1" * 50)


def test_smaller_destination_window_refuses_the_size():
    with source("mapped") as old, open_emulated("emulated:v5?state=128K&chunk=16K") as device:
        chunks = Vmm(old).save()
        with refused("open the destination"):
            Vmm(device).resume(chunks)
