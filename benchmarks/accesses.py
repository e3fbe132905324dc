"""One register access through the runner, against a bare pread of the same file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from benchmarks.measure import Pair, pair
from vfiokit.accesses import Flow, Read
from vfiokit.clock import RealClock
from vfiokit.device.base import ClosesOnExit
from vfiokit.host import Host
from vfiokit.runner import run

COUNT = 100_000


class FileDevice(ClosesOnExit):
    """A device whose registers are a file: what is left is the runner's own cost and the system call."""

    name = "file"
    address = "file"

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pread(self, region: int, offset: int, size: int) -> bytes:  # noqa: ARG002
        """Read the file, whatever the region."""
        return os.pread(self._fd, size, offset)


def rows() -> Iterator[Pair]:
    """Reads of one 64-bit register."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(64))
        file.flush()
        fd = file.fileno()
        host = Host([FileDevice(fd)], clock=RealClock())  # type: ignore[list-item]
        access = Read("file", 9, 8, 8, "pending_bytes")

        def flow() -> Flow[None]:
            for _ in range(COUNT):
                yield access

        def bare() -> None:
            for _ in range(COUNT):
                int.from_bytes(os.pread(fd, 8, 8), "little")

        yield pair(
            "a register read through the runner / pread",
            lambda: run(flow(), host),
            bare,
            scale=1e9 / COUNT,
            unit="{:.0f} ns",
        )
