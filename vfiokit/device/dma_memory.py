"""Memory that a device may reach: anonymous, page-aligned, of huge pages on request.

::

    memory = allocate(16 << 20, hugepages="2M")
    device.map_dma(0, memory.view)

The memory is shared rather than private, so that a fork cannot move pages away under the device.
"""

from __future__ import annotations

import errno
import mmap
import resource
from pathlib import Path
from typing import Literal

from vfiokit.device.base import ClosesOnExit
from vfiokit.device.container import address_of
from vfiokit.device.refusals import memlock_text
from vfiokit.errors import DeviceError, MemlockError

__all__ = ("DmaMemory", "allocate", "check_memlock")

# asm-generic/mman-common.h, linux/mman.h; a page's size stands as its power of two in the flags.
_MAP_HUGETLB = 0x40000
_MAP_HUGE_SHIFT = 26
_HUGE = {"2M": 21, "1G": 30}
_CAP_IPC_LOCK = 14  # linux/capability.h


class DmaMemory(ClosesOnExit):
    """Anonymous memory; `allocate` makes it.

    ``view`` is its memoryview, ``address`` where it is in this process, ``page_size`` in bytes.
    """

    def __init__(self, memory: mmap.mmap, page_size: int) -> None:
        self._memory = memory
        self.page_size = page_size
        self.view = memoryview(memory)
        self.address = address_of(self.view)

    @property
    def size(self) -> int:
        """Bytes, whole pages."""
        return len(self._memory)

    def __len__(self) -> int:
        return self.size

    def close(self) -> None:
        """Give the memory back; DeviceError(EBUSY) while it is mapped for DMA or has other views.

        Closing twice is allowed. After a refusal ``view`` works as before.
        """
        if self._memory.closed:
            return
        self.view.release()
        try:
            self._memory.close()
        except BufferError as err:
            self.view = memoryview(self._memory)
            raise DeviceError(
                "memory", "close", errno.EBUSY, hint="unmap_dma() it and release its views first"
            ) from err


def allocate(size: int, hugepages: Literal["2M", "1G"] | None = None) -> DmaMemory:
    """Return zeroed memory of at least *size* bytes, whole pages.

    :raises DeviceError: ENOMEM when there is no memory, or no huge pages are reserved; EINVAL for a size
        that is not positive or a kind of huge page that is not known
    """
    operation = f"allocate {size:#x} bytes" + (f" of {hugepages} pages" if hugepages else "")
    if size <= 0 or (hugepages is not None and hugepages not in _HUGE):
        raise DeviceError(
            "memory", operation, errno.EINVAL, rule="the size is positive; huge pages are None, '2M' or '1G'"
        )
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
    page = mmap.PAGESIZE
    if hugepages is not None:
        flags |= _MAP_HUGETLB | _HUGE[hugepages] << _MAP_HUGE_SHIFT
        page = 1 << _HUGE[hugepages]
    pages = -(-size // page)
    try:
        memory = mmap.mmap(-1, pages * page, flags=flags)
    except (OSError, OverflowError, ValueError) as err:
        number = getattr(err, "errno", None) or errno.ENOMEM
        hint = None
        if hugepages == "2M":
            hint = f"reserve them: `echo {pages} > /proc/sys/vm/nr_hugepages` as root ({_reserved(page)})"
        elif hugepages == "1G":
            node = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
            hint = (
                f"reserve them: `echo {pages} > {node}` as root, or "
                f"hugepagesz=1G hugepages={pages} on the kernel command line ({_reserved(page)})"
            )
        raise DeviceError("memory", operation, number, hint=hint) from err
    return DmaMemory(memory, page)


def _reserved(page: int) -> str:
    node = Path("/sys/kernel/mm/hugepages") / f"hugepages-{page >> 10}kB/free_hugepages"
    try:
        return f"{int(node.read_text())} are free now"
    except (OSError, ValueError):
        return "this kernel has none of that size"


def check_memlock(size: int, root: Path = Path("/")) -> None:
    """Raise MemlockError when mapping *size* bytes for a physical device would be over RLIMIT_MEMLOCK.

    A process with CAP_IPC_LOCK has no limit. A mediated device pins only what it uses, so this is a
    warning in advance and no part of `allocate`.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY or _may_lock(root):
        return
    if size > limit:
        raise MemlockError(
            "memory",
            f"pin {size >> 10} KiB",
            errno.ENOMEM,
            rule=memlock_text(root),
            hint="`ulimit -l unlimited` before starting, or run with CAP_IPC_LOCK",
        )


def _may_lock(root: Path) -> bool:
    try:
        lines = (root / "proc/self/status").read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False
