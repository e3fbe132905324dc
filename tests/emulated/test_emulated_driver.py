"""A vendor driver made of handlers: the plumbing calls them, and makes typed errors of what they do."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendor_driver import Solution

import vfiokit
from vfiokit.emulated.driver import VendorDriver, open_driver
from vfiokit.errors import AddressError, DeviceError, MigrationFailedError
from vfiokit.uapi.migration_v5 import REGISTERS

REGION = 9
ADDRESS = "emulated:v5?state=64K"


def get(device, name):
    register = REGISTERS[name]
    return int.from_bytes(device.pread(REGION, register.offset, register.width), "little")


def put(device, name, value):
    register = REGISTERS[name]
    device.pwrite(REGION, register.offset, value.to_bytes(register.width, "little"))


def test_a_driver_of_handlers_migrates():
    source = open_driver(Solution, f"{ADDRESS}&dirty=20M/s&dma=4M/s&name=a")
    there = open_driver(Solution, f"{ADDRESS}&seed=2&name=b")
    assert source.memory.view != there.memory.view
    report = vfiokit.migrate(source, there, memory=1 << 20)
    assert report.verified
    assert source.memory.view == there.memory.view


def test_each_handler_that_is_missing_is_named():
    with open_driver(VendorDriver, ADDRESS) as device:
        with pytest.raises(DeviceError, match="ENOSYS") as caught:
            put(device, "device_state", 3)
        assert caught.value.rule == "the handler set_state is not written yet"
        assert device.handlers.unwritten == {"set_state"}
        assert get(device, "device_state") == 1


def made(**handlers):
    return type("Made", (Solution,), handlers)


def failing(error):
    def handler(*_arguments):
        raise error

    return handler


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "returned None"),
        (-1, "returned -1"),
        (1 << 64, "returned"),
        ("7", "returned '7'"),
        (1.5, "1.5"),
    ],
)
@pytest.mark.parametrize("name", ["pending_bytes", "data_offset", "data_size"])
def test_what_is_no_register_s_value_is_eio(name, answer, said):
    with open_driver(made(**{name: lambda _self: answer}), ADDRESS) as device:
        put(device, "device_state", 3)
        with pytest.raises(DeviceError) as caught:
            get(device, name)
        assert caught.value.errno == errno.EIO
        assert said in caught.value.rule


def test_a_handler_s_own_error_is_told_with_its_type():
    with open_driver(made(set_state=failing(KeyError("oops"))), ADDRESS) as device:
        with pytest.raises(DeviceError) as caught:
            put(device, "device_state", 3)
        assert (caught.value.errno, caught.value.rule) == (
            errno.EIO,
            "the handler set_state raised KeyError: 'oops'",
        )


def test_a_refusal_is_einval_and_changes_nothing():
    with open_driver(Solution, ADDRESS) as device:
        with pytest.raises(DeviceError, match="EINVAL") as caught:
            put(device, "device_state", 6)
        assert caught.value.rule == "RESUMING goes alone"
        assert get(device, "device_state") == 1
        assert device.hardware.running


def test_a_chunk_may_come_before_or_after_its_size():
    """v5 spec 2.3: trapped data after the size; the merged interface has it before."""
    with open_driver(Solution, ADDRESS) as device:
        put(device, "device_state", 0)
        put(device, "device_state", 4)
        for block, size_first in ((1, True), (2, False)):
            chunk = block.to_bytes(8, "little") + bytes([block]) * 4096
            place = get(device, "data_offset")
            if size_first:
                put(device, "data_size", len(chunk))
            device.pwrite(REGION, place, chunk)
            if not size_first:
                put(device, "data_size", len(chunk))
            assert device.hardware.read(block) == bytes([block]) * 4096


def test_a_reset_makes_a_driver_that_knows_nothing():
    with open_driver(Solution, ADDRESS) as device:
        put(device, "device_state", 3)
        put(device, "device_state", 2)
        before = device.handlers.driver
        device.reset()
        assert device.handlers.driver is not before
        assert get(device, "device_state") == 1
        assert device.hardware.running


def test_a_driver_that_fails_fails_the_migration_with_its_words():
    source = open_driver(made(data_size=failing(RuntimeError("full"))), f"{ADDRESS}&name=a")
    with pytest.raises(MigrationFailedError) as caught:
        vfiokit.migrate(source, open_driver(Solution, f"{ADDRESS}&name=b"), memory=1 << 20)
    assert caught.value.rule == "the handler data_size raised RuntimeError: full"


@pytest.mark.parametrize("address", ["emulated:none", f"{ADDRESS}&fault=data_offset:0"])
def test_an_address_that_a_driver_cannot_have(address):
    with pytest.raises(AddressError):
        open_driver(Solution, address)


steps = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(sorted(REGISTERS)), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("state"), st.integers(0, 7)),
    st.tuples(st.just("read"), st.sampled_from(sorted(REGISTERS))),
    st.tuples(st.just("data"), st.integers(0, 0x3000), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("take"), st.integers(0, 0x3000), st.integers(1, 5000)),
)


@given(st.lists(steps, max_size=30))
def test_whatever_a_vmm_does_it_gets_an_answer_or_a_device_error(made_steps):
    with open_driver(Solution, f"{ADDRESS}&dirty=1M/s") as device:
        for kind, *rest in made_steps:
            try:
                if kind == "write":
                    width = REGISTERS[rest[0]].width
                    put(device, rest[0], rest[1] & ((1 << 8 * width) - 1))
                elif kind == "state":
                    put(device, "device_state", rest[0])
                elif kind == "read":
                    get(device, rest[0])
                elif kind == "data":
                    device.pwrite(REGION, *rest)
                else:
                    device.pread(REGION, *rest)
            except DeviceError:
                continue
        assert 0 <= get(device, "device_state") < 1 << 32
