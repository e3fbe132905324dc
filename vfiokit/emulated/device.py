"""The emulated device: the vendor driver's side of the `Device` interface, in Python.

It behaves as docs/device-model.md says. Refusals are DeviceErrors with the errno a kernel driver would
give, the rule and a hint. It has one thread's view: callers that share it between threads take turns.
"""

from __future__ import annotations

import errno

from vfiokit.clock import Clock, RealClock, SimulatedClock
from vfiokit.device.base import Area, ClosesOnExit, Info, Irq, Region, region_name
from vfiokit.emulated import model
from vfiokit.emulated.anonymous import AnonymousMemory
from vfiokit.emulated.config_space import CONFIG_SIZE, ConfigSpace, msix_table
from vfiokit.emulated.data_section import DataSection
from vfiokit.emulated.dirty_log import DirtyLog
from vfiokit.emulated.memory import DmaSpace
from vfiokit.emulated.migration_v5 import MigrationV5
from vfiokit.emulated.options import Options
from vfiokit.emulated.record import BadRecordError
from vfiokit.emulated.refusal import Refuse
from vfiokit.emulated.registers import RegisterFile
from vfiokit.emulated.resuming import Resuming
from vfiokit.emulated.saving import Saving
from vfiokit.emulated.state_memory import StateMemory
from vfiokit.emulated.workload import Workloads
from vfiokit.uapi import migration_v5 as v5
from vfiokit.uapi import vfio

__all__ = ("MIGRATION_REGION", "EmulatedDevice")

_BAR0 = vfio.VFIO_PCI_BAR0_REGION_INDEX
_BAR2 = vfio.VFIO_PCI_BAR2_REGION_INDEX
_CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
MIGRATION_REGION = vfio.VFIO_PCI_NUM_REGIONS
"""Index of the migration region. VMMs find it by its type, never by this."""
_READ_WRITE = vfio.VFIO_REGION_INFO_FLAG_READ | vfio.VFIO_REGION_INFO_FLAG_WRITE
_MMAP = vfio.VFIO_REGION_INFO_FLAG_MMAP
_CAPS = vfio.VFIO_REGION_INFO_FLAG_CAPS
_TABLE_SIZE = 16 * model.MSIX_VECTORS
_IRQS = {
    vfio.VFIO_PCI_MSI_IRQ_INDEX: model.MSI_VECTORS,
    vfio.VFIO_PCI_MSIX_IRQ_INDEX: model.MSIX_VECTORS,
    vfio.VFIO_PCI_ERR_IRQ_INDEX: 1,
    vfio.VFIO_PCI_REQ_IRQ_INDEX: 1,
}


class EmulatedDevice(ClosesOnExit):
    """A device by `Options`; `vfiokit.emulated.open_emulated` makes one from an address.

    :param clock: shared with other devices and the VMM; None makes one as the options say
    """

    def __init__(self, options: Options, *, address: str = "emulated:", clock: Clock | None = None) -> None:
        self.name = options.name
        self.address = address
        self.options = options
        self.clock: Clock = clock or (RealClock() if options.clock == "real" else SimulatedClock())
        self._closed = False
        self._refuse = Refuse(self.name)
        self.dma = DmaSpace(self._refuse)
        self.config = ConfigSpace(serial=options.seed)
        self.registers = RegisterFile(options.state, self._refuse)
        self.memory = StateMemory(options.state)
        self.log = DirtyLog(options.bitmap, self._refuse, all_answer=options.all)
        self.workloads = Workloads(self.registers, self.dma, self.log, self.memory, self.clock)
        self._scratch = AnonymousMemory(model.SCRATCH_SIZE)
        self._table = bytearray(msix_table(enabled=False))
        self._section: DataSection | None = None
        self.migration: MigrationV5 | None = None
        if options.migration == "v5":
            self._add_migration(options)
        self._regions = self._lay_out()
        self._window_follows_mappings = bool(options.dma) and options.window is None
        self._apply(options)

    def _add_migration(self, options: Options) -> None:
        section = DataSection(options.data, options.chunk, options.bitmap, self.memory)
        self._section = section
        self.migration = MigrationV5(
            section,
            Saving(section, self.memory, self._save_registers, integrity=options.integrity),
            Resuming(section, self.memory, self._load_registers, self._refuse),
            self.log,
            self._refuse,
            self._set_running,
        )

    def _apply(self, options: Options) -> None:
        """Put the device where the options want it at open: as if the guest's driver had set it up."""
        registers = self.registers
        registers["STATUS"] = model.STATUS_RUNNING
        registers["SEED"] = options.seed
        registers["PATTERN"] = model.PATTERNS[options.pattern]
        registers["PARAM"] = options.param
        registers["RATE"] = options.dma // model.PAGE_SIZE
        registers["STATE_RATE"] = options.dirty // model.PAGE_SIZE
        if options.window:
            registers["WINDOW_IOVA"] = options.window[0]
            registers["WINDOW_PAGES"] = options.window[1] // model.PAGE_SIZE
        if options.dma or options.dirty:
            registers["CONTROL"] = model.CTRL_RUN
        if options.fill == "random":
            self.memory.fill(options.seed)
        if options.irq != "none":
            self.config.enable_memory()
        if options.irq == "msi":
            self.config.enable_msi()
        elif options.irq == "msix":
            self.config.enable_msix()
            self._table[:] = msix_table(enabled=True)

    # -- information --

    def info(self) -> Info:
        """Return flags PCI and RESET, the number of regions and of interrupt indices."""
        self._open("info()")
        flags = vfio.VFIO_DEVICE_FLAGS_PCI | vfio.VFIO_DEVICE_FLAGS_RESET
        regions = vfio.VFIO_PCI_NUM_REGIONS + (self.migration is not None)
        return Info(flags, regions, vfio.VFIO_PCI_NUM_IRQS)

    def region(self, index: int) -> Region:
        """Return a region's information; EINVAL for an index past the last."""
        self._open(f"region({index})")
        try:
            return self._regions[index]
        except KeyError:
            rule = f"the device has {len(self._regions)} regions"
            raise self._refuse(f"region({index})", errno.EINVAL, rule) from None

    def _lay_out(self) -> dict[int, Region]:
        # Places in a file as vfio-pci has them; any order would do.
        regions = {index: Region(index, 0, 0, index << 40) for index in range(vfio.VFIO_PCI_NUM_REGIONS)}
        scratch = Area(model.SCRATCH_OFFSET, model.SCRATCH_SIZE)
        regions[_BAR0] = Region(_BAR0, _READ_WRITE, model.BAR0_SIZE, _BAR0 << 40)
        regions[_BAR2] = Region(
            _BAR2, _READ_WRITE | _MMAP | _CAPS, model.BAR2_SIZE, _BAR2 << 40, sparse=(scratch,)
        )
        regions[_CONFIG] = Region(_CONFIG, _READ_WRITE, CONFIG_SIZE, _CONFIG << 40)
        if self._section is not None:
            areas = self._section.areas
            regions[MIGRATION_REGION] = Region(
                MIGRATION_REGION,
                _READ_WRITE | _CAPS | (_MMAP if areas else 0),
                self._section.size,
                MIGRATION_REGION << 40,
                sparse=areas or None,
                type=(self.options.type, v5.VFIO_REGION_SUBTYPE_MIGRATION),
            )
        return regions

    def irq(self, index: int) -> Irq:
        """Return an interrupt index's information; EINVAL for an index past the last."""
        self._open(f"irq({index})")
        if not 0 <= index < vfio.VFIO_PCI_NUM_IRQS:
            raise self._refuse(
                f"irq({index})", errno.EINVAL, "the device has 5 interrupt indices (linux/vfio.h)"
            )
        count = _IRQS.get(index, 0)
        flags = vfio.VFIO_IRQ_INFO_EVENTFD | vfio.VFIO_IRQ_INFO_NORESIZE if count else 0
        return Irq(index, flags, count)

    # -- regions --

    def pread(self, region: int, offset: int, size: int) -> bytes:
        """Read *size* bytes trapped. The workloads catch up with the clock first."""
        self._check("pread", region, offset, size)
        self.workloads.catch_up()
        if region == _BAR0:
            return self.registers.read(offset, size)
        if region == _CONFIG:
            return self.config.read(offset, size)
        if region == _BAR2:
            return self._bar2()[offset : offset + size]
        assert self.migration is not None
        return self.migration.read(offset, size)

    def pwrite(self, region: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Write *data* trapped; returns its length. The workloads catch up with the clock first."""
        data = bytes(data)
        self._check("pwrite", region, offset, len(data))
        self.workloads.catch_up()
        if region == _BAR0:
            self._write_register(offset, data)
        elif region == _CONFIG:
            self.config.write(offset, data)
        elif region == _BAR2:
            self._write_bar2(offset, data)
        else:
            assert self.migration is not None
            self.migration.write(offset, data)
        return len(data)

    def mmap(self, region: int, offset: int, size: int) -> memoryview:
        """Map *size* bytes at *offset*, pages of an area that may be mapped; EINVAL elsewhere."""
        operation = f"mmap({region_name(region)} {offset:#x}, {size:#x} bytes)"
        self._open(operation)
        areas = self.region(region).areas
        if not any(area.offset <= offset and offset + size <= area.end for area in areas):
            names = ", ".join(f"[{area.offset:#x}, {area.end:#x})" for area in areas) or "nothing"
            raise self._refuse(operation, errno.EINVAL, f"of this region {names} may be mapped (sparse mmap)")
        if offset % model.PAGE_SIZE or size <= 0:
            raise self._refuse(
                operation, errno.EINVAL, "a mapping starts at a page and is not empty (mmap(2))"
            )
        if region == _BAR2:
            at = offset - model.SCRATCH_OFFSET
            return self._scratch.view[at : at + size]
        assert self._section is not None
        return self._section.view(offset, size)

    def munmap(self, region: int, offset: int) -> None:
        """Undo `mmap`. The view is the caller's to release; the memory lives as long as a view does."""
        self._open(f"munmap({region_name(region)} {offset:#x})")

    def _check(self, call: str, region: int, offset: int, size: int) -> None:
        known = self._regions.get(region)
        # This is on the way of every access: the words are made only for a refusal.
        if not self._closed and known is not None and offset >= 0 < size and offset + size <= known.size:
            return
        operation = f"{call}({region_name(region)} {offset:#x}, {size:#x} bytes)"
        self._open(operation)
        raise self._refuse(operation, errno.EINVAL, f"the region has {self.region(region).size:#x} bytes")

    def _write_register(self, offset: int, data: bytes) -> None:
        name, value = self.registers.decode_write(offset, data)
        if name.endswith("DOORBELL"):
            if not self.workloads.running:
                raise self._refuse(
                    f"pwrite(BAR0 {name}={value:#x})",
                    errno.EBUSY,
                    "the device works only while device_state has RUNNING (device model)",
                )
            ring = self.workloads.write_pages if name == "DOORBELL" else self.workloads.change_blocks
            ring(value)
            return
        if name.startswith("WINDOW"):
            self._window_follows_mappings = False
        self.registers[name] = value

    def _bar2(self) -> bytes:
        image = bytearray(model.BAR2_SIZE)
        image[model.MSIX_TABLE_OFFSET : model.MSIX_TABLE_OFFSET + _TABLE_SIZE] = self._table
        image[model.SCRATCH_OFFSET : model.SCRATCH_OFFSET + model.SCRATCH_SIZE] = self._scratch.view
        return bytes(image)

    def _write_bar2(self, offset: int, data: bytes) -> None:
        """Table and scratch memory take the bytes; pending bits and holes ignore them, as hardware does."""
        for start, memory in (
            (model.MSIX_TABLE_OFFSET, self._table),
            (model.SCRATCH_OFFSET, self._scratch.view),
        ):
            low, high = max(offset, start), min(offset + len(data), start + len(memory))
            if low < high:
                memory[low - start : high - start] = data[low - offset : high - offset]

    # -- migration --

    def _set_running(self, running: bool) -> None:
        # Every access catches up first, so by now all that was due before the stop is done.
        self.workloads.running = running
        status = self.registers["STATUS"] & ~model.STATUS_RUNNING
        self.registers["STATUS"] = status | (model.STATUS_RUNNING if running else 0)

    def _save_registers(self) -> bytes:
        return self.registers.save() + bytes(self._scratch.view)

    def _load_registers(self, payload: memoryview) -> None:
        identity = bytes(payload[: model.REGISTERS["VERSION"].end])
        if identity != self.registers.save()[: len(identity)]:
            raise BadRecordError(f"the register file starts with {identity.hex(' ')}: another device's")
        self.registers.load(payload[: model.REGISTERS_SIZE])
        self.registers["STATUS"] &= ~model.STATUS_RUNNING
        self._scratch.view[:] = payload[model.REGISTERS_SIZE :]
        self._window_follows_mappings = False

    # -- DMA, life --

    def map_dma(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """Let the device reach *memory* at *iova*. EINVAL: unaligned; EEXIST: overlaps a mapping."""
        self._open(f"map_dma(iova={iova:#x})")
        self.workloads.catch_up()
        self.dma.map(iova, memory, readable=readable, writable=writable)
        largest = self.dma.largest()
        if self._window_follows_mappings and largest is not None:
            self.registers["WINDOW_IOVA"] = largest.iova
            self.registers["WINDOW_PAGES"] = largest.size // model.PAGE_SIZE

    def unmap_dma(self, iova: int, size: int) -> int:
        """Take the mappings in [iova, iova + size) away; return their bytes. EINVAL: would cut one in two."""
        self._open(f"unmap_dma(iova={iova:#x})")
        self.workloads.catch_up()
        return self.dma.unmap(iova, size)

    def reset(self) -> None:
        """Reset: registers, config space and memory as the model says, workloads off, RUNNING.

        DMA mappings stay: they are the IOMMU's, not the device's.
        """
        self._open("reset()")
        self.registers.reset()
        self.config.reset()
        self.memory.zero()
        self._scratch.zero()
        self._table[:] = msix_table(enabled=False)
        self._window_follows_mappings = False
        if self.migration is not None:
            self.migration.reset()
        self.workloads.restart()
        self._set_running(True)

    def close(self) -> None:
        """Let the device go; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self.dma.clear()
        self.migration = None
        if self._section is not None:
            self._section.close()
        self.memory.close()
        self._scratch.close()

    def _open(self, operation: str) -> None:
        if self._closed:
            raise self._refuse(operation, errno.EBADF, "the device was closed", "open it again")

    def __repr__(self) -> str:
        state = (
            "closed" if self._closed else v5.state_name(self.migration.state) if self.migration else "open"
        )
        return f"<EmulatedDevice {self.name} {self.address} {state}>"
