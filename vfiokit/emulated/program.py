"""Setting up our virtual device's workloads through its registers, wherever the device is.

What the options of an emulated device do from the inside, this does from the outside, through BAR0: so the
kernel driver's device in the lab takes the same words, ``mdev:UUID?dma=8M/s&pattern=hot``.
"""

from __future__ import annotations

from vfiokit.device.base import Device
from vfiokit.device.wrapped import WrappedDevice
from vfiokit.emulated import model
from vfiokit.emulated.options import Options, parse_address
from vfiokit.errors import AddressError
from vfiokit.uapi.vfio import VFIO_PCI_BAR0_REGION_INDEX

__all__ = ("ProgrammedDevice", "program", "read_register", "write_register")

_WORDS = ("dirty", "dma", "pattern", "param", "window", "seed")


def read_register(device: Device, name: str) -> int:
    """Read register *name* of the device model's BAR0."""
    register = model.REGISTERS[name]
    return int.from_bytes(device.pread(VFIO_PCI_BAR0_REGION_INDEX, register.offset, register.width), "little")


def write_register(device: Device, name: str, value: int) -> None:
    """Write register *name* of the device model's BAR0."""
    register = model.REGISTERS[name]
    device.pwrite(VFIO_PCI_BAR0_REGION_INDEX, register.offset, value.to_bytes(register.width, "little"))


def program(device: Device, query: str) -> ProgrammedDevice:
    """Return *device* with its workloads set up; they start with the first DMA mapping.

    :param query: options as in an emulated device's address, behind the question mark
    :raises AddressError: the device is not ours, or an option is not one of a workload
    """
    words = [item.partition("=")[0] for item in query.split("&") if item]
    foreign = [word for word in words if word not in _WORDS]
    if foreign:
        raise AddressError(
            f"{device.address}: {foreign[0]!r} cannot be set from outside",
            hint=f"what can: {', '.join(_WORDS)}",
        )
    options = parse_address(f"emulated:v5?{query}")
    identity = read_register(device, "ID") if device.region(0).size == model.BAR0_SIZE else 0
    if identity != model.ID_VALUE:
        raise AddressError(
            f"{device.address}: workload options are for the vfiokit virtual device, this one is another",
            rule=f"BAR0 begins with {model.ID_VALUE:#x} (device model)",
        )
    return ProgrammedDevice(device, options)


class ProgrammedDevice(WrappedDevice):
    """A device of our model whose workloads write the largest range that is mapped."""

    def __init__(self, device: Device, options: Options) -> None:
        super().__init__(device)
        self._largest = 0
        self._window = options.window
        write_register(device, "SEED", options.seed)
        write_register(device, "PATTERN", model.PATTERNS[options.pattern])
        write_register(device, "PARAM", options.param)
        write_register(device, "RATE", options.dma // model.PAGE_SIZE)
        write_register(device, "STATE_RATE", options.dirty // model.PAGE_SIZE)
        if options.dirty and not options.dma:
            write_register(device, "CONTROL", model.CTRL_RUN)

    def map_dma(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """As `Device.map_dma`; the workload's window follows."""
        self.device.map_dma(iova, memory, readable=readable, writable=writable)
        if len(memory) <= self._largest:
            return
        self._largest = len(memory)
        base, size = self._window or (iova, len(memory))
        write_register(self.device, "CONTROL", 0)
        write_register(self.device, "WINDOW_IOVA", base)
        write_register(self.device, "WINDOW_PAGES", size // model.PAGE_SIZE)
        write_register(self.device, "CONTROL", model.CTRL_RUN)
