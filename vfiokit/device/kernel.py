"""The one seam to the kernel: file descriptors, ioctls, trapped and mapped access.

Everything under `vfiokit.device` that talks to ``/dev/vfio`` does so through a `Kernel`, so a test, a
recorder or a model can stand in for the real one. All methods raise OSError as the system calls do; the
callers turn that into errors that say more.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Protocol

__all__ = ("Kernel", "LinuxKernel")


class Kernel(Protocol):
    """What is asked of a kernel."""

    def open(self, path: str) -> int:
        """Open a node for reading and writing; return its file descriptor."""
        ...

    def close(self, fd: int) -> None:
        """Close a file descriptor."""
        ...

    def ioctl(self, fd: int, request: int, arg: int | bytearray = 0) -> int:
        """Return the ioctl's result; a bytearray is passed by address and holds what came back."""
        ...

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to *size* bytes at *offset*."""
        ...

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at *offset*; return the bytes written."""
        ...

    def mmap(self, fd: int, size: int, offset: int, *, readable: bool, writable: bool) -> mmap.mmap:
        """Map *size* bytes at *offset*, shared. The mapping keeps the file open until it is closed."""
        ...


class LinuxKernel:
    """The kernel this process runs on."""

    def open(self, path: str) -> int:
        """Open a node for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        """Close a file descriptor."""
        os.close(fd)

    def ioctl(self, fd: int, request: int, arg: int | bytearray = 0) -> int:
        """Perform an ioctl; only a mutable buffer makes Python return the result and not the buffer."""
        return fcntl.ioctl(fd, request, arg)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read at an offset."""
        return os.pread(fd, size, offset)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at an offset."""
        return os.pwrite(fd, data, offset)

    def mmap(self, fd: int, size: int, offset: int, *, readable: bool, writable: bool) -> mmap.mmap:
        """Map a part of a file, shared."""
        prot = (mmap.PROT_READ if readable else 0) | (mmap.PROT_WRITE if writable else 0)
        return mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=prot, offset=offset)
