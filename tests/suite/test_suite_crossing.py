"""A stream between the emulated device and this suite's: one model, two drivers, one kind of stream."""

import pytest
from reach import STATE, WAY, registers_of

from vfiokit.addresses import open_device
from vfiokit.emulated.program import write_register
from vfiokit.migration import load_file, save_file

MEMORY = 1 << 20


def emulated(options=""):
    clock = "&clock=real" if WAY == "kernel" else ""
    return open_device(f"emulated:v5?state={STATE}&fill=random&name=other{clock}{options}")


def without_status(device):
    return {name: value for name, value in registers_of(device).items() if name != "STATUS"}


@pytest.mark.parametrize("data", ["mapped", "direct"])
def test_from_the_emulated_device(world, tmp_path, data):
    path = tmp_path / "stream"
    with emulated(f"&data={data}") as source:
        write_register(source, "SCRATCH", 0x77)
        write_register(source, "STATE_DOORBELL", 10)
        save_file(source, path, memory=MEMORY)
        want = without_status(source)
    there = world.open("mapped")
    load_file(path, there, memory=MEMORY)
    assert without_status(there) == want


def test_to_the_emulated_device(world, tmp_path):
    source = world.open("mapped")
    write_register(source, "SCRATCH", 0x78)
    write_register(source, "STATE_DOORBELL", 10)
    path = tmp_path / "stream"
    save_file(source, path, memory=MEMORY)
    want = without_status(source)
    with emulated() as there:
        load_file(path, there, memory=MEMORY)
        assert without_status(there) == want
