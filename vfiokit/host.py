"""A host performs accesses: the one place where flows meet devices, streams, memory, clock and trace.

Everything that refuses comes out as an AccessError of the access at fault, with its errno.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal

from vfiokit import accesses as a
from vfiokit.clock import Clock
from vfiokit.device.base import Device
from vfiokit.errors import AccessError, DeviceError, StreamCutError
from vfiokit.streams import Sink, Source
from vfiokit.trace import Tracer
from vfiokit.uapi.vfio import VFIO_PCI_NUM_REGIONS
from vfiokit.vmm.memory import GuestMemory

__all__ = ("Host",)


class Host:
    """One side's world.

    :param devices: the devices that accesses name
    :param tracer: where `Emit` goes; events it does not know are an error of ours
    :param link: bytes a second of the stream's way; each put then takes time of *clock*
    :param access_ns: time of *clock* that each register access takes; 0 for a real device
    :param listener: is shown every Sample, Say and Enter
    """

    def __init__(
        self,
        devices: Iterable[Device],
        *,
        clock: Clock,
        tracer: Tracer | None = None,
        memory: GuestMemory | None = None,
        sink: Sink | None = None,
        source: Source | None = None,
        link: float | None = None,
        access_ns: int = 0,
        listener: Callable[[a.Sample | a.Say | a.Enter], None] | None = None,
    ) -> None:
        self.devices = {device.name: device for device in devices}
        self.clock = clock
        self.tracer = tracer
        self.memory = memory
        self.sink = sink
        self.source = source
        self.listener = listener
        self._link = link
        self._access_ns = access_ns
        self._maps: dict[tuple[str, int, int], tuple[memoryview, int]] = {}
        self._table: dict[type, Callable[[Any], Any]] = {
            a.Read: self._read,
            a.Write: self._write,
            a.ReadData: self._read_data,
            a.WriteData: self._write_data,
            a.Map: self._map,
            a.Unmap: self._unmap,
            a.Query: self._query,
            a.Reset: lambda access: self.devices[access.device].reset(),
            a.Put: self._put,
            a.Take: self._take,
            a.ReadPages: lambda access: self._memory(access).read_pages(access.block, access.pages),
            a.WritePages: self._write_pages,
            a.MarkDirty: self._mark_dirty,
            a.SyncLog: lambda access: self._memory(access).take_log(access.block),
            a.Now: lambda _: clock.now(),
            a.Wait: lambda access: clock.sleep(access.ns),
            a.Emit: self._emit,
            a.Say: self._tell,
            a.Enter: self._tell,
            a.Sample: self._tell,
        }

    @property
    def transferred(self) -> int:
        """Bytes put so far."""
        return self.sink.position if self.sink is not None else 0

    def perform(self, access: a.Access) -> Any:
        """Perform one access; see :mod:`vfiokit.accesses` for the results."""
        try:
            return self._table[type(access)](access)
        except DeviceError as error:
            raise AccessError(access, error.errno or errno.EIO, rule=error.rule, hint=error.hint) from error

    def close(self) -> None:
        """Undo what mappings flows left behind; devices and memory are their owner's."""
        for name, region, area in list(self._maps):
            view, offset = self._maps.pop((name, region, area))
            view.release()
            self.devices[name].munmap(region, offset)

    def _read(self, access: a.Read) -> int:
        if self._access_ns:
            self.clock.sleep(self._access_ns)
        data = self.devices[access.device].pread(access.region, access.offset, access.width)
        if len(data) != access.width:
            raise AccessError(access, moved=len(data), rule="a register moves in one access (v5 spec 1.4)")
        return int.from_bytes(data, _order(access.region))

    def _write(self, access: a.Write) -> None:
        if self._access_ns:
            self.clock.sleep(self._access_ns)
        data = access.value.to_bytes(access.width, _order(access.region))
        moved = self.devices[access.device].pwrite(access.region, access.offset, data)
        if moved != access.width:
            raise AccessError(access, moved=moved, rule="a register moves in one access (v5 spec 1.4)")

    def _read_data(self, access: a.ReadData) -> a.Buffer:
        if access.area is not None:
            view, start = self._maps[access.device, access.region, access.area]
            at = access.offset - start
            return view[at : at + access.size]
        try:
            data = self.devices[access.device].pread(access.region, access.offset, access.size)
        except (MemoryError, OverflowError) as error:
            raise AccessError(access, errno.ENOMEM, hint="is data_size sane?") from error
        if len(data) != access.size:
            raise AccessError(access, moved=len(data), rule="a chunk is read whole (v5 spec 1.4)")
        return data

    def _write_data(self, access: a.WriteData) -> None:
        size = len(access.data)
        if access.area is not None:
            view, start = self._maps[access.device, access.region, access.area]
            at = access.offset - start
            view[at : at + size] = access.data
            return
        moved = self.devices[access.device].pwrite(access.region, access.offset, access.data)
        if moved != size:
            raise AccessError(access, moved=moved, rule="a chunk is written whole (v5 spec 1.4)")

    def _map(self, access: a.Map) -> None:
        view = self.devices[access.device].mmap(access.region, access.offset, access.size)
        if len(view) != access.size:
            raise AccessError(access, moved=len(view))
        self._maps[access.device, access.region, access.area] = (view, access.offset)

    def _unmap(self, access: a.Unmap) -> None:
        view, _ = self._maps.pop((access.device, access.region, access.area))
        view.release()
        self.devices[access.device].munmap(access.region, access.offset)

    def _query(self, access: a.Query) -> Any:
        device = self.devices[access.device]
        return device.info() if access.region is None else device.region(access.region)

    def _put(self, access: a.Put) -> None:
        if self.sink is None:
            raise AccessError(access, errno.EBADF, hint="this host has no stream to write to")
        self.sink.write(access.data)
        if self._link:
            self.clock.sleep(int(len(access.data) * 1e9 / self._link))

    def _take(self, access: a.Take) -> a.Buffer:
        if self.source is None:
            raise AccessError(access, errno.EBADF, hint="this host has no stream to read from")
        try:
            return self.source.take(access.size)
        except StreamCutError as error:
            error.message += f" ({access.what})"
            raise

    def _memory(self, access: a.Access) -> GuestMemory:
        if self.memory is None:
            raise AccessError(access, errno.EFAULT, hint="this host has no guest memory")
        return self.memory

    def _write_pages(self, access: a.WritePages) -> None:
        self._memory(access).write_pages(access.block, access.pages, access.data)

    def _mark_dirty(self, access: a.MarkDirty) -> None:
        self._memory(access).mark(access.pfn, access.pages, access.page_size, access.bitmap)

    def _emit(self, access: a.Emit) -> None:
        if self.tracer is not None:
            self.tracer.emit(access.event, *access.args)

    def _tell(self, access: a.Sample | a.Say | a.Enter) -> None:
        if self.listener is not None:
            self.listener(access)


def _order(region: int) -> Literal["little", "big"]:
    # PCI is little-endian; a device-specific region is in host byte order (v5 spec, conventions).
    return "little" if region < VFIO_PCI_NUM_REGIONS else sys.byteorder
