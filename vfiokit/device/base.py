"""One interface to reach a device, however it is reached.

`Device` is what the runner performs accesses on: an emulated device, ``/dev/vfio``, later a vfio-user
socket. Every refusal is a :class:`~vfiokit.errors.DeviceError` with its errno. Offsets are within a
region; sizes are bytes. Implementations need not derive from anything.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from vfiokit.uapi.info import Area, Info, Irq, Region, region_name

__all__ = ("Area", "ClosesOnExit", "Device", "Info", "Irq", "Region", "region_name")


class ClosesOnExit:
    """``with`` for what has a `close`."""

    def close(self) -> None:
        """Let it go."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@runtime_checkable
class Device(Protocol):
    """A device that can be reached. All methods raise DeviceError when they are refused."""

    name: str  # the vfio name: a PCI address, an mdev UUID; it stands in every trace event
    address: str  # how the user named it, as ``emulated:v5?state=64M``

    def info(self) -> Info:
        """Return the device's information."""
        ...

    def region(self, index: int) -> Region:
        """Return one region's information; DeviceError(EINVAL) for an index it does not have."""
        ...

    def irq(self, index: int) -> Irq:
        """Return one interrupt index's information."""
        ...

    def pread(self, region: int, offset: int, size: int) -> bytes:
        """Read trapped; fewer bytes than *size* may come, as of a file."""
        ...

    def pwrite(self, region: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Write trapped; return the bytes written, which may be fewer."""
        ...

    def mmap(self, region: int, offset: int, size: int) -> memoryview:
        """Map a part of a region; the view is writable where the region is. `munmap` ends it."""
        ...

    def munmap(self, region: int, offset: int) -> None:
        """Undo `mmap`; views of it must have been let go (DeviceError EBUSY otherwise)."""
        ...

    def reset(self) -> None:
        """Reset the device."""
        ...

    def map_dma(self, iova: int, memory: memoryview, *, readable: bool = True, writable: bool = True) -> None:
        """Let the device reach *memory* (page-aligned, process memory) at *iova*."""
        ...

    def unmap_dma(self, iova: int, size: int) -> int:
        """Take a mapping away; return the bytes unmapped."""
        ...

    def close(self) -> None:
        """Let the device go. Further calls raise DeviceError(EBADF). Closing twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
