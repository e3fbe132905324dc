"""A device at the other end of a vfio-user connection.

::

    sock = socket.socket(socket.AF_UNIX)
    sock.connect("/run/device.sock")
    with VfioUserDevice(sock, name="dev0", memory=PassedMemory()) as device:
        device.pread(7, 0, 256)
        with device.dma_memory(1 << 20) as memory:
            device.map_dma(0, memory.view)

Accesses are one message each way; data larger than a message may be goes in several. A region can be
mapped only when the server passes a descriptor for it, and memory is for DMA only when the server can
reach it, which `dma_memory` sees to.
"""

from __future__ import annotations

import errno
import mmap as _mmap
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress

from vfiokit.accesses import Query
from vfiokit.device.base import ClosesOnExit
from vfiokit.device.info_chain import ARGSZ_LIMIT, parse_region
from vfiokit.device.vfio_user import wire
from vfiokit.device.vfio_user.channel import Buffer, Message, SocketChannel
from vfiokit.device.vfio_user.connection import Connection, Reply
from vfiokit.device.vfio_user.shared_memory import MemorySource, SharedMemory, locate
from vfiokit.device.vfio_user.wire import Command, MessageError
from vfiokit.errors import DeviceError
from vfiokit.uapi import vfio
from vfiokit.uapi.info import Info, Irq, Region

__all__ = ("VfioUserDevice",)

_FIRST_ARGSZ = 1024  # enough for 60 areas, so a region is one message each way


class VfioUserDevice(ClosesOnExit):
    """A device behind a connected stream socket. The methods are those of `Device`, and `dma_memory`.

    :param sock: it is the device's from now on, also when this fails
    :param name: the device's VFIO name, which the protocol does not tell
    :param memory: where memory for DMA comes from; None: no DMA
    :param timeout: seconds that an answer may take
    :param first_timeout: the same for the first, which may take opening the device; *timeout* if not given
    :param lost: makes the error for an operation when the server is gone

    :raises DeviceError: the server refuses, or is gone
    :raises MessageError: it answers what cannot be
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        name: str,
        address: str = "vfio-user:",
        memory: MemorySource | None = None,
        timeout: float = 60.0,
        first_timeout: float | None = None,
        lost: Callable[[str], DeviceError] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self._memory = memory
        self._mappings: dict[int, int] = {}
        self._region_fds: dict[int, tuple[int, int]] = {}
        self._views: dict[tuple[int, int], _mmap.mmap] = {}
        self._undo = ExitStack()
        self._closed = False
        self._connection = Connection(
            SocketChannel(sock, passes_fds=memory is None or memory.passes_fds), name, lost
        )
        sock.settimeout(first_timeout or timeout)
        self._connection.open()
        sock.settimeout(timeout)

    def adopt(self, undo: ExitStack) -> None:
        """Take over what is to be undone when the device is closed."""
        self._undo = undo

    def __repr__(self) -> str:
        broken = self._connection.broken
        return f"<VfioUserDevice {self.name} {self.address}{f' {broken}' if broken else ''}>"

    def _ask(self, operation: str, command: Command, *parts: Buffer, fds: tuple[int, ...] = ()) -> Reply:
        try:
            return self._connection.request(command, parts, fds)
        except DeviceError as error:
            if type(error) is not DeviceError or self._connection.broken:
                raise
            # In the words of the interface that the caller used.
            raise DeviceError(self.name, operation, error.errno or errno.EIO) from None

    # -- information --

    def info(self) -> Info:
        """Return the device's information (DEVICE_GET_INFO)."""
        query = wire.DeviceInfo(argsz=wire.DeviceInfo.c_size())
        with self._ask("DEVICE_GET_INFO", Command.DEVICE_GET_INFO, bytes(query)) as reply:
            info = wire.take(wire.DeviceInfo, reply.payload, self.name)
        return Info(info.flags, info.num_regions, info.num_irqs)

    def region(self, index: int) -> Region:
        """Return one region, asked for anew (DEVICE_GET_REGION_INFO); DeviceError(EINVAL) for a hole.

        RuleError when its capabilities cannot be.
        """
        operation = f"DEVICE_GET_REGION_INFO({index})"
        argsz = _FIRST_ARGSZ
        while True:
            query = vfio.RegionInfo(argsz=argsz, index=index)
            with self._ask(operation, Command.DEVICE_GET_REGION_INFO, bytes(query)) as reply:
                info = wire.take(vfio.RegionInfo, reply.payload, self.name)
                if argsz < info.argsz <= ARGSZ_LIMIT:
                    argsz = info.argsz  # it grows, so this ends
                    continue
                region = parse_region(bytes(reply.payload), Query(self.name, index))
                if region.index != index:
                    raise MessageError(
                        self.name, f"region {region.index}", rule=f"region {index} was asked for"
                    )
                self._keep_fd(region, reply.message)
                return region

    def _keep_fd(self, region: Region, message: Message) -> None:
        if message.fds and region.mappable:
            old = self._region_fds.pop(region.index, None)
            if old is not None:
                os.close(old[0])
            self._region_fds[region.index] = (message.fds.pop(0), region.offset)

    def irq(self, index: int) -> Irq:
        """Return one interrupt index; DeviceError(EINVAL) for one that the device does not have."""
        query = vfio.IrqInfo(argsz=vfio.IrqInfo.c_size(), index=index)
        with self._ask(f"DEVICE_GET_IRQ_INFO({index})", Command.DEVICE_GET_IRQ_INFO, bytes(query)) as reply:
            info = wire.take(vfio.IrqInfo, reply.payload, self.name)
        return Irq(info.index, info.flags, info.count)

    # -- regions --

    def _access(self, operation: str, region: int, offset: int, count: int) -> bytes:
        if not (0 <= region < 1 << 32 and 0 <= offset < 1 << 64 and count >= 0):
            raise DeviceError(
                self.name, operation, errno.EINVAL, rule="an offset has 64 bits, a region's index 32"
            )
        return bytes(wire.RegionAccess(offset=offset, region=region, count=count))

    def pread(self, region: int, offset: int, size: int) -> bytes:
        """Read trapped; fewer bytes when the server gives fewer. More than a message goes in several."""
        operation = f"pread(region {region}, {offset:#x}, {size})"
        done: list[bytes] = []
        moved = 0
        while True:
            count = min(size - moved, self._connection.limit)
            asked = self._access(operation, region, offset + moved, count)
            with self._ask(operation, Command.REGION_READ, asked) as reply:
                answer = wire.take(wire.RegionAccess, reply.payload, self.name)
                data = bytes(reply.payload[answer.c_size() :])
            if answer.count != len(data) or len(data) > count:
                raise MessageError(
                    self.name,
                    f"{len(data)} bytes, count = {answer.count}, where {count} were asked for",
                    rule="count is the data's size, and no more than was asked for",
                )
            moved += len(data)
            if moved == size and not done:
                return data
            done.append(data)
            if moved == size or len(data) < count:
                return b"".join(done)

    def pwrite(self, region: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Write trapped; return the bytes written. More than a message may carry goes in several."""
        view = memoryview(data).cast("B")
        operation = f"pwrite(region {region}, {offset:#x}, {len(view)})"
        moved = 0
        while True:
            part = view[moved : moved + self._connection.limit]
            asked = self._access(operation, region, offset + moved, len(part))
            with self._ask(operation, Command.REGION_WRITE, asked, part) as reply:
                answer = wire.take(wire.RegionAccess, reply.payload, self.name)
            if answer.count > len(part):
                raise MessageError(self.name, f"count = {answer.count}", rule=f"{len(part)} bytes were sent")
            moved += answer.count
            if moved == len(view) or answer.count < len(part):
                return moved

    def mmap(self, region: int, offset: int, size: int) -> memoryview:
        """Map a part of a region, when the server has passed a descriptor for it; DeviceError else.

        Flows then take their data trapped.
        """
        operation = f"mmap(region {region}, {offset:#x}, {size:#x})"
        if region not in self._region_fds:
            self.region(region)
        fd, start = self._region_fds.get(region, (-1, 0))
        if fd < 0:
            raise DeviceError(
                self.name,
                operation,
                errno.ENODEV,
                rule="a region is mapped by a descriptor that comes with its information (vfio-user)",
                hint="this server passes none for it: use pread and pwrite",
            )
        if (region, offset) in self._views:
            raise DeviceError(self.name, operation, errno.EEXIST, hint="munmap() it first")
        try:
            mapped = _mmap.mmap(fd, size, offset=start + offset)
        except (OSError, OverflowError, ValueError) as error:
            raise DeviceError(self.name, operation, getattr(error, "errno", None) or errno.EINVAL) from error
        self._views[region, offset] = mapped
        return memoryview(mapped)

    def munmap(self, region: int, offset: int) -> None:
        """Undo `mmap`; DeviceError(EBUSY) while a view of it is not released, EINVAL when there is none."""
        operation = f"munmap(region {region}, {offset:#x})"
        mapped = self._views.get((region, offset))
        if mapped is None:
            raise DeviceError(self.name, operation, errno.EINVAL, hint="nothing is mapped there")
        try:
            mapped.close()
        except BufferError as error:
            raise DeviceError(
                self.name, operation, errno.EBUSY, hint="release() the memoryviews of it first"
            ) from error
        del self._views[region, offset]

    def reset(self) -> None:
        """Reset the device (DEVICE_RESET)."""
        self._ask("DEVICE_RESET", Command.DEVICE_RESET).close()

    # -- DMA --

    def dma_memory(self, size: int) -> SharedMemory:
        """Return zeroed memory of *size* bytes that the device can be given for DMA; close it after use."""
        if self._memory is None:
            raise DeviceError(
                self.name,
                f"memory for DMA, {size:#x} bytes",
                errno.ENOTSUP,
                hint="the connection was opened without a memory source: there is no DMA over it",
            )
        return self._memory.allocate(size)

    def map_dma(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """Let the device reach *memory*, which is from `dma_memory`, at *iova* (DMA_MAP)."""
        operation = f"DMA_MAP(iova {iova:#x}, {memory.nbytes:#x} bytes)"
        found = locate(memory)
        if found is None or self._memory is None or not self._memory.has(found[0]):
            raise DeviceError(
                self.name,
                operation,
                errno.EFAULT,
                rule="the device is elsewhere and reaches only memory that is shared with it",
                hint="take the memory from device.dma_memory(size)",
            )
        shared, offset = found
        flags = (wire.DMA_READABLE if readable else 0) | (wire.DMA_WRITABLE if writable else 0)
        fds: tuple[int, ...] = ()
        if self._memory.passes_fds:
            flags |= wire.DMA_MMAP
            fds = (shared.fd,)
        size = memory.nbytes
        asked = wire.DmaMap(argsz=wire.DmaMap.c_size(), flags=flags, offset=offset, address=iova, size=size)
        self._ask(operation, Command.DMA_MAP, bytes(asked), fds=fds).close()
        self._mappings[iova] = size

    def unmap_dma(self, iova: int, size: int) -> int:
        """Take the mappings in [iova, iova + size) away; return their bytes. EINVAL: would cut one in two."""
        operation = f"DMA_UNMAP(iova {iova:#x}, {size:#x} bytes)"
        end = iova + size
        touched = [(at, length) for at, length in self._mappings.items() if at < end and iova < at + length]
        if any(at < iova or at + length > end for at, length in touched):
            raise DeviceError(
                self.name, operation, errno.EINVAL, hint="unmap whole mappings, as they were mapped"
            )
        for at, length in touched:
            asked = wire.DmaUnmap(argsz=wire.DmaUnmap.c_size(), address=at, size=length)
            self._ask(operation, Command.DMA_UNMAP, bytes(asked)).close()
            del self._mappings[at]
        return sum(length for _, length in touched)

    def close(self) -> None:
        """Let the device go: the server unmaps, and closes it. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        self._connection.close()
        for mapped in self._views.values():
            with suppress(BufferError):  # whoever holds a view frees it in the end
                mapped.close()
        self._views.clear()
        for fd, _ in self._region_fds.values():
            os.close(fd)
        self._region_fds.clear()
        self._undo.close()
