"""The vocabulary of accesses: what a flow asks for, and what it is sent back.

A flow is a generator. It yields accesses and is sent each one's result; whoever performs them may be
the runner, the debugger, a recording or a test. An access that fails is thrown into the flow as an
:class:`~vfiokit.errors.AccessError`.

================ ===================================================== ===========================
access           what is done                                          result
================ ===================================================== ===========================
`Read`           one register, at its native width                     int, host byte order
`Write`          one register, at its native width                     None
`ReadData`       bytes of the data section, trapped or mapped          a buffer of that size
`WriteData`      the same, towards the device                          None
`Map`, `Unmap`   one mappable area of a region                         None
`Query`          information by ioctl (device, region)                 uapi.info.Info, Region
`Reset`          the device                                            None
`Put`            bytes to the migration stream                         None
`Take`           bytes from the migration stream                       a buffer of that size
`ReadPages`      guest memory, whole pages                             a buffer, pages in order
`WritePages`     the same, towards guest memory                        None
`MarkDirty`      pages a device says it dirtied                        None
`SyncLog`        take the VMM's dirty log of one RAM block             bytes, one bit a page, LE
`Now`, `Wait`    the clock                                             int ns; None
`Emit`           a trace event                                         None
`Say`            a message to people (QEMU's error_report)             None
`Enter`          VM, migration or device state, for the charts         None
`Sample`         what the migration loop knows at a turn               None
================ ===================================================== ===========================

Buffers a flow is given may be windows on live memory: use them before the next access, or copy them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = (
    "Access",
    "Emit",
    "Enter",
    "Flow",
    "Map",
    "MarkDirty",
    "Now",
    "Put",
    "Query",
    "Read",
    "ReadData",
    "ReadPages",
    "Reset",
    "Sample",
    "Say",
    "SyncLog",
    "Take",
    "Unmap",
    "Wait",
    "Write",
    "WriteData",
    "WritePages",
)

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Read:
    """Read *width* bytes of *region* at *offset* as one number; *field* names the register."""

    device: str
    region: int
    offset: int
    width: int
    field: str

    def __str__(self) -> str:
        return (
            f"{self.device}: read {self.field} (region {self.region}, {self.offset:#x}, {self.width} bytes)"
        )


@dataclass(frozen=True, slots=True)
class Write:
    """Write *value*, *width* bytes, to *region* at *offset*; *field* names the register."""

    device: str
    region: int
    offset: int
    width: int
    field: str
    value: int

    def __str__(self) -> str:
        return (
            f"{self.device}: write {self.field} = {self.value:#x} "
            f"(region {self.region}, {self.offset:#x}, {self.width} bytes)"
        )


@dataclass(frozen=True, slots=True)
class ReadData:
    """Read *size* bytes at *offset* of *region*: through mapped area *area*, or trapped when it is None."""

    device: str
    region: int
    offset: int
    size: int
    area: int | None

    def __str__(self) -> str:
        how = "trapped" if self.area is None else f"mapped area {self.area}"
        return f"{self.device}: read {self.size:#x} bytes of data at {self.offset:#x} ({how})"


@dataclass(frozen=True, slots=True)
class WriteData:
    """Write *data* at *offset* of *region*: through mapped area *area*, or trapped when it is None."""

    device: str
    region: int
    offset: int
    data: Buffer
    area: int | None

    def __str__(self) -> str:
        how = "trapped" if self.area is None else f"mapped area {self.area}"
        return f"{self.device}: write {len(self.data):#x} bytes of data at {self.offset:#x} ({how})"


@dataclass(frozen=True, slots=True)
class Map:
    """Map area *area* of *region*: *size* bytes at *offset*."""

    device: str
    region: int
    area: int
    offset: int
    size: int

    def __str__(self) -> str:
        return (
            f"{self.device}: map area {self.area} of region {self.region} [{self.offset:#x}, +{self.size:#x})"
        )


@dataclass(frozen=True, slots=True)
class Unmap:
    """Undo a `Map`."""

    device: str
    region: int
    area: int
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.device}: unmap area {self.area} of region {self.region} at {self.offset:#x}"


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for a region's information, or with *region* None the device's."""

    device: str
    region: int | None = None

    def __str__(self) -> str:
        return f"{self.device}: get " + (
            "device info" if self.region is None else f"info of region {self.region}"
        )


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the device."""

    device: str

    def __str__(self) -> str:
        return f"{self.device}: reset"


@dataclass(frozen=True, slots=True)
class Put:
    """Append *data* to the migration stream; *what* names it as the stream's spec does."""

    data: Buffer
    what: str

    def __str__(self) -> str:
        return f"stream: put {self.what} ({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Take:
    """Take *size* bytes from the migration stream."""

    size: int
    what: str

    def __str__(self) -> str:
        return f"stream: take {self.what} ({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class ReadPages:
    """Read guest pages; *pages* are page numbers of 4 KiB within block *block*."""

    block: str
    pages: Any  # a sequence of int, or a numpy array of them
    page_size: int

    def __str__(self) -> str:
        return f"memory {self.block}: read {len(self.pages)} pages"


@dataclass(frozen=True, slots=True)
class WritePages:
    """Write guest pages, the counterpart of `ReadPages`; *data* None writes zeros."""

    block: str
    pages: Any
    page_size: int
    data: Buffer | None

    def __str__(self) -> str:
        return f"memory {self.block}: write {len(self.pages)} {'zero ' if self.data is None else ''}pages"


@dataclass(frozen=True, slots=True)
class MarkDirty:
    """Mark guest pages dirty in the VMM's log, as device *device* reported them.

    *bitmap* has one bit a page from *pfn* on, bit k of byte k//8 first; None marks all *pages* of them.
    """

    device: str
    pfn: int
    pages: int
    page_size: int
    bitmap: bytes | None

    def __str__(self) -> str:
        how = "all" if self.bitmap is None else "by bitmap"
        return f"{self.device}: mark dirty {self.pages} pages from pfn {self.pfn:#x} ({how})"


@dataclass(frozen=True, slots=True)
class SyncLog:
    """Take what was marked dirty in RAM block *block* since the last time, and clear it.

    The result has one bit a page of the block, bit k of byte k//8 first.
    """

    block: str

    def __str__(self) -> str:
        return f"memory {self.block}: sync dirty log"


@dataclass(frozen=True, slots=True)
class Now:
    """Read the clock, nanoseconds."""

    def __str__(self) -> str:
        return "read the clock"


@dataclass(frozen=True, slots=True)
class Wait:
    """Let *ns* nanoseconds pass."""

    ns: int

    def __str__(self) -> str:
        return f"wait {self.ns / 1e6:.3f} ms"


@dataclass(frozen=True, slots=True)
class Emit:
    """A trace event with its arguments, as the trace-events file declares them."""

    event: str
    args: tuple[int | str, ...]

    def __str__(self) -> str:
        # A state is a number here, as it is in the event.
        args = tuple(int(arg) if isinstance(arg, int) else arg for arg in self.args)
        return f"trace {self.event}{args}"


@dataclass(frozen=True, slots=True)
class Say:
    """A message to people that does not end the flow."""

    device: str
    text: str

    def __str__(self) -> str:
        return f"{self.device}: {self.text}"


@dataclass(frozen=True, slots=True)
class Enter:
    """A state was entered; *machine* is "vm", "migration" or a device's name."""

    machine: str
    state: str

    def __str__(self) -> str:
        return f"{self.machine} enters {self.state}"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the migration loop knows at one turn; bytes, but *bandwidth* in bytes a second.

    *pending* has one figure a handler, RAM first; *dirty_pages* counts RAM's.
    """

    turn: int
    pending: tuple[tuple[str, int], ...]
    threshold: int
    bandwidth: float
    transferred: int
    dirty_pages: int
    syncs: int

    @property
    def total(self) -> int:
        """All that is pending, bytes."""
        return sum(size for _, size in self.pending)

    def __str__(self) -> str:
        return f"turn {self.turn}: {self.total:#x} bytes pending, threshold {self.threshold:#x}"


Access: TypeAlias = (
    Read | Write | ReadData | WriteData | Map | Unmap | Query | Reset | Put | Take | ReadPages | WritePages
    | MarkDirty | SyncLog | Now | Wait | Emit | Say | Enter | Sample
)  # fmt: skip

_R = TypeVar("_R")
# A flow yields accesses, is sent their results, and returns a value of its own.
Flow: TypeAlias = Generator[Access, Any, _R]
