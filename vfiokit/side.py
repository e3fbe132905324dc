"""One side of a migration, put together: devices, guest memory mapped for their DMA, a VM, a host."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self, TypeAlias, TypeVar

from vfiokit.accesses import Enter, Flow, Sample, Say
from vfiokit.clock import Clock
from vfiokit.device.base import Device
from vfiokit.device.dma_memory import DmaMemory, allocate
from vfiokit.errors import AddressError, DeviceBusyError, DeviceError
from vfiokit.host import Host
from vfiokit.protocol.v5.quirks import INTERFACE, Profile
from vfiokit.recording import Recorder, Recording, Section
from vfiokit.runner import Performer, Task, run
from vfiokit.streams import Sink, Source
from vfiokit.trace import Tracer
from vfiokit.vmm.memory import GuestMemory, layout
from vfiokit.vmm.vm import Vm

__all__ = ("ACCESS_NS", "LINK", "Hugepages", "Side", "dma_memory")

# What a simulated world costs: a trapped register access, and a link of 10 Gbit/s, bytes a second.
ACCESS_NS = 2_000
LINK = 1.25e9

Hugepages: TypeAlias = Literal["2M", "1G"]

_R = TypeVar("_R")


def dma_memory(devices: Sequence[Device], size: int, hugepages: Hugepages | None = None) -> DmaMemory:
    """Return *size* bytes of memory that *devices* can be given for DMA.

    A device that reaches only memory of its own choosing, as one in another process, has a method
    ``dma_memory(size)``; the first that has one gives the memory. DeviceError when there is none.
    """
    for device in devices:
        own: Callable[[int], DmaMemory] | None = getattr(device, "dma_memory", None)
        if own is not None and hugepages is None:
            return own(size)
    return allocate(size, hugepages=hugepages)


class Side:
    """Devices plugged into a VM whose memory they can reach.

    :param devices: open devices; the side uses them and leaves them open
    :param memory: guest memory, bytes, a multiple of 4 KiB; 0 for none
    :param hugepages: "2M" or "1G" to take guest memory from hugepages
    :param simulated: time is simulated, so the link and the accesses must take some of it
    :param recording: what `run` and `task` perform is recorded there, as done on the side *name*
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        memory: int,
        clock: Clock,
        tracer: Tracer | None = None,
        profile: Profile = INTERFACE,
        hugepages: Hugepages | None = None,
        sink: Sink | None = None,
        source: Source | None = None,
        simulated: bool = False,
        link: float | None = None,
        listener: Callable[[Sample | Say | Enter], None] | None = None,
        recording: Recording | None = None,
        name: str = "source",
    ) -> None:
        names = [device.name for device in devices]
        if len(set(names)) != len(names):
            raise AddressError(
                f"two devices of one VM have the same name: {', '.join(names)}",
                hint="give an emulated one another with name=…",
            )
        self.devices = tuple(devices)
        blocks = layout(memory) if memory else ()
        self._areas: list[DmaMemory] = []
        self._mapped: list[tuple[Device, int, int]] = []
        self.memory: GuestMemory | None = None
        self.vm = Vm(blocks, profile=profile)
        try:
            for block in blocks:
                self._areas.append(dma_memory(self.devices, block.size, hugepages))
            if blocks:
                self.memory = GuestMemory(blocks, [area.view for area in self._areas])
            for block, device in itertools.product(blocks, self.devices):
                self._map(device, block.address, self.memory.view(block.name))  # type: ignore[union-attr]
                self._mapped.append((device, block.address, block.size))
        except BaseException:
            self.close()
            raise
        self.host = Host(
            self.devices,
            clock=clock,
            tracer=tracer,
            memory=self.memory,
            sink=sink,
            source=source,
            link=(link or LINK) if simulated else None,
            access_ns=ACCESS_NS if simulated else 0,
            listener=listener,
        )
        self.performer: Performer = self.host
        if recording is not None:
            self.performer = Recorder(self.host, recording, name, clock, self.sections)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Where memory lies: RAM blocks, what of them each device was given, and holes given to none."""
        blocks = self.memory.blocks if self.memory is not None else ()
        ram = {
            block.address: Section("ram", block.name, block.address, block.size, area.page_size)
            for block, area in zip(blocks, self._areas, strict=False)
        }
        found = list(ram.values())
        for device, address, size in self._mapped:
            found.append(ram[address]._replace(kind="mapped", size=size, device=device.name))
        for below, above in itertools.pairwise(blocks):
            end = below.address + below.size
            if end < above.address:
                why = "no RAM: addresses of the devices' own regions"
                found.append(Section("skipped", "pci hole", end, above.address - end, why=why))
        return tuple(found)

    def _map(self, device: Device, address: int, memory: memoryview) -> None:
        try:
            device.map_dma(address, memory)
        except DeviceError as error:
            if error.errno != errno.EEXIST:
                raise
            # A device that was just opened has no mappings: a notebook's cell that is run again finds it so.
            raise DeviceBusyError(
                device.name,
                error.operation,
                errno.EEXIST,
                rule="a device has the memory of one VM at a time",
                hint="it is in another session: close() that debugger, or open the device anew",
            ) from error

    def plug(self) -> None:
        """Realize every device in the VM, in order."""
        for device in self.devices:
            self.run(self.vm.plug(device.name, pci=device.info().is_pci))

    def run(self, flow: Flow[_R]) -> _R:
        """Run a flow on this side's host."""
        return run(flow, self.performer)

    def task(self, flow: Flow[_R]) -> Task[_R]:
        """Hold a flow, to be stepped on this side's host."""
        return Task(flow, self.performer)

    def fill(self, seed: int = 1, *, share: float = 0.5) -> None:
        """Give guest memory something to migrate: pseudo-random bytes in *share* of its pages."""
        import numpy as np

        if self.memory is None:
            return
        generator = np.random.default_rng(seed)
        for block in self.memory.blocks:
            pages = np.flatnonzero(generator.random(block.pages) < share)
            for some in np.array_split(pages, max(1, len(pages) // 4096)):
                if len(some):
                    self.memory.write_pages(block.name, some, generator.bytes(len(some) * 4096))

    def close(self) -> None:
        """Take devices and memory apart again; the devices stay open. Twice is allowed."""
        host = getattr(self, "host", None)
        if host is not None:
            host.close()
        for device, address, size in reversed(self._mapped):
            with suppress(DeviceError):  # a device that is gone has no mappings left
                device.unmap_dma(address, size)
        self._mapped.clear()
        if self.memory is not None:
            self.memory.close()
            self.memory = None
        for area in self._areas:
            # Whoever holds a view of it still, as an error's traceback does, frees it in the end.
            with suppress(DeviceError):
                area.close()
        self._areas.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
