"""A vfio-user server for any `Device`: one connection, one device.

::

    serve(device, SocketChannel(connection))            # the device stays open
    serve(lambda: open_vfio("mdev:…"), FileChannel(fd)) # opened by VERSION, closed when the client is gone

A refusal of the device becomes an errno reply; its words stay here. A VERSION message in the middle of a
connection begins a new session: over a serial port that may be all that tells one client from the next.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from vfiokit.device.base import Device
from vfiokit.device.vfio_user import wire
from vfiokit.device.vfio_user.channel import Buffer, Channel, Message
from vfiokit.device.vfio_user.wire import Capabilities, Command, Header, MessageError, take
from vfiokit.errors import DeviceError, VfioError
from vfiokit.uapi import vfio

__all__ = ("serve",)

_PEER = "client"


def serve(
    device: Device | Callable[[], Device], channel: Channel, *, window: memoryview | None = None
) -> None:
    """Answer a client until it is gone; its DMA mappings then go, too.

    :param device: a device, or what opens a fresh one at each VERSION
    :param window: memory that both ends have: where DMA_MAP without a descriptor has its offset
    :raises MessageError: something came that is no message; the stream is of no use any more
    """
    session = _Session(device, channel, window)
    try:
        while True:
            try:
                message = channel.receive(wire.MAX_DATA, _PEER)
            except (EOFError, ConnectionError):
                return
            try:
                session.answer(message)
            except ConnectionError:  # it left without waiting for its answer
                return
            finally:
                message.close_fds()
    finally:
        session.end()


@dataclass(slots=True)
class _Mapping:
    size: int
    view: memoryview
    owned: mmap.mmap | None


class _Session:
    """What one client has: the device, and its mappings by IOVA."""

    def __init__(
        self, device: Device | Callable[[], Device], channel: Channel, window: memoryview | None
    ) -> None:
        self._given = device
        self._channel = channel
        self._window = window
        self._device: Device | None = None
        self._mappings: dict[int, _Mapping] = {}
        self._limit = wire.MAX_DATA
        self._reply_fds: tuple[int, ...] = ()

    def end(self) -> None:
        """Take the client's mappings away and close a device that was opened for it."""
        device, self._device = self._device, None
        if device is None:
            return
        for iova, mapping in list(self._mappings.items()):
            # One that is gone has no mappings left.
            with suppress(VfioError):
                device.unmap_dma(iova, mapping.size)
            self._release(iova)
        if not isinstance(self._given, Device):
            device.close()

    def answer(self, message: Message) -> None:
        """Do what *message* asks for and send the reply; ConnectionError when the client has gone."""
        header = message.header
        if header.flags & wire.TYPE_MASK != wire.TYPE_COMMAND:
            return  # a reply, and we have asked for nothing
        reply = Header(id=header.id, command=header.command, flags=wire.TYPE_REPLY)
        parts: tuple[Buffer, ...] = ()
        self._reply_fds = ()
        try:
            parts = self._perform(header.command, message)
        except DeviceError as error:
            # What is malformed and can be told from the next message is EINVAL, as everywhere.
            number = errno.EINVAL if isinstance(error, MessageError) else error.errno or errno.EIO
            reply.flags |= wire.FLAG_ERROR
            reply.error = number
        except VfioError:  # the device broke a rule of information
            reply.flags |= wire.FLAG_ERROR
            reply.error = errno.EPROTO
        if not header.flags & wire.FLAG_NO_REPLY:
            self._channel.send(reply, *parts, fds=self._reply_fds)

    def _perform(self, command: int, message: Message) -> tuple[Buffer, ...]:
        if command == Command.VERSION:
            return self._version(message.payload)
        if self._device is None:
            raise MessageError(_PEER, Command.text(command), rule="VERSION comes first")
        if command == Command.DMA_MAP:
            return self._dma_map(self._device, message)
        handler = _HANDLERS.get(command)
        if handler is None:
            raise MessageError(_PEER, Command.text(command), rule="it is not spoken here")
        return handler(self, self._device, message.payload)

    def _version(self, payload: memoryview) -> tuple[Buffer, ...]:
        self.end()
        version, theirs = wire.parse_version(payload, _PEER)
        if version.major != wire.MAJOR:
            raise MessageError(_PEER, f"version {version.major}.{version.minor}", rule="major is 0")
        self._limit = min(wire.MAX_DATA, theirs.max_data_xfer_size)
        self._device = self._given if isinstance(self._given, Device) else self._given()
        return (wire.pack_version(min(version.minor, wire.MINOR), Capabilities()),)

    def _info(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:
        asked = take(wire.DeviceInfo, payload, _PEER)
        size = wire.DeviceInfo.c_size()
        if asked.argsz < size:
            raise MessageError(_PEER, f"argsz = {asked.argsz}", rule=f"at least {size}")
        info = device.info()
        answer = wire.DeviceInfo(
            argsz=size, flags=info.flags, num_regions=info.num_regions, num_irqs=info.num_irqs
        )
        return (bytes(answer),)

    def _region(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:
        asked = take(vfio.RegionInfo, payload, _PEER)
        if asked.argsz < asked.c_size():
            raise MessageError(_PEER, f"argsz = {asked.argsz}", rule=f"at least {asked.c_size()}")
        region = device.region(asked.index)
        descriptor: Callable[[int], int] | None = getattr(device, "region_fd", None)
        if descriptor is not None and region.mappable and self._channel.passes_fds:
            self._reply_fds = (descriptor(region.index),)
        return (wire.pack_region(region, asked.argsz),)

    def _irq(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:
        asked = take(vfio.IrqInfo, payload, _PEER)
        if asked.argsz < asked.c_size():
            raise MessageError(_PEER, f"argsz = {asked.argsz}", rule=f"at least {asked.c_size()}")
        irq = device.irq(asked.index)
        answer = vfio.IrqInfo(argsz=asked.c_size(), flags=irq.flags, index=irq.index, count=irq.count)
        return (bytes(answer),)

    def _access(self, payload: memoryview) -> wire.RegionAccess:
        access = take(wire.RegionAccess, payload, _PEER)
        if access.count > self._limit:
            raise MessageError(_PEER, f"count = {access.count:#x}", rule=f"at most {self._limit:#x}")
        return access

    def _read(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:
        access = self._access(payload)
        data = device.pread(access.region, access.offset, access.count)
        access.count = len(data)
        return bytes(access), data

    def _write(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:
        access = self._access(payload)
        data = payload[access.c_size() :]
        if len(data) != access.count:
            raise MessageError(
                _PEER, f"{len(data)} bytes of data, count = {access.count}", rule="they are the same"
            )
        access.count = device.pwrite(access.region, access.offset, data)
        return (bytes(access),)

    def _reset(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:  # noqa: ARG002
        device.reset()
        return ()

    # -- DMA --

    def _dma_map(self, device: Device, message: Message) -> tuple[Buffer, ...]:
        wanted = take(wire.DmaMap, message.payload, _PEER)
        if wanted.address in self._mappings:
            raise DeviceError(device.name, f"DMA_MAP at {wanted.address:#x}", errno.EEXIST)
        mapping = self._reach(device.name, wanted, message.fds[0] if message.fds else None)
        self._mappings[wanted.address] = mapping
        try:
            device.map_dma(
                wanted.address,
                mapping.view,
                readable=bool(wanted.flags & wire.DMA_READABLE),
                writable=bool(wanted.flags & wire.DMA_WRITABLE),
            )
        except BaseException:
            self._release(wanted.address)
            raise
        return ()

    def _reach(self, device: str, wanted: wire.DmaMap, fd: int | None) -> _Mapping:
        """Return the memory that DMA_MAP means; without a descriptor it is in the window."""
        end = wanted.offset + wanted.size
        if fd is None:
            if self._window is None or not wanted.size or end > len(self._window):
                room = len(self._window) if self._window is not None else 0
                raise DeviceError(
                    device,
                    f"DMA_MAP of {wanted.size:#x} bytes at {wanted.offset:#x} of no file",
                    errno.EINVAL,
                    rule=f"memory is reached by a descriptor, or within the {room:#x} bytes that both have",
                )
            return _Mapping(wanted.size, self._window[wanted.offset : end], None)
        try:
            # A mapping past the file's end would kill us at the first access.
            if end > os.fstat(fd).st_size or not wanted.size:
                raise DeviceError(device, f"DMA_MAP past the file's end at {end:#x}", errno.EINVAL)
            memory = mmap.mmap(fd, wanted.size, offset=wanted.offset)
        except (OSError, OverflowError, ValueError) as error:
            if isinstance(error, DeviceError):
                raise
            number = getattr(error, "errno", None) or errno.EINVAL
            raise DeviceError(device, f"mmap {wanted.size:#x} bytes for DMA", number) from error
        return _Mapping(wanted.size, memoryview(memory), memory)

    def _dma_unmap(self, device: Device, payload: memoryview) -> tuple[Buffer, ...]:
        wanted = take(wire.DmaUnmap, payload, _PEER)
        mapping = self._mappings.get(wanted.address)
        if wanted.flags or mapping is None or mapping.size != wanted.size:
            number = errno.EINVAL if wanted.flags else errno.ENOENT
            raise DeviceError(device.name, f"DMA_UNMAP at {wanted.address:#x}", number)
        device.unmap_dma(wanted.address, wanted.size)
        self._release(wanted.address)
        return (bytes(wanted),)

    def _release(self, iova: int) -> None:
        mapping = self._mappings.pop(iova)
        # A device that holds a view still frees the memory with it.
        with suppress(BufferError):
            mapping.view.release()
            if mapping.owned is not None:
                mapping.owned.close()


_Handler = Callable[[_Session, Device, memoryview], tuple[Buffer, ...]]

_HANDLERS: dict[int, _Handler] = {
    Command.DMA_UNMAP: _Session._dma_unmap,
    Command.DEVICE_GET_INFO: _Session._info,
    Command.DEVICE_GET_REGION_INFO: _Session._region,
    Command.DEVICE_GET_IRQ_INFO: _Session._irq,
    Command.REGION_READ: _Session._read,
    Command.REGION_WRITE: _Session._write,
    Command.DEVICE_RESET: _Session._reset,
}
