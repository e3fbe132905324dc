"""vfio-pci in the lab's guest: QEMU's emulated NVMe controller and NIC behind an emulated IOMMU."""

import errno
import json
import os
import struct
import subprocess
import sys

import pytest

from vfiokit.addresses import open_device
from vfiokit.device import binding, sysfs
from vfiokit.device.dma_memory import allocate
from vfiokit.emulated import open_emulated
from vfiokit.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    MemlockError,
    MigrationBlockedError,
    NodeAccessError,
)
from vfiokit.migration import migrate
from vfiokit.uapi.pci_config import decode

EDU, NVME, NIC = "0000:00:10.0", "0000:00:11.0", "0000:00:12.0"


@pytest.fixture(scope="module", autouse=True)
def bound():
    for address in (EDU, NVME, NIC):
        binding.bind(address, "vfio-pci")
    yield
    for address in (EDU, NVME, NIC):
        binding.unbind(address)


def vfiokit(*argv):
    return subprocess.run([sys.executable, "-m", "vfiokit", *argv], capture_output=True, text=True)


def test_they_are_discovered_with_group_and_driver():
    found = {one.name: one for one in sysfs.discover()}
    for address in (EDU, NVME, NIC):
        assert found[address].usable, found[address].why_not
        assert found[address].driver == "vfio-pci"
        assert found[address].group is not None
    assert found["0000:00:00.0"].usable is False
    assert found["0000:00:00.0"].why_not


def test_regions_and_capabilities_of_the_nvme_controller():
    with open_device(f"vfio:{NVME}") as device:
        info = device.info()
        assert info.is_pci
        bar = device.region(0)
        assert bar.size >= 0x4000
        assert bar.mappable
        assert bar.msix_mappable
        space = decode(device.pread(7, 0, device.region(7).size))
        assert space.value("PCI_VENDOR_ID") == 0x1B36
        assert space.capability("MSIX")
        assert space.capability("EXP")
        assert not space.problems


def test_a_bar_reads_the_same_mapped_and_trapped():
    with open_device(f"vfio:{NVME}") as device:
        command = struct.unpack("<H", device.pread(7, 4, 2))[0]
        device.pwrite(7, 4, struct.pack("<H", command | 2))
        trapped = struct.unpack("<I", device.pread(0, 8, 4))[0]  # NVMe VS: its version
        view = device.mmap(0, 0, 4096)
        mapped = struct.unpack_from("<I", view, 8)[0]
        view.release()
        device.munmap(0, 0)
        assert trapped == mapped
        assert trapped >> 16 >= 1


def test_the_nic_has_several_regions():
    with open_device(f"vfio:{NIC}") as device:
        sizes = {index: device.region(index).size for index in range(8)}
        assert sizes[0] == 0x20000
        assert sizes[7] == 4096
        with pytest.raises(DeviceError) as caught:
            device.region(8)  # no VGA: a hole
        assert caught.value.errno == errno.EINVAL


def test_dma_maps_and_what_is_refused():
    with open_device(f"vfio:{NVME}") as device, allocate(1 << 20) as memory:
        device.map_dma(0x100000, memory.view)
        with pytest.raises(DeviceError) as caught:
            device.map_dma(0x100000, memory.view)
        assert caught.value.errno == errno.EEXIST
        assert device.unmap_dma(0x100000, 1 << 20) == 1 << 20


def test_dma_really_goes_through_the_iommu():
    """QEMU's edu device copies from memory to its buffer and back (QEMU docs/specs/edu)."""
    with open_device(f"vfio:{EDU}") as device, allocate(2 * 4096) as memory:
        iova, buffer = 0x200000, 0x40000
        memory.view[:8] = b"vfiokit!"
        device.map_dma(iova, memory.view)
        device.pwrite(7, 4, struct.pack("<H", 0x6))  # memory space, bus master

        def dma(source, target, count, command):
            for offset, value in ((0x80, source), (0x88, target), (0x90, count), (0x98, command)):
                device.pwrite(0, offset, struct.pack("<Q", value))
            while struct.unpack("<Q", device.pread(0, 0x98, 8))[0] & 1:
                pass

        dma(iova, buffer, 8, 1)
        dma(buffer, iova + 4096, 8, 1 | 2)
        assert bytes(memory.view[4096:4104]) == b"vfiokit!"
        device.unmap_dma(iova, memory.size)


def test_hugepages():
    with open_device(f"vfio:{NVME}") as device, allocate(2 << 20, hugepages="2M") as memory:
        device.map_dma(0, memory.view)
        assert memory.page_size == 2 << 20
        device.unmap_dma(0, memory.size)


def test_reset():
    with open_device(f"vfio:{NIC}") as device:
        device.reset()
    with open_device(f"vfio:{EDU}") as device, pytest.raises(DeviceError) as caught:
        device.reset()
    assert caught.value.hint  # edu has none: the error says so


def test_migration_is_blocked_with_the_reason():
    with (
        open_device(f"vfio:{NVME}") as device,
        open_emulated("emulated:v5?clock=real") as there,
        pytest.raises(MigrationBlockedError, match="VFIO device doesn't support migration"),
    ):
        migrate(device, there, memory=1 << 20)
    done = vfiokit("migrate", f"vfio:{NVME}", "emulated:v5?clock=real", "--memory", "1M")
    assert done.returncode == 4
    assert "doesn't support migration" in done.stderr


def test_busy_says_who():
    with open_device(f"vfio:{NVME}"), pytest.raises(DeviceBusyError) as caught:
        open_device(f"vfio:{NVME}")
    assert "this process has the group open" in str(caught.value)


def test_not_bound_says_how():
    binding.unbind(NIC)
    try:
        with pytest.raises(DeviceNotFoundError) as caught:
            open_device(f"vfio:{NIC}")
        assert "vfio-pci" in str(caught.value)
    finally:
        binding.bind(NIC, "vfio-pci")


@pytest.fixture
def nobody():
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("nobody")
def test_without_rights_it_names_the_node():
    with pytest.raises(NodeAccessError) as caught:
        open_device(f"vfio:{NVME}")
    assert "/dev/vfio/" in str(caught.value)


def test_memlock_is_told_apart():
    script = (
        "import os, resource\n"
        "from vfiokit.addresses import open_device\n"
        "from vfiokit.device.dma_memory import allocate\n"
        f"device = open_device('vfio:{NVME}')\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "os.seteuid(65534)\n"
        "memory = allocate(1 << 20)\n"
        "try:\n"
        "    device.map_dma(0, memory.view)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert MemlockError.__name__ in done.stdout, done.stdout + done.stderr
    assert "ulimit -l" in done.stdout


def test_the_command_line_lists_and_shows_them():
    listed = json.loads(vfiokit("devices", "--probe", "--json").stdout)
    by_name = {one["name"]: one for one in listed}
    assert by_name[NVME]["usable"]
    assert "none of its" in by_name[NVME]["migration"]
    shown = vfiokit("show", f"vfio:{NVME}")
    assert shown.returncode == 0, shown.stderr
    assert "MSI-X table" in shown.stdout
    assert "no migration region" in shown.stdout
    assert "PCI_EXP" in shown.stdout or "EXP.EXP_FLAGS" in shown.stdout
