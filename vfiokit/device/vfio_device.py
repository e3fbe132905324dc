"""A device reached through ``/dev/vfio``: the kernel's `Device`.

::

    with open_vfio("vfio:0000:3b:00.1") as device:
        device.info(); device.region(7); device.pread(7, 0, 4)

Opening a vfio-pci device resets it. Closing undoes everything in the order that leaves nothing reaching
into memory that is gone: views of regions, the device (which stops its DMA), DMA mappings, group,
container.
"""

from __future__ import annotations

import errno
import mmap as _mmap
import struct
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

from vfiokit.accesses import Query
from vfiokit.device.base import ClosesOnExit
from vfiokit.device.container import Container
from vfiokit.device.group import Group
from vfiokit.device.info_chain import ask, parse_region
from vfiokit.errors import DeviceError
from vfiokit.uapi import vfio
from vfiokit.uapi.info import Info, Irq, Region

__all__ = ("VfioDevice",)


class VfioDevice(ClosesOnExit):
    """An open device, made by :func:`~vfiokit.device.address.open_vfio`.

    The methods are those of :class:`~vfiokit.device.base.Device`, and `set_irqs`.
    """

    def __init__(self, name: str, address: str, fd: int, container: Container, group: Group) -> None:
        self.name = name
        self.address = address
        self.container = container
        self.group = group
        self._fd: int | None = fd
        self._kernel = container.kernel
        self._undo = ExitStack()
        self._regions: dict[int, Region] = {}
        self._views: dict[tuple[int, int], _mmap.mmap] = {}

    def adopt(self, undo: ExitStack) -> None:
        """Take over what is to be undone when the device is closed: its file, group and container."""
        self._undo = undo

    def __repr__(self) -> str:
        return f"<VfioDevice {self.name} group={self.group.number}{' closed' if self._fd is None else ''}>"

    def _open_fd(self, operation: str) -> int:
        if self._fd is None:
            raise DeviceError(self.name, operation, errno.EBADF, hint="the device was closed")
        return self._fd

    def _refused(self, operation: str, err: OSError, hint: str | None = None) -> DeviceError:
        return DeviceError(self.name, operation, err.errno or errno.EIO, hint=hint)

    def info(self) -> Info:
        """Return the device's information (VFIO_DEVICE_GET_INFO)."""
        operation = "VFIO_DEVICE_GET_INFO"
        fd = self._open_fd(operation)
        try:
            buffer = ask(self._kernel, fd, vfio.VFIO_DEVICE_GET_INFO, vfio.DeviceInfo(), Query(self.name))
        except OSError as err:
            raise self._refused(operation, err) from err
        info = vfio.DeviceInfo.read_from(buffer)
        return Info(info.flags, info.num_regions, info.num_irqs)

    def region(self, index: int) -> Region:
        """Return one region, asked for anew (VFIO_DEVICE_GET_REGION_INFO).

        DeviceError(EINVAL) for an index that the device does not have, which may be one in the middle:
        a device without VGA has no region 8. RuleError when the capabilities cannot be.
        """
        operation = f"VFIO_DEVICE_GET_REGION_INFO({index})"
        fd = self._open_fd(operation)
        access = Query(self.name, index)
        try:
            query = vfio.RegionInfo(index=index)
            buffer = ask(self._kernel, fd, vfio.VFIO_DEVICE_GET_REGION_INFO, query, access)
        except OSError as err:
            raise self._refused(operation, err) from err
        region = self._regions[index] = parse_region(buffer, access)
        return region

    def irq(self, index: int) -> Irq:
        """Return one interrupt index; DeviceError(EINVAL) for one that the device does not have."""
        operation = f"VFIO_DEVICE_GET_IRQ_INFO({index})"
        fd = self._open_fd(operation)
        try:
            buffer = ask(
                self._kernel, fd, vfio.VFIO_DEVICE_GET_IRQ_INFO, vfio.IrqInfo(index=index), Query(self.name)
            )
        except OSError as err:
            raise self._refused(operation, err) from err
        info = vfio.IrqInfo.read_from(buffer)
        return Irq(info.index, info.flags, info.count)

    def _place(self, region: int, offset: int, size: int, operation: str) -> tuple[int, int, int]:
        """Return fd, place in the device's file, and *size* cut at the region's end.

        Behind a region's end the next one may begin, so an access must not run over it.
        """
        fd = self._open_fd(operation)
        known = self._regions.get(region) or self.region(region)
        if offset < 0 or size < 0 or offset >= known.size:
            raise DeviceError(
                self.name, operation, errno.EINVAL, rule=f"{known.name} has {known.size:#x} bytes"
            )
        return fd, known.offset + offset, min(size, known.size - offset)

    def pread(self, region: int, offset: int, size: int) -> bytes:
        """Read trapped; fewer bytes at the region's end or when the driver gives fewer."""
        operation = f"pread(region {region}, {offset:#x}, {size})"
        fd, place, size = self._place(region, offset, size, operation)
        try:
            return self._kernel.pread(fd, size, place)
        except OSError as err:
            raise self._refused(operation, err) from err

    def pwrite(self, region: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Write trapped; return the bytes written."""
        view = memoryview(data).cast("B")
        operation = f"pwrite(region {region}, {offset:#x}, {len(view)})"
        fd, place, size = self._place(region, offset, len(view), operation)
        try:
            return self._kernel.pwrite(fd, view[:size], place)
        except OSError as err:
            raise self._refused(operation, err) from err

    def mmap(self, region: int, offset: int, size: int) -> memoryview:
        """Map *size* bytes of a region at *offset*, both multiples of the page size.

        The same part may be mapped once at a time: DeviceError(EEXIST) otherwise.
        """
        operation = f"mmap(region {region}, {offset:#x}, {size:#x})"
        fd, place, fits = self._place(region, offset, size, operation)
        if offset % _mmap.PAGESIZE or size % _mmap.PAGESIZE or not size or fits < size:
            raise DeviceError(
                self.name,
                operation,
                errno.EINVAL,
                rule=f"offset and size are multiples of {_mmap.PAGESIZE:#x} and lie within the region",
                hint=f"the areas that may be mapped: {self._areas(region)}",
            )
        if (region, offset) in self._views:
            raise DeviceError(self.name, operation, errno.EEXIST, hint="munmap() it first")
        known = self._regions[region]
        try:
            mapped = self._kernel.mmap(fd, size, place, readable=known.readable, writable=known.writable)
        except OSError as err:
            raise self._refused(
                operation, err, hint=f"the areas that may be mapped: {self._areas(region)}"
            ) from err
        self._views[region, offset] = mapped
        return memoryview(mapped)

    def _areas(self, region: int) -> str:
        areas = self._regions[region].areas
        return ", ".join(f"[{area.offset:#x}, +{area.size:#x})" for area in areas) or "none"

    def munmap(self, region: int, offset: int) -> None:
        """Undo `mmap`; DeviceError(EBUSY) while a view of it is not released, EINVAL when there is none."""
        operation = f"munmap(region {region}, {offset:#x})"
        self._open_fd(operation)
        mapped = self._views.get((region, offset))
        if mapped is None:
            raise DeviceError(self.name, operation, errno.EINVAL, hint="nothing is mapped there")
        try:
            mapped.close()
        except BufferError as err:
            raise DeviceError(
                self.name, operation, errno.EBUSY, hint="release() the memoryviews of it, or del them, first"
            ) from err
        del self._views[region, offset]

    def reset(self) -> None:
        """Reset the device (VFIO_DEVICE_RESET)."""
        operation = "VFIO_DEVICE_RESET"
        fd = self._open_fd(operation)
        try:
            self._kernel.ioctl(fd, vfio.VFIO_DEVICE_RESET)
        except OSError as err:
            none = "the device has no reset of its own (VFIO_DEVICE_FLAGS_RESET is not set)"
            hint = none if err.errno in (errno.EINVAL, errno.ENOTTY) and not self.info().has_reset else None
            raise self._refused(operation, err, hint) from err

    def set_irqs(self, index: int, fds: Sequence[int | None], start: int = 0) -> None:
        """Have interrupts *start*, *start* + 1 … of *index* signal the eventfds *fds*.

        None leaves one without a signal; no *fds* at all switch the whole index off
        (VFIO_DEVICE_SET_IRQS, linux/vfio.h).
        """
        operation = f"VFIO_DEVICE_SET_IRQS({index}, {len(fds)} eventfds from {start})"
        device = self._open_fd(operation)
        kind = vfio.VFIO_IRQ_SET_DATA_EVENTFD if fds else vfio.VFIO_IRQ_SET_DATA_NONE
        data = struct.pack(f"{len(fds)}i", *(-1 if fd is None else fd for fd in fds))
        head = vfio.IrqSet(
            argsz=vfio.IrqSet.c_size() + len(data),
            flags=kind | vfio.VFIO_IRQ_SET_ACTION_TRIGGER,
            index=index,
            start=start,
            count=len(fds),
        )
        try:
            self._kernel.ioctl(device, vfio.VFIO_DEVICE_SET_IRQS, bytearray(bytes(head) + data))
        except OSError as err:
            raise self._refused(operation, err) from err

    def map_dma(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """Let the device reach *memory* at *iova*; see :meth:`.Container.map_dma`."""
        self._open_fd(f"map_dma(iova {iova:#x})")
        self.container.map_dma(iova, memory, readable=readable, writable=writable, device=self.name)

    def unmap_dma(self, iova: int, size: int) -> int:
        """Take mappings away; return the bytes unmapped; see :meth:`.Container.unmap_dma`."""
        self._open_fd(f"unmap_dma(iova {iova:#x})")
        return self.container.unmap_dma(iova, size, device=self.name)

    def close(self) -> None:
        """Let the device go. Closing twice is allowed; a view still in use keeps the group busy."""
        if self._fd is None:
            return
        in_use = []
        for (region, offset), mapped in self._views.items():
            try:
                mapped.close()
            except BufferError:
                in_use.append(f"region {region} at {offset:#x}")
        self._views.clear()
        self._fd = None
        if self in self.container.devices:
            self.container.devices.remove(self)
        self._undo.close()
        if in_use:
            warnings.warn(
                f"{self.name}: closed while views are in use: {', '.join(in_use)}; "
                "the kernel keeps the device open until they are released",
                ResourceWarning,
                stacklevel=2,
            )
