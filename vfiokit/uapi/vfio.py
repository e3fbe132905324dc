"""``linux/vfio.h``: what a region-based migration needs of it.

Container, group and device ioctls, region information with its capability chain, interrupts, DMA
mappings, reset. Names are the header's; structures are :class:`~vfiokit.uapi.ctypes_layout.CStruct`.
``tests/uapi/test_against_header.py`` holds every name here against the installed header.
"""

from __future__ import annotations

from vfiokit.uapi.ctypes_layout import U8, U16, U32, U64, CStruct, c_struct

VFIO_API_VERSION = 0

# VFIO_CHECK_EXTENSION, VFIO_SET_IOMMU
VFIO_TYPE1_IOMMU = 1
VFIO_TYPE1v2_IOMMU = 3
VFIO_DMA_CC_IOMMU = 4
VFIO_NOIOMMU_IOMMU = 8
VFIO_UNMAP_ALL = 9
VFIO_UPDATE_VADDR = 10

_TYPE = ord(";")
_BASE = 100


def _io(number: int) -> int:
    # asm-generic/ioctl.h: _IO() has direction and size 0; VFIO states sizes by argsz instead.
    return _TYPE << 8 | (_BASE + number)


VFIO_GET_API_VERSION = _io(0)
VFIO_CHECK_EXTENSION = _io(1)
VFIO_SET_IOMMU = _io(2)
VFIO_GROUP_GET_STATUS = _io(3)
VFIO_GROUP_SET_CONTAINER = _io(4)
VFIO_GROUP_UNSET_CONTAINER = _io(5)
VFIO_GROUP_GET_DEVICE_FD = _io(6)
VFIO_DEVICE_GET_INFO = _io(7)
VFIO_DEVICE_GET_REGION_INFO = _io(8)
VFIO_DEVICE_GET_IRQ_INFO = _io(9)
VFIO_DEVICE_SET_IRQS = _io(10)
VFIO_DEVICE_RESET = _io(11)
VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = _io(12)
VFIO_DEVICE_PCI_HOT_RESET = _io(13)
VFIO_IOMMU_GET_INFO = _io(12)
VFIO_IOMMU_MAP_DMA = _io(13)
VFIO_IOMMU_UNMAP_DMA = _io(14)

VFIO_GROUP_FLAGS_VIABLE = 1 << 0
VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1

VFIO_DEVICE_FLAGS_RESET = 1 << 0
VFIO_DEVICE_FLAGS_PCI = 1 << 1
VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2
VFIO_DEVICE_FLAGS_AMBA = 1 << 3
VFIO_DEVICE_FLAGS_CCW = 1 << 4
VFIO_DEVICE_FLAGS_AP = 1 << 5
VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6
VFIO_DEVICE_FLAGS_CAPS = 1 << 7

VFIO_REGION_INFO_FLAG_READ = 1 << 0
VFIO_REGION_INFO_FLAG_WRITE = 1 << 1
VFIO_REGION_INFO_FLAG_MMAP = 1 << 2
VFIO_REGION_INFO_FLAG_CAPS = 1 << 3

VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1
VFIO_REGION_INFO_CAP_TYPE = 2
VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3

VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 1 << 31
VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xFFFF
VFIO_REGION_TYPE_GFX = 1
VFIO_REGION_TYPE_CCW = 2
VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1
VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3
VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1

VFIO_PCI_BAR0_REGION_INDEX = 0
VFIO_PCI_BAR1_REGION_INDEX = 1
VFIO_PCI_BAR2_REGION_INDEX = 2
VFIO_PCI_BAR3_REGION_INDEX = 3
VFIO_PCI_BAR4_REGION_INDEX = 4
VFIO_PCI_BAR5_REGION_INDEX = 5
VFIO_PCI_ROM_REGION_INDEX = 6
VFIO_PCI_CONFIG_REGION_INDEX = 7
VFIO_PCI_VGA_REGION_INDEX = 8
VFIO_PCI_NUM_REGIONS = 9

VFIO_PCI_INTX_IRQ_INDEX = 0
VFIO_PCI_MSI_IRQ_INDEX = 1
VFIO_PCI_MSIX_IRQ_INDEX = 2
VFIO_PCI_ERR_IRQ_INDEX = 3
VFIO_PCI_REQ_IRQ_INDEX = 4
VFIO_PCI_NUM_IRQS = 5

VFIO_IRQ_INFO_EVENTFD = 1 << 0
VFIO_IRQ_INFO_MASKABLE = 1 << 1
VFIO_IRQ_INFO_AUTOMASKED = 1 << 2
VFIO_IRQ_INFO_NORESIZE = 1 << 3

VFIO_IRQ_SET_DATA_NONE = 1 << 0
VFIO_IRQ_SET_DATA_BOOL = 1 << 1
VFIO_IRQ_SET_DATA_EVENTFD = 1 << 2
VFIO_IRQ_SET_ACTION_MASK = 1 << 3
VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4
VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5

VFIO_IOMMU_INFO_PGSIZES = 1 << 0
VFIO_IOMMU_INFO_CAPS = 1 << 1
VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1
VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2
VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3

VFIO_DMA_MAP_FLAG_READ = 1 << 0
VFIO_DMA_MAP_FLAG_WRITE = 1 << 1
VFIO_DMA_MAP_FLAG_VADDR = 1 << 2
VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0
VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1
VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2


@c_struct("vfio_info_cap_header")
class InfoCapHeader(CStruct):
    """Head of one capability; ``next`` is an offset from the start of the info buffer, 0 ends the chain."""

    id: U16
    version: U16
    next: U32


@c_struct("vfio_group_status")
class GroupStatus(CStruct):
    """Answer of VFIO_GROUP_GET_STATUS."""

    argsz: U32
    flags: U32


@c_struct("vfio_device_info")
class DeviceInfo(CStruct):
    """Answer of VFIO_DEVICE_GET_INFO."""

    argsz: U32
    flags: U32
    num_regions: U32
    num_irqs: U32
    cap_offset: U32


@c_struct("vfio_region_info")
class RegionInfo(CStruct):
    """Answer of VFIO_DEVICE_GET_REGION_INFO; ``offset`` is the region's place in the device's file."""

    argsz: U32
    flags: U32
    index: U32
    cap_offset: U32
    size: U64
    offset: U64


@c_struct("vfio_region_sparse_mmap_area")
class SparseMmapArea(CStruct):
    """One area of a region that may be mapped."""

    offset: U64
    size: U64


@c_struct("vfio_region_info_cap_sparse_mmap")
class RegionInfoCapSparseMmap(CStruct):
    """Sparse mmap capability; ``nr_areas`` areas follow."""

    header: InfoCapHeader
    nr_areas: U32
    reserved: U32


@c_struct("vfio_region_info_cap_type")
class RegionInfoCapType(CStruct):
    """Type capability of a device-specific region."""

    header: InfoCapHeader
    type: U32
    subtype: U32


@c_struct("vfio_irq_info")
class IrqInfo(CStruct):
    """Answer of VFIO_DEVICE_GET_IRQ_INFO."""

    argsz: U32
    flags: U32
    index: U32
    count: U32


@c_struct("vfio_irq_set")
class IrqSet(CStruct):
    """Argument of VFIO_DEVICE_SET_IRQS; the data follows."""

    argsz: U32
    flags: U32
    index: U32
    start: U32
    count: U32


@c_struct("vfio_pci_dependent_device")
class PciDependentDevice(CStruct):
    """One device that a hot reset would take with it."""

    group_id: U32
    segment: U16
    bus: U8
    devfn: U8


@c_struct("vfio_pci_hot_reset_info")
class PciHotResetInfo(CStruct):
    """Answer of VFIO_DEVICE_GET_PCI_HOT_RESET_INFO; ``count`` dependent devices follow."""

    argsz: U32
    flags: U32
    count: U32


@c_struct("vfio_pci_hot_reset")
class PciHotReset(CStruct):
    """Argument of VFIO_DEVICE_PCI_HOT_RESET; ``count`` group descriptors (s32) follow."""

    argsz: U32
    flags: U32
    count: U32


@c_struct("vfio_iommu_type1_info")
class IommuType1Info(CStruct):
    """Answer of VFIO_IOMMU_GET_INFO; a set bit n of ``iova_pgsizes`` is the page size 2**n."""

    argsz: U32
    flags: U32
    iova_pgsizes: U64
    cap_offset: U32


@c_struct("vfio_iova_range")
class IovaRange(CStruct):
    """An IOVA range that may be mapped; ``end`` is its last byte."""

    start: U64
    end: U64


@c_struct("vfio_iommu_type1_info_cap_iova_range")
class IommuCapIovaRange(CStruct):
    """The usable IOVA ranges; ``nr_iovas`` ranges follow."""

    header: InfoCapHeader
    nr_iovas: U32
    reserved: U32


@c_struct("vfio_iommu_type1_info_cap_migration")
class IommuCapMigration(CStruct):
    """The container's own dirty tracking (Linux 5.8)."""

    header: InfoCapHeader
    flags: U32
    pgsize_bitmap: U64
    max_dirty_bitmap_size: U64


@c_struct("vfio_iommu_type1_info_dma_avail")
class IommuDmaAvail(CStruct):
    """How many more DMA mappings the container takes."""

    header: InfoCapHeader
    avail: U32


@c_struct("vfio_iommu_type1_dma_map")
class DmaMap(CStruct):
    """Argument of VFIO_IOMMU_MAP_DMA."""

    argsz: U32
    flags: U32
    vaddr: U64
    iova: U64
    size: U64


@c_struct("vfio_iommu_type1_dma_unmap")
class DmaUnmap(CStruct):
    """Argument of VFIO_IOMMU_UNMAP_DMA; the kernel writes the unmapped bytes into ``size``."""

    argsz: U32
    flags: U32
    iova: U64
    size: U64


__all__ = tuple(
    name
    for name in dir()
    if name.startswith("VFIO_")
    or (isinstance(globals()[name], type) and issubclass(globals()[name], CStruct) and name != "CStruct")
)
