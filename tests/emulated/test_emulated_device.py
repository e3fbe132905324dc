"""The device around the migration region: identity, BARs, config space, options, faults."""

from __future__ import annotations

import contextlib
import errno
import struct
import subprocess
import sys

import pytest
from emulated_vmm import PRECOPY, REGION, SAVING, Vmm
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.clock import RealClock, SimulatedClock
from vfiokit.device.base import Device
from vfiokit.emulated import (
    FailAccess,
    FaultyDevice,
    ForceRead,
    ShortAccess,
    model,
    open_emulated,
    parse_address,
)
from vfiokit.emulated.config_space import ConfigSpace
from vfiokit.errors import AddressError, DeviceError


@pytest.fixture
def device():
    with open_emulated("emulated:v5?state=64K") as device:
        yield device


def test_is_a_device(device):
    assert isinstance(device, Device)
    info = device.info()
    assert (info.is_pci, info.has_reset, info.num_regions, info.num_irqs) == (True, True, 10, 5)
    assert [device.irq(n).count for n in range(5)] == [0, 4, 8, 1, 1]
    assert [device.region(n).size for n in range(9)] == [4096, 0, 16384, 0, 0, 0, 0, 4096, 0]
    for call in (device.region, device.irq):
        with pytest.raises(DeviceError):
            call(10)


def test_device_without_migration():
    with open_emulated("emulated:none?name=plain") as device:
        assert device.name == "plain"
        assert all(device.region(n).type is None for n in range(device.info().num_regions))
        with pytest.raises(DeviceError):
            device.pread(REGION, 0, 4)


def test_bar0_is_the_model(device):
    for register in model.REGISTERS.values():
        whole = (register.offset, register.width)
        halves = [(register.offset, 4), (register.offset + 4, 4)] if register.width == 8 else []
        for offset, width in (whole, *halves):
            if "r" in register.access:
                assert len(device.pread(0, offset, width)) == width
            else:
                with pytest.raises(DeviceError):
                    device.pread(0, offset, width)
            if "w" not in register.access:
                with pytest.raises(DeviceError):
                    device.pwrite(0, offset, bytes(width))
    for offset, width in ((1, 4), (2, 2), (0, 8), (0x14, 8), (0x1A, 4), (0x68, 4), (0xFFC, 4), (0x1000, 4)):
        with pytest.raises(DeviceError):
            device.pread(0, offset, width)
    assert device.pread(0, 0, 8 - 4) == b"VKD1"
    device.pwrite(0, 0x1C, b"\1\0\0\0")
    assert device.pread(0, 0x18, 8) == struct.pack("<Q", 1 << 32)
    for offset, value in ((0x14, 4), (0x18, 0x800)):
        with pytest.raises(DeviceError, match="device model"):
            device.pwrite(0, offset, struct.pack("<I", value))


def test_bar2_scratch_is_mapped_and_table_is_bytes(device):
    view = device.mmap(2, 0x2000, 0x2000)
    view[:5] = b"hello"
    assert device.pread(2, 0x2000, 5) == b"hello"
    device.pwrite(2, 0x3FFE, b"ab")
    assert bytes(view[-2:]) == b"ab"
    assert device.pread(2, 0, 128) == struct.pack("<IIII", 0, 0, 0, 1) * 8
    device.pwrite(2, 0x70, b"\xff" * 32)
    assert device.pread(2, 0x70, 32) == b"\xff" * 16 + bytes(16)
    device.pwrite(2, 0x1000, b"\xff" * 8)
    assert device.pread(2, 0x1000, 8) == bytes(8)
    for offset, size in ((0, 4096), (0x1000, 0x2000), (0x2000, 0x3000), (0x2800, 16)):
        with pytest.raises(DeviceError, match="EINVAL"):
            device.mmap(2, offset, size)
    view.release()
    device.munmap(2, 0x2000)


def test_reset(device):
    device.pwrite(0, 0x10, b"abcd")
    device.pwrite(2, 0x2000, b"abcd")
    device.pwrite(7, 0x10, b"\xff" * 4)
    device.reset()
    assert device.pread(0, 0x10, 4) + device.pread(2, 0x2000, 4) + device.pread(7, 0x10, 4) == bytes(12)
    assert bytes(device.memory.view) == bytes(64 << 10)
    assert device.pread(0, 0x34, 4) == b"\1\0\0\0"
    assert device.pread(0, 0x0C, 4) == b"\1\0\0\0"


def test_closed_is_closed(device):
    view = device.mmap(REGION, 0x1000, 4096)
    device.close()
    device.close()
    assert len(bytes(view)) == 4096
    for call in (lambda: device.pread(0, 0, 4), device.info, device.reset):
        with pytest.raises(DeviceError) as error:
            call()
        assert error.value.errno == errno.EBADF


def test_bar_sizing():
    config = ConfigSpace()
    for offset, expected in (
        (0x10, 0xFFFFF000),
        (0x14, 0),
        (0x18, 0xFFFFC004),
        (0x1C, 0xFFFFFFFF),
        (0x30, 0),
    ):
        config.write(offset, b"\xff" * 4)
        assert int.from_bytes(config.read(offset, 4), "little") == expected


@given(st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=16)), max_size=20))
def test_only_masked_config_bits_change(writes):
    config, fresh = ConfigSpace(), ConfigSpace()
    for offset, data in writes:
        config.write(offset, data[: 4096 - offset])
    wmask = model.CONFIG_WMASK + bytes(4096 - 256)
    assert all(
        (a ^ b) & ~mask == 0
        for a, b, mask in zip(config.read(0, 4096), fresh.read(0, 4096), wmask, strict=True)
    )


def test_extended_capabilities():
    config, seen, at = ConfigSpace(serial=0x1122), {}, 0x100
    while at:
        (head,) = struct.unpack("<I", config.read(at, 4))
        seen[at] = head & 0xFFFF
        at = head >> 20
    assert seen == {0x100: 0x0B, 0x140: 0x03}
    assert config.read(0x144, 8) == struct.pack("<Q", 0x1122)


@pytest.mark.parametrize(("irq", "msi", "msix"), [("none", 0, 0), ("msi", 1, 0), ("msix", 0, 1)])
def test_interrupt_presets(irq, msi, msix):
    with open_emulated(f"emulated:v5?state=4K&irq={irq}") as device:
        assert device.pread(7, 0x52, 1)[0] & 1 == msi
        assert device.pread(7, 0x73, 1)[0] >> 7 == msix
        assert device.pread(2, 12, 1)[0] == (not msix)


def test_clock_is_shared():
    clock = SimulatedClock()
    with (
        open_emulated("emulated:v5?state=32K&dirty=4M/s", clock=clock) as a,
        open_emulated("emulated:v5?state=32K&dirty=8M/s", clock=clock) as b,
    ):
        clock.sleep(10**9)
        assert [int.from_bytes(d.pread(0, 0x58, 8), "little") for d in (a, b)] == [1024, 2048]
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
    with open_emulated("emulated:v5?state=4K&clock=real") as device:
        assert isinstance(device.clock, RealClock)
        assert device.clock.now() <= device.clock.now()


def test_options():
    options = parse_address(
        "emulated:v5?state=64M&dirty=40M/s&dma=8M/s&pattern=hot&param=256&data=mixed&chunk=1M&bitmap=4K"
        "&seed=1&irq=msix&name=0000:00:05.0&integrity=off&clock=real&all=on&window=0x40000000:64M&type=3"
        "&fault=data_offset:0&fault=errno:EIO@data"
    )
    assert (options.state, options.dirty, options.dma) == (64 << 20, 40 << 20, 8 << 20)
    assert (options.window, options.type, options.integrity) == ((1 << 30, 64 << 20), 3, False)
    assert (options.name, options.fault) == ("0000:00:05.0", ("data_offset:0", "errno:EIO@data"))
    assert parse_address("emulated:v5") == parse_address("emulated:v5?")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("vfio:0", "not an emulated device"),
        ("emulated", "not an emulated device"),
        ("emulated:v2", "no emulated device 'v2'"),
        ("emulated:v5?stat=1M", "did you mean 'state'"),
        ("emulated:v5?state", "has no value"),
        ("emulated:v5?state=", "state= cannot be"),
        ("emulated:v5?state=1000", "multiple of 4K"),
        ("emulated:v5?state=0", "at least 4K"),
        ("emulated:v5?chunk=4K", "at least 16K"),
        ("emulated:v5?pattern=rnd", "ring, random, hot, strided"),
        ("emulated:v5?data=maped", "did you mean 'mapped'"),
        ("emulated:v5?bitmap=12", "multiple of 8"),
        ("emulated:v5?seed=4G", "32 bits"),
        ("emulated:v5?window=64M", "IOVA:SIZE"),
        ("emulated:v5?seed=1&seed=2", "given twice"),
        ("emulated:v5?state=-1", "a number"),
        ("emulated:v5?fault=nonsense", "cannot be understood"),
        ("emulated:v5?fault=pending_byte:0", "did you mean 'pending_bytes'"),
        ("emulated:v5?fault=pending_bytes:low", "knows no 'low'"),
        ("emulated:v5?fault=errno:EWHAT@data", "not an errno"),
        ("emulated:v5?fault=errno:EIO@data#0", "cannot be understood"),
        ("emulated:v5?fault=short:x@data", "number of bytes"),
        ("emulated:v5?fault=data:7", "register's value"),
    ],
)
def test_bad_addresses(address, says):
    with pytest.raises(AddressError, match=says):
        open_emulated(address)


@given(st.text(alphabet="statedu=&?:kM0123456789x#@/ -", max_size=40))
def test_any_address_gives_options_or_an_address_error(text):
    with contextlib.suppress(AddressError):
        assert parse_address("emulated:v5?" + text).state % 4096 == 0


def test_named_faults():
    with open_emulated(
        "emulated:v5?state=64K&fault=pending_bytes:never-falls&fault=data_offset:past-end"
        "&fault=data_size=too-large&fault=copied_pfns:more&fault=errno:EIO@device_state#3"
    ) as device:
        assert isinstance(device, Device)
        size = device.region(REGION).size
        vmm = Vmm(device)
        vmm.put("device_state", PRECOPY)
        full = vmm.get("pending_bytes")
        assert vmm.get("data_offset") == size
        assert vmm.get("data_size") == size + 1
        assert vmm.get("pending_bytes") == full > 0
        for name, value in (("start_pfn", 0), ("page_size", 4096), ("total_pfns", 8)):
            vmm.put(name, value)
        assert vmm.get("copied_pfns") == 72
        assert vmm.get("device_state") == PRECOPY
        with pytest.raises(DeviceError, match="a fault was asked for") as error:
            vmm.put("device_state", SAVING)
        assert error.value.errno == errno.EIO
        assert vmm.get("device_state") == PRECOPY
        assert device.clock.now() == 0  # everything else is the device's own


def test_fault_api():
    inner = open_emulated("emulated:v5?state=64K&data=trapped")
    faults = [
        ForceRead("data_size", lambda value, device: value - 1),
        FailAccess("data", errno.EFAULT, at=2),
        ShortAccess("data", 5, at=1),
        ShortAccess("pending_bytes", 0),
    ]
    with FaultyDevice(inner, faults) as device:
        vmm = Vmm(device)
        vmm.put("device_state", SAVING)
        place = vmm.get("data_offset")
        size = vmm.get("data_size")
        assert len(device.pread(REGION, place, size)) == 5
        with pytest.raises(DeviceError, match="EFAULT"):
            device.pread(REGION, place, size)
        assert len(device.pread(REGION, place, size)) == size
        assert device.pread(REGION, 8, 8) == b""
    with pytest.raises(AddressError):
        FaultyDevice(inner, [FailAccess("nothing", 5)])


def test_importing_and_small_work_needs_no_numpy():
    code = (
        "import sys\nfrom vfiokit.emulated import open_emulated\n"
        "d = open_emulated('emulated:v5?state=1M&dirty=400K/s'); d.clock.advance(10**9)\n"
        "d.pwrite(9, 0, bytes([3, 0, 0, 0])); d.pread(9, 8, 8); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
