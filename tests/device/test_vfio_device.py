from __future__ import annotations

import errno
import os
import struct

import pytest
from vfio_model import CAPS, NIC, NIC2, READ, UUID, ModelRegion, cap, type_cap

from vfiokit.device.address import open_vfio
from vfiokit.device.base import Device
from vfiokit.device.container import Container
from vfiokit.device.dma_memory import allocate
from vfiokit.errors import DeviceBusyError, DeviceError, DeviceNotFoundError, NodeAccessError, RuleError
from vfiokit.uapi import vfio
from vfiokit.uapi.info import Area


@pytest.fixture
def device(kernel, root):
    with open_vfio(NIC, kernel=kernel, root=root) as device:
        yield device


@pytest.fixture
def mdev(kernel, root):
    with open_vfio(f"mdev:{UUID}", kernel=kernel, root=root) as device:
        yield device


def refused(call, *arguments, **options) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        call(*arguments, **options)
    return caught.value


def test_a_device_is_opened_and_closed_in_order(kernel, root):
    device = open_vfio(f"vfio:{NIC}", kernel=kernel, root=root)
    assert isinstance(device, Device)
    assert (device.name, device.address) == (NIC, f"vfio:{NIC}")
    assert device.info().is_pci
    assert device.container.iommu == vfio.VFIO_TYPE1v2_IOMMU
    device.close()
    device.close()
    assert kernel.closed == ["device", "group 12", "container"]
    assert refused(device.pread, 7, 0, 4).errno == errno.EBADF
    assert refused(device.map_dma, 0, memoryview(bytearray(1))).errno == errno.EBADF


# What each step's failure must leave behind: nothing.
STEPS = [
    "open /dev/vfio/vfio",
    vfio.VFIO_GET_API_VERSION,
    vfio.VFIO_CHECK_EXTENSION,
    "open /dev/vfio/12",
    vfio.VFIO_GROUP_GET_STATUS,
    vfio.VFIO_GROUP_SET_CONTAINER,
    vfio.VFIO_SET_IOMMU,
    vfio.VFIO_GROUP_GET_DEVICE_FD,
    vfio.VFIO_DEVICE_GET_INFO,
]


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize(
    "number",
    [errno.EPERM, errno.EBUSY, errno.ENODEV, errno.EINVAL, errno.EIO],
    ids=lambda n: errno.errorcode[n],
)
def test_a_step_that_fails_leaves_nothing_open(kernel, root, step, number):
    kernel.refuse[step] = number
    error = refused(open_vfio, NIC, kernel=kernel, root=root)
    assert error.errno == number
    assert kernel.files == {}
    kernel.refuse.clear()
    open_vfio(NIC, kernel=kernel, root=root).close()


def test_type1_is_taken_where_type1v2_is_refused(kernel, root):
    kernel.refuse["SET_IOMMU", vfio.VFIO_TYPE1v2_IOMMU] = errno.ENODEV
    with open_vfio(NIC, kernel=kernel, root=root) as device:
        assert device.container.iommu == vfio.VFIO_TYPE1_IOMMU


def test_other_api_and_no_iommu_driver(kernel, root):
    kernel.api_version = 1
    assert "VFIO_API_VERSION is 0" in str(refused(open_vfio, NIC, kernel=kernel, root=root))
    kernel.api_version = 0
    kernel.extensions = {vfio.VFIO_NOIOMMU_IOMMU}
    assert "modprobe vfio_iommu_type1" in str(refused(open_vfio, NIC, kernel=kernel, root=root))
    assert kernel.files == {}


def test_two_devices_share_a_container(kernel, root):
    with Container(kernel=kernel, root=root) as container:
        a = open_vfio(NIC, container=container)
        b = open_vfio(NIC2, container=container)
        again = open_vfio(NIC, container=container)  # a group opens once, and is shared
        assert a.group is again.group
        memory = allocate(0x2000)
        a.map_dma(0x1000, memory.view)
        b.map_dma(0x1000, memory.view)
        assert a.unmap_dma(0x1000, 0x2000) == 0x2000
        assert refused(memory.close).errno == errno.EBUSY  # b's mapping holds it
        assert b.unmap_dma(0x1000, 0x2000) == 0x2000
        memory.close()
        shared, own = allocate(0x1000), allocate(0x1000)
        a.map_dma(0, shared.view)
        b.map_dma(0, shared.view)
        a.map_dma(0x1000, own.view)
        assert refused(a.map_dma, 0, shared.view).errno == errno.EEXIST
        a.close()  # with its own mappings, not with b's
        assert kernel.closed == ["device"]
        own.close()
        assert refused(shared.close).errno == errno.EBUSY
        again.close()
        assert kernel.closed == ["device", "device", "group 12"]
    shared.close()
    assert kernel.closed[3:] == ["device", "group 13", "container"]
    assert kernel.files == {}


def test_regions_with_their_capabilities_in_any_order(mdev, kernel):
    region = mdev.region(9)
    assert region.type == (2, 1)
    assert region.sparse == (Area(0x1000, 0x2000), Area(0x4000, 0x1000))
    model = kernel.groups[20].devices[UUID].regions[9]
    model.caps = type_cap(0, 3, 1) + cap(vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 56, b"") + cap(99, 32, b"")
    model.first = 48
    region = mdev.region(9)
    assert (region.type, region.sparse, region.msix_mappable) == ((3, 1), None, True)
    assert region.other_capabilities == (99,)


def test_a_hole_in_the_middle_is_einval(mdev):
    assert refused(mdev.region, 8).errno == errno.EINVAL
    assert refused(mdev.irq, 3).errno == errno.EINVAL
    assert (mdev.irq(2).name, mdev.irq(2).count) == ("MSIX", 8)


HOSTILE = {
    "inside the structure": (8, type_cap(0, 2, 1)),
    "outside the answer": (0x1000, type_cap(0, 2, 1)),
    "head cut": (44, type_cap(0, 2, 1)),
    "loop to itself": (32, type_cap(32, 2, 1)),
    "loop of two": (32, cap(99, 40, b"") + cap(98, 32, b"")),
    "type cut": (32, cap(2, 0, b"\0" * 4)),
    "areas pass the end": (32, cap(1, 0, struct.pack("=IIQQ", 2, 0, 0, 0x1000))),
    "areas beyond all": (32, cap(1, 0, struct.pack("=II", 0xFFFF_FFFF, 0))),
}


@pytest.mark.parametrize(("first", "caps"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_capability_chains_break_the_rule(mdev, kernel, first, caps):
    kernel.groups[20].devices[UUID].regions[9] = ModelRegion(READ | CAPS, 0x1000, caps, first)
    with pytest.raises(RuleError) as caught:
        mdev.region(9)
    assert UUID in str(caught.value)


def test_an_answer_that_wants_too_much_memory_breaks_the_rule(mdev, kernel):
    kernel.groups[20].devices[UUID].regions[9].caps = bytes(2 << 20)
    with pytest.raises(RuleError, match="argsz"):
        mdev.region(9)


def test_trapped_access_is_cut_at_the_regions_end(device, kernel):
    assert device.pread(7, 0, 4) == struct.pack("<HH", 0x8086, 0x1572)
    assert device.pwrite(7, 0xFC, memoryview(b"abcdefgh")) == 4
    assert device.pread(7, 0xFC, 100) == b"abcd"
    for region, offset in ((7, 256), (7, -1), (5, 0)):
        assert refused(device.pread, region, offset, 4).errno == errno.EINVAL
    kernel.refuse["pread"] = errno.EIO
    error = refused(device.pread, 7, 8, 4)
    assert (error.errno, error.operation) == (errno.EIO, "pread(region 7, 0x8, 4)")


def test_mapping(device):
    view = device.mmap(0, 0x1000, 0x2000)
    assert (len(view), view.readonly) == (0x2000, False)
    view[5] = 7
    assert refused(device.mmap, 0, 0x1000, 0x1000).errno == errno.EEXIST
    assert refused(device.munmap, 0, 0x1000).errno == errno.EBUSY
    view.release()
    device.munmap(0, 0x1000)
    assert refused(device.munmap, 0, 0x1000).errno == errno.EINVAL
    rom = device.mmap(6, 0, 0x1000)
    assert rom.readonly
    rom.release()


@pytest.mark.parametrize(
    ("region", "offset", "size"),
    [(0, 0x10, 0x1000), (0, 0, 0x10), (0, 0x3000, 0x2000), (0, 0, 0), (7, 0, 0x1000)],
)
def test_mapping_refused_says_what_can_be_mapped(device, region, offset, size):
    error = refused(device.mmap, region, offset, size)
    assert error.errno == errno.EINVAL
    assert "areas that may be mapped" in error.hint


def test_closing_with_a_view_in_use_warns_and_closes(kernel, root):
    device = open_vfio(NIC, kernel=kernel, root=root)
    view = device.mmap(0, 0, 0x1000)
    with pytest.warns(ResourceWarning, match="region 0 at 0x0"):
        device.close()
    assert kernel.files == {}
    view.release()


def test_reset(device, kernel):
    device.reset()
    assert kernel.groups[12].devices[NIC].resets == 1
    kernel.groups[12].devices[NIC].flags = vfio.VFIO_DEVICE_FLAGS_PCI
    kernel.refuse[vfio.VFIO_DEVICE_RESET] = errno.EINVAL
    assert "no reset of its own" in refused(device.reset).hint


def test_interrupts(device, kernel):
    device.set_irqs(2, [10, None, 12], start=1)
    device.set_irqs(2, [])
    first, off = kernel.groups[12].devices[NIC].irq_sets
    assert struct.unpack("=IIIII3i", first) == (32, 4 | 32, 2, 1, 3, 10, -1, 12)
    assert struct.unpack("=IIIII", off) == (20, 1 | 32, 2, 0, 0)


def test_somebody_has_the_group(kernel, root):
    kernel.groups[12].opened = True
    process = root / "proc/4242"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("qemu-system-x86\n")
    (process / "fd/3").symlink_to("/dev/vfio/12")
    (process / "fd/9").touch()  # no link: an fd that went away while looking
    with pytest.raises(DeviceBusyError, match=r"qemu-system-x86 \(pid 4242\)"):
        open_vfio(NIC, kernel=kernel, root=root)


def test_this_process_has_the_group(kernel, root):
    kernel.groups[12].opened = True
    process = root / "proc" / str(os.getpid())
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("python\n")
    (process / "fd/3").symlink_to("/dev/vfio/12")
    with pytest.raises(DeviceBusyError, match="open both with one container"):
        open_vfio(NIC, kernel=kernel, root=root)


@pytest.mark.parametrize("node", ["vfio", "12"])
def test_a_node_that_may_not_be_opened(kernel, root, node):
    kernel.refuse[f"open /dev/vfio/{node}"] = errno.EACCES
    (root / "dev/vfio" / node).touch()
    (root / "dev/vfio" / node).chmod(0o640)
    with pytest.raises(NodeAccessError) as caught:
        open_vfio(NIC, kernel=kernel, root=root)
    assert f"/dev/vfio/{node}" in str(caught.value)
    assert "mode -rw-r-----" in str(caught.value)
    assert "chown" in caught.value.hint


def test_vfio_is_not_loaded(kernel, root):
    kernel.refuse["open /dev/vfio/vfio"] = errno.ENODEV
    with pytest.raises(DeviceNotFoundError, match="modprobe"):
        open_vfio(NIC, kernel=kernel, root=root)


def test_device_is_not_in_its_group(kernel, root):
    kernel.groups[12].devices.clear()
    with pytest.raises(DeviceNotFoundError, match="members of the group"):
        open_vfio(NIC, kernel=kernel, root=root)
    assert kernel.files == {}
