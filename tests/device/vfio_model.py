"""A model of the kernel's VFIO: containers, groups and devices behind the `Kernel` seam, and a sysfs tree."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

from vfiokit.uapi import vfio

NIC, NIC2 = "0000:3b:00.0", "0000:3b:00.1"
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
REGION_SHIFT = 40
READ, WRITE, MMAP, CAPS = 1, 2, 4, 8


def cap(identifier: int, following: int, body: bytes) -> bytes:
    return struct.pack("=HHI", identifier, 1, following) + body


def type_cap(following: int, kind: int, subtype: int) -> bytes:
    return cap(vfio.VFIO_REGION_INFO_CAP_TYPE, following, struct.pack("=II", kind, subtype))


def sparse_cap(following: int, *areas: tuple[int, int]) -> bytes:
    body = struct.pack("=II", len(areas), 0) + b"".join(struct.pack("=QQ", *area) for area in areas)
    return cap(vfio.VFIO_REGION_INFO_CAP_SPARSE_MMAP, following, body)


@dataclass
class ModelRegion:
    flags: int
    size: int
    caps: bytes = b""
    first: int = 32  # offset of the first capability
    data: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.data = bytearray(self.size)


@dataclass
class ModelDevice:
    regions: dict[int, ModelRegion]
    num_regions: int = 9
    flags: int = vfio.VFIO_DEVICE_FLAGS_PCI | vfio.VFIO_DEVICE_FLAGS_RESET
    irqs: dict[int, int] = field(default_factory=lambda: {0: 1, 1: 4, 2: 8})
    resets: int = 0
    irq_sets: list[bytes] = field(default_factory=list)


@dataclass
class ModelGroup:
    devices: dict[str, ModelDevice]
    viable: bool = True
    opened: bool = False
    container: int | None = None


@dataclass
class ModelContainer:
    iommu: int | None = None
    groups: list[int] = field(default_factory=list)
    dma: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # iova: size, vaddr, flags


class ModelKernel:
    """The kernel's side of ``/dev/vfio``; ``refuse[operation] = errno`` makes one operation fail.

    Operations are ``open PATH``, ioctl numbers, ``pread``, ``pwrite`` and ``mmap``.
    """

    def __init__(self, groups: dict[int, ModelGroup], root: Path) -> None:
        self.groups = groups
        self.root = root
        self.refuse: dict[object, int] = {}
        self.api_version = 0
        self.extensions = {vfio.VFIO_TYPE1v2_IOMMU, vfio.VFIO_TYPE1_IOMMU}
        self.page_sizes = 0x1000 | 0x200000
        self.dma_avail = 100
        self.files: dict[int, ModelContainer | tuple[int, ModelGroup] | tuple[int, ModelDevice]] = {}
        self.closed: list[str] = []
        self.log: list[str] = []
        self._next = 1000

    def _refuse(self, operation: object) -> None:
        if operation in self.refuse:
            raise OSError(self.refuse[operation], os.strerror(self.refuse[operation]))

    def _file(self, what: object) -> int:
        self._next += 1
        self.files[self._next] = what  # type: ignore[assignment]
        return self._next

    def open(self, path: str) -> int:
        node = "/" + str(Path(path).relative_to(self.root))
        self.log.append(f"open {node}")
        self._refuse(f"open {node}")
        if node == "/dev/vfio/vfio":
            return self._file(ModelContainer())
        number = int(Path(node).name)
        if number not in self.groups:
            raise OSError(errno.ENOENT, "no node")
        group = self.groups[number]
        if group.opened:
            raise OSError(errno.EBUSY, "opened")
        group.opened = True
        return self._file((number, group))

    def close(self, fd: int) -> None:
        what = self.files.pop(fd)
        if isinstance(what, ModelContainer):
            assert not what.groups, "container closed before its groups"
            self.closed.append("container")
            return
        number, thing = what
        if isinstance(thing, ModelGroup):
            in_use = [f for f in self.files.values() if isinstance(f, tuple) and f[0] == number]
            assert not in_use, "group closed before its devices"
            thing.opened = False
            if thing.container is not None:
                container = self.files[thing.container]
                assert isinstance(container, ModelContainer)
                container.groups.remove(number)
                if not container.groups:
                    container.iommu = None
                    assert not container.dma, "the last group left mappings behind"
                thing.container = None
            self.closed.append(f"group {number}")
        else:
            self.closed.append("device")

    def ioctl(self, fd: int, request: int, arg: int | bytearray = 0) -> int:
        self._refuse(request)
        what = self.files[fd]
        if isinstance(what, ModelContainer):
            return self._container(what, request, arg)
        number, thing = what
        if isinstance(thing, ModelGroup):
            return self._group(number, thing, request, arg)
        assert isinstance(arg, bytearray) or request == vfio.VFIO_DEVICE_RESET
        return self._device(thing, request, arg)

    def _container(self, container: ModelContainer, request: int, arg: int | bytearray) -> int:
        if request == vfio.VFIO_GET_API_VERSION:
            return self.api_version
        if request == vfio.VFIO_CHECK_EXTENSION:
            return int(arg in self.extensions)
        if request == vfio.VFIO_SET_IOMMU:
            if not container.groups or container.iommu is not None:
                raise OSError(errno.EINVAL, "")
            self._refuse(("SET_IOMMU", arg))
            container.iommu = arg
            return 0
        if container.iommu is None:
            raise OSError(errno.EINVAL, "")
        assert isinstance(arg, bytearray)
        if request == vfio.VFIO_IOMMU_GET_INFO:
            caps = cap(vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 40, struct.pack("=II", self.dma_avail, 0))
            caps += cap(1, 0, struct.pack("=IIQQ", 1, 0, 0, 0xFFFF_FFFF))
            argsz = struct.unpack_from("=I", arg)[0]
            whole = len(arg) >= 24 + len(caps) and argsz >= 24 + len(caps)
            struct.pack_into("=IIQI", arg, 0, 24 + len(caps), 3, self.page_sizes, 24 if whole else 0)
            if whole:
                arg[24:] = caps
            return 0
        if request == vfio.VFIO_IOMMU_MAP_DMA:
            _, flags, vaddr, iova, size = struct.unpack("=IIQQQ", arg)
            if any(
                iova < start + length and start < iova + size
                for start, (length, _, _) in container.dma.items()
            ):
                raise OSError(errno.EEXIST, "")
            container.dma[iova] = (size, vaddr, flags)
            return 0
        if request == vfio.VFIO_IOMMU_UNMAP_DMA:
            _, flags, iova, size = struct.unpack("=IIQQ", arg)
            done = 0
            for start, (length, _, _) in list(container.dma.items()):
                inside = iova <= start and start + length <= iova + size
                if not inside and iova < start + length and start < iova + size:
                    raise OSError(errno.EINVAL, "")
                if inside:
                    done += length
                    del container.dma[start]
            struct.pack_into("=Q", arg, 16, done)
            return 0
        raise OSError(errno.ENOTTY, "")

    def _group(self, number: int, group: ModelGroup, request: int, arg: int | bytearray) -> int:
        assert isinstance(arg, bytearray)
        if request == vfio.VFIO_GROUP_GET_STATUS:
            struct.pack_into("=I", arg, 4, group.viable | (2 if group.container is not None else 0))
            return 0
        if request == vfio.VFIO_GROUP_SET_CONTAINER:
            container_fd = struct.unpack("i", arg)[0]
            container = self.files[container_fd]
            assert isinstance(container, ModelContainer)
            group.container = container_fd
            container.groups.append(number)
            return 0
        if request == vfio.VFIO_GROUP_GET_DEVICE_FD:
            name = arg.rstrip(b"\0").decode()
            assert arg.endswith(b"\0")
            if name not in group.devices:
                raise OSError(errno.ENODEV, "")
            return self._file((number, group.devices[name]))
        raise OSError(errno.ENOTTY, "")

    def _device(self, device: ModelDevice, request: int, arg: int | bytearray) -> int:
        if request == vfio.VFIO_DEVICE_RESET:
            device.resets += 1
            return 0
        assert isinstance(arg, bytearray)
        if request == vfio.VFIO_DEVICE_GET_INFO:
            struct.pack_into("=III", arg, 4, device.flags, device.num_regions, 5)
            return 0
        if request == vfio.VFIO_DEVICE_GET_REGION_INFO:
            argsz, _, index = struct.unpack_from("=III", arg)
            if index not in device.regions:
                raise OSError(errno.EINVAL, "")
            region = device.regions[index]
            whole = argsz >= 32 + len(region.caps)
            needed = 32 + len(region.caps)
            first = region.first if region.caps and whole else 0
            struct.pack_into(
                "=IIIIQQ", arg, 0, needed, region.flags, index, first, region.size, index << REGION_SHIFT
            )
            if whole:
                arg[32 : 32 + len(region.caps)] = region.caps
            return 0
        if request == vfio.VFIO_DEVICE_GET_IRQ_INFO:
            index = struct.unpack_from("=I", arg, 8)[0]
            if index not in device.irqs:
                raise OSError(errno.EINVAL, "")
            struct.pack_into("=I", arg, 4, vfio.VFIO_IRQ_INFO_EVENTFD)
            struct.pack_into("=I", arg, 12, device.irqs[index])
            return 0
        if request == vfio.VFIO_DEVICE_SET_IRQS:
            device.irq_sets.append(bytes(arg))
            return 0
        raise OSError(errno.ENOTTY, "")

    def _region(self, fd: int, offset: int) -> tuple[ModelRegion, int]:
        device = self.files[fd][1]  # type: ignore[index]
        return device.regions[offset >> REGION_SHIFT], offset & (1 << REGION_SHIFT) - 1

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._refuse("pread")
        region, at = self._region(fd, offset)
        assert at + size <= region.size, "the access runs over the region's end"
        return bytes(region.data[at : at + size])

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._refuse("pwrite")
        region, at = self._region(fd, offset)
        assert at + len(data) <= region.size, "the access runs over the region's end"
        region.data[at : at + len(data)] = data
        return len(data)

    def mmap(self, fd: int, size: int, offset: int, *, readable: bool, writable: bool) -> mmap.mmap:
        self._refuse("mmap")
        region, _ = self._region(fd, offset)
        if not region.flags & MMAP:
            raise OSError(errno.EINVAL, "")
        prot = (mmap.PROT_READ if readable else 0) | (mmap.PROT_WRITE if writable else 0)
        return mmap.mmap(-1, size, prot=prot)


def read_at(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size)


def add_pci(
    root: Path, name: str, group: int | None, driver: str | None, *, node: bool = True, **attributes: str
) -> Path:
    """Put a PCI device into a fake tree."""
    device = root / "sys/devices/pci0000:00" / name
    device.mkdir(parents=True)
    values = {"vendor": "0x8086", "device": "0x1572", "class": "0x020000", "driver_override": "(null)"}
    for attribute, text in (values | attributes).items():
        (device / attribute).write_text(text + "\n")
    _link(root / "sys/bus/pci/devices" / name, device)
    _link(device / "subsystem", root / "sys/bus/pci")
    (root / "sys/bus/pci/drivers_probe").touch()
    _finish(root, device, "pci", group, driver, node and driver == "vfio-pci")
    return device


def add_mdev(root: Path, parent: str, uuid: str, group: int | None, kind: str = "vdev-v5") -> Path:
    """Put a mediated device below *parent*, a virtual device, into a fake tree."""
    types = root / "sys/devices/virtual" / parent / "mdev_supported_types" / kind
    device = root / "sys/devices/virtual" / parent / uuid
    device.mkdir(parents=True)
    types.mkdir(parents=True, exist_ok=True)
    values = {"available_instances": "3", "device_api": "vfio-pci", "name": "a type", "create": ""}
    for attribute, text in values.items():
        (types / attribute).write_text(text + "\n")
    (device / "remove").touch()
    _link(device / "mdev_type", types)
    _link(root / "sys/bus/mdev/devices" / uuid, device)
    _link(device / "subsystem", root / "sys/bus/mdev")
    if not (root / "sys/class/mdev_bus" / parent).exists():
        _link(root / "sys/class/mdev_bus" / parent, root / "sys/devices/virtual" / parent)
    _finish(root, device, "mdev", group, "vdev", True)
    return device


def _finish(root: Path, device: Path, bus: str, group: int | None, driver: str | None, node: bool) -> None:
    if driver is not None:
        set_driver(root, device, bus, driver)
    if group is not None:
        place = root / "sys/kernel/iommu_groups" / str(group)
        _link(device / "iommu_group", place)
        _link(place / "devices" / device.name, device)
        if node:
            (root / "dev/vfio").mkdir(parents=True, exist_ok=True)
            (root / "dev/vfio" / str(group)).touch()


def set_driver(root: Path, device: Path, bus: str, driver: str | None) -> None:
    """Bind a device of a fake tree."""
    (device / "driver").unlink(missing_ok=True)
    if driver is not None:
        place = root / "sys/bus" / bus / "drivers" / driver
        place.mkdir(parents=True, exist_ok=True)
        (place / "unbind").touch()
        _link(device / "driver", place)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)


def nic() -> ModelDevice:
    return ModelDevice(
        {
            0: ModelRegion(READ | WRITE | MMAP, 0x4000),
            6: ModelRegion(READ | MMAP, 0x1000),
            7: ModelRegion(READ | WRITE, 256),
        }
    )


def migratable() -> ModelDevice:
    device = nic()
    device.num_regions = 10
    caps = sparse_cap(32 + 48, (0x1000, 0x2000), (0x4000, 0x1000)) + type_cap(0, 2, 1)
    device.regions[9] = ModelRegion(READ | WRITE | MMAP | CAPS, 0x5000, caps)
    return device
