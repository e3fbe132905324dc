"""Memory that the other end of a vfio-user connection can reach, for DMA.

`PassedMemory` is anonymous memory whose file descriptor goes with DMA_MAP. `WindowMemory` is a part of a
file that both ends have mapped already, as a guest has it through ivshmem; then only the offset goes.
Several processes may take parts of one such file: each part is held by a lock on the file, which the
kernel lets go when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import weakref
from pathlib import Path
from typing import Protocol

from vfiokit.device.container import address_of
from vfiokit.device.dma_memory import DmaMemory
from vfiokit.errors import DeviceError

__all__ = ("MemorySource", "PassedMemory", "SharedMemory", "WindowMemory", "locate")

# asm-generic/fcntl.h, struct flock on 64-bit: type, whence, start, len, pid.
_FLOCK = struct.Struct("hhqqi4x")

_live: weakref.WeakSet[SharedMemory] = weakref.WeakSet()


class SharedMemory(DmaMemory):
    """A `DmaMemory` with a file behind it: ``fd``, and the ``offset`` in it, bytes."""

    def __init__(self, memory: mmap.mmap, fd: int, offset: int) -> None:
        super().__init__(memory, mmap.PAGESIZE)
        self.fd = fd
        self.offset = offset
        status = os.fstat(fd)
        self.file = (status.st_dev, status.st_ino)
        self._close_fd = weakref.finalize(self, os.close, fd)
        _live.add(self)

    def close(self) -> None:
        """Give the memory back; DeviceError(EBUSY) while it has other views. Twice is allowed."""
        super().close()
        _live.discard(self)
        self._close_fd()


def locate(view: memoryview) -> tuple[SharedMemory, int] | None:
    """Return the shared memory that *view* lies in, and the view's offset in its file; None for others."""
    try:
        address = address_of(view)
    except (TypeError, BufferError, ValueError):
        return None
    for memory in list(_live):
        if memory.address <= address and address + view.nbytes <= memory.address + memory.size:
            return memory, memory.offset + address - memory.address
    return None


class MemorySource(Protocol):
    """Where a client takes memory that its server can reach."""

    passes_fds: bool

    def allocate(self, size: int) -> SharedMemory:
        """Return zeroed memory of *size* bytes, made whole pages."""
        ...

    def has(self, memory: SharedMemory) -> bool:
        """Say whether the server can reach *memory*."""
        ...


def _pages(size: int) -> int:
    if size <= 0:
        raise DeviceError("memory", f"allocate {size:#x} bytes", errno.EINVAL, rule="the size is positive")
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


class PassedMemory:
    """Anonymous memory, its descriptor passed over the socket."""

    passes_fds = True

    def allocate(self, size: int) -> SharedMemory:
        """Return new memory; DeviceError when there is none."""
        size = _pages(size)
        fd = os.memfd_create("vfiokit-dma", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            return SharedMemory(mmap.mmap(fd, size), fd, 0)
        except (OSError, OverflowError, ValueError) as error:
            os.close(fd)
            number = getattr(error, "errno", None) or errno.ENOMEM
            raise DeviceError("memory", f"allocate {size:#x} bytes", number) from error

    def has(self, memory: SharedMemory) -> bool:  # noqa: ARG002
        """Any that has a descriptor."""
        return True


class WindowMemory:
    """Parts of the file at *path*."""

    passes_fds = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def allocate(self, size: int) -> SharedMemory:
        """Return a part that nobody has; DeviceError(ENOMEM) when there is none of that size."""
        size = _pages(size)
        operation = f"allocate {size:#x} bytes of {self.path}"
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceError("memory", operation, error.errno or errno.EIO) from error
        try:
            total = os.fstat(fd).st_size
            offset = _lock(fd, size, total)
            if offset is None:
                raise DeviceError(
                    "memory",
                    operation,
                    errno.ENOMEM,
                    rule=f"the memory shared with the guest has {total >> 20} MiB",
                    hint="take less guest memory, or `vfiokit lab down` and `vfiokit lab up --shared MIB`",
                )
            memory = mmap.mmap(fd, size, offset=offset)
            try:
                memory.madvise(mmap.MADV_REMOVE)  # what the last one left there
            except OSError:  # a file system that cannot
                memory[:] = bytes(size)
            return SharedMemory(memory, fd, offset)
        except BaseException:
            os.close(fd)
            raise

    def has(self, memory: SharedMemory) -> bool:
        """A part of the same file."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return memory.file == (status.st_dev, status.st_ino)


def _lock(fd: int, size: int, total: int) -> int | None:
    """Lock the first *size* bytes that are free, and return where; None when there are none."""
    start = 0
    while start + size <= total:
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, size, 0)
        try:
            # Locks of the open file, not of the process: two parts in one process exclude each other too.
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
            return start
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        kind, _, at, length, _ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, wanted))
        if kind != fcntl.F_UNLCK:  # else it was let go just now: try again
            start = total if length == 0 else at + length
    return None
