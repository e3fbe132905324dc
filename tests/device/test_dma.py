from __future__ import annotations

import errno
import mmap
import resource

import pytest
from vfio_model import NIC, ModelContainer, read_at

from vfiokit.device.address import open_vfio
from vfiokit.device.container import Container
from vfiokit.device.dma_memory import allocate, check_memlock
from vfiokit.errors import DeviceError, MemlockError
from vfiokit.uapi import vfio


@pytest.fixture
def device(kernel, root):
    with open_vfio(NIC, kernel=kernel, root=root) as device:
        yield device


def mappings(kernel) -> dict[int, tuple[int, int, int]]:
    return next(what.dma for what in kernel.files.values() if isinstance(what, ModelContainer))


def refused(call, *arguments, **options) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        call(*arguments, **options)
    return caught.value


def test_the_kernel_is_given_the_memorys_own_address(device, kernel):
    memory = allocate(0x3000)
    memory.view[0x1000:0x1005] = b"hello"
    device.map_dma(0x10000, memory.view[0x1000:], writable=False)
    ((iova, (size, vaddr, flags)),) = mappings(kernel).items()
    assert (iova, size, flags) == (0x10000, 0x2000, vfio.VFIO_DMA_MAP_FLAG_READ)
    assert vaddr == memory.address + 0x1000
    assert read_at(vaddr, 5) == b"hello"
    assert device.unmap_dma(0, 0x100000) == 0x2000
    assert mappings(kernel) == {}
    memory.close()
    memory.close()


def test_memory_stays_while_it_is_mapped(device, kernel):
    memory = allocate(0x1000)
    device.map_dma(0, memory.view)
    assert refused(memory.close).errno == errno.EBUSY
    memory.view[0] = 1  # and can still be used
    device.close()  # takes mappings along, before the group: the model insists
    memory.close()


@pytest.mark.parametrize(
    ("iova", "offset", "size"), [(0x10, 0, 0x1000), (0, 0x10, 0x1000), (0, 0, 0x10), (0, 0, 0)]
)
def test_what_is_not_aligned_is_refused_before_the_kernel_sees_it(device, kernel, iova, offset, size):
    memory = allocate(0x2000)
    error = refused(device.map_dma, iova, memory.view[offset : offset + size])
    assert error.errno in (errno.EINVAL, errno.EFAULT)
    assert mappings(kernel) == {}


def test_memory_that_cannot_be_written_is_refused(device):
    assert refused(device.map_dma, 0, memoryview(bytes(0x1000))).errno == errno.EFAULT
    assert refused(device.map_dma, 0, memoryview(bytearray(0x2000))[::2]).errno == errno.EFAULT


def test_memlock(device, kernel):
    kernel.refuse[vfio.VFIO_IOMMU_MAP_DMA] = errno.ENOMEM
    memory = allocate(1 << 20)
    with pytest.raises(MemlockError) as caught:
        device.map_dma(0, memory.view)
    assert "1024 KiB more" in caught.value.rule
    assert "RLIMIT_MEMLOCK is" in caught.value.rule
    assert "ulimit -l" in caught.value.hint
    memory.close()  # a refused mapping does not hold it


def test_overlap_range_and_limit(device, kernel):
    memory = allocate(0x2000)
    device.map_dma(0, memory.view)
    error = refused(device.map_dma, 0x1000, memory.view)
    assert (error.errno, error.device) == (errno.EEXIST, NIC)
    assert refused(device.unmap_dma, 0, 0x1000).errno == errno.EINVAL
    kernel.refuse[vfio.VFIO_IOMMU_MAP_DMA] = errno.EINVAL
    assert "[0x0, 0xffffffff]" in refused(device.map_dma, 1 << 40, memory.view).hint
    kernel.refuse[vfio.VFIO_IOMMU_MAP_DMA] = errno.ENOSPC
    assert "dma_entry_limit" in refused(device.map_dma, 1 << 40, memory.view).hint


def test_container_info(device, kernel, root):
    info = device.container.info()
    assert info.page_sizes == (0x1000, 0x200000)
    assert info.page_size == 0x1000
    assert info.iova_ranges == ((0, 0xFFFF_FFFF),)
    assert info.dma_avail == 100
    with Container(kernel=kernel, root=root) as empty:
        assert refused(empty.info).errno == errno.EINVAL
        assert refused(empty.map_dma, 0, allocate(0x1000).view).errno == errno.EINVAL
    assert refused(empty.info).errno == errno.EBADF


def test_allocate():
    with allocate(1) as memory:
        assert (memory.size, len(memory), memory.page_size) == (mmap.PAGESIZE, mmap.PAGESIZE, mmap.PAGESIZE)
        assert memory.address % mmap.PAGESIZE == 0
        assert bytes(memory.view) == bytes(memory.size)
    assert refused(allocate, 0).errno == errno.EINVAL
    assert refused(allocate, 4096, "3M").errno == errno.EINVAL
    assert refused(allocate, 1 << 70).errno == errno.ENOMEM


def test_hugepages_that_are_not_reserved_say_how():
    # More than any machine has reserved.
    error = refused(allocate, 1 << 46, "2M")
    assert "/proc/sys/vm/nr_hugepages" in error.hint
    assert f"echo {1 << 25} >" in error.hint
    assert "hugepages-1048576kB" in refused(allocate, 1 << 46, "1G").hint


def test_check_memlock(tmp_path, monkeypatch):
    status = tmp_path / "proc/self/status"
    status.parent.mkdir(parents=True)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 16, 1 << 16))
    status.write_text("VmLck:\t 12 kB\nCapEff:\t0000000000000000\n")
    with pytest.raises(MemlockError, match="64 KiB"):
        check_memlock(1 << 20, tmp_path)
    check_memlock(1 << 16, tmp_path)
    status.write_text("CapEff:\t0000000000004000\n")
    check_memlock(1 << 20, tmp_path)
