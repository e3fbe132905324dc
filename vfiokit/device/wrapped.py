"""A device around another: everything is passed on, a subclass changes what it wants to."""

from __future__ import annotations

from typing import Any

from vfiokit.device.base import ClosesOnExit, Device
from vfiokit.uapi.info import Info, Irq, Region

__all__ = ("WrappedDevice",)


class WrappedDevice(ClosesOnExit):
    """Passes every method of `Device` on to *device*, and attributes that it does not have itself."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.name = device.name
        self.address = device.address

    def __getattr__(self, name: str) -> Any:
        if name == "device":  # not set yet: a copy or an unpickling in progress
            raise AttributeError(name)
        return getattr(self.device, name)

    def info(self) -> Info:
        """As `Device.info`."""
        return self.device.info()

    def region(self, index: int) -> Region:
        """As `Device.region`."""
        return self.device.region(index)

    def irq(self, index: int) -> Irq:
        """As `Device.irq`."""
        return self.device.irq(index)

    def pread(self, region: int, offset: int, size: int) -> bytes:
        """As `Device.pread`."""
        return self.device.pread(region, offset, size)

    def pwrite(self, region: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """As `Device.pwrite`."""
        return self.device.pwrite(region, offset, data)

    def mmap(self, region: int, offset: int, size: int) -> memoryview:
        """As `Device.mmap`."""
        return self.device.mmap(region, offset, size)

    def munmap(self, region: int, offset: int) -> None:
        """As `Device.munmap`."""
        self.device.munmap(region, offset)

    def reset(self) -> None:
        """As `Device.reset`."""
        self.device.reset()

    def map_dma(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """As `Device.map_dma`."""
        self.device.map_dma(iova, memory, readable=readable, writable=writable)

    def unmap_dma(self, iova: int, size: int) -> int:
        """As `Device.unmap_dma`."""
        return self.device.unmap_dma(iova, size)

    def close(self) -> None:
        """As `Device.close`."""
        self.device.close()
